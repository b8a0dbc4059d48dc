"""Entries with their recipes: read, merged with overrides, and checked as far as that goes without data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.experiment.explain import validate
from benchmark.experiment.files import find_recipe, merge, read_recipe
from benchmark.experiment.spec import check_parts
from methods.registry import method_class

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmark.experiment.spec import EntrySpec, Experiment
    from methods.backbone_spec import BackboneSpec
    from methods.base import Method
    from methods.config import MethodConfig


@dataclass(frozen=True)
class ResolvedEntry:
    """An entry whose settings are read and valid."""

    entry: EntrySpec
    method: type[Method[Any]]
    settings: MethodConfig
    backbone: BackboneSpec


def resolve_entries(experiment: Experiment, source: Path) -> list[ResolvedEntry]:
    """Each entry with its recipe and overrides, before any data is read; `source` is the experiment's file.

    Raises:
        UserError: an entry's settings are wrong, or its method does not run on its backbone or with micro-batches.
    """
    return [_resolve(experiment, entry, source) for entry in experiment.entries]


def _resolve(experiment: Experiment, entry: EntrySpec, source: Path) -> ResolvedEntry:
    where = f"{source}: entry '{entry.name}'"
    try:
        method = method_class(entry.method)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    recipe = find_recipe(entry.recipe or experiment.recipe, entry.method, source.parent)
    settings = read_recipe(recipe, entry.method) if recipe else {}
    config = validate(method.config_class, merge(settings, entry.overrides), where)
    backbone = entry.backbone or experiment.backbone
    try:
        method.check_backbone(backbone.kind)
        if backbone.elsewhere:
            raise ValueError(f"{backbone.elsewhere} is for encoders trained elsewhere; nothing is trained with it here")
        if experiment.accumulate > 1 and method.compares_images(config):
            raise ValueError(
                f"accumulate is {experiment.accumulate}, but the loss compares all images of a batch with each other; "
                "set accumulate to 1, with a smaller batch_size or more devices where memory is short"
                + (", or normalise to layer" if getattr(config, "normalise", "") == "batch" else "")
            )
    except ValueError as error:
        raise UserError(f"{where}, backbone {backbone.name}: {error}") from None
    return ResolvedEntry(entry, method, config, backbone)


def check_sizes(entries: Sequence[ResolvedEntry], image_size: int) -> None:
    """Raises a `UserError` where an entry's patches, masks or views do not fit the image size; needs no data."""
    for resolved in entries:
        try:
            resolved.method.check(resolved.settings, resolved.backbone.grid(image_size))
            _check_views(resolved, image_size)
        except ValueError as error:
            raise UserError(f"entry '{resolved.entry.name}', backbone {resolved.backbone.name}: {error}") from None


def _check_views(resolved: ResolvedEntry, image_size: int) -> None:
    method, views = resolved.method, resolved.settings.views
    if method.view_count is not None and len(views) != method.view_count:
        raise ValueError(f"views holds {len(views)}; {method.name} takes {method.view_count}")
    for number, view in enumerate(views):
        if view.size is None or view.size == image_size:
            continue
        if method.fixed_view_size:
            raise ValueError(f"views.{number}.size is {view.size}; here it has to be the input size, {image_size}")
        resolved.backbone.grid(view.size)


def check_devices(experiment: Experiment, entries: Sequence[ResolvedEntry], kind: str, devices: int) -> None:
    """Refuses what cannot be shared among devices (of all machines), before any process is started for them.

    Raises:
        UserError: the batch does not divide, or a recipe asks for what the devices cannot do together.
    """
    parts = f"{devices} devices x {experiment.accumulate} micro-batches"
    try:
        check_parts(experiment.batch_size, devices * experiment.accumulate, parts)
    except ValueError as error:
        raise UserError(str(error)) from None
    for resolved in entries:
        name = resolved.entry.name
        if devices > 1 and kind == "cpu" and resolved.settings.sync_batch_norm:
            raise UserError(
                f"entry '{name}': sync_batch_norm is on, but torch synchronises batch norm on GPUs alone; "
                f"use one device, or --set {name}.sync_batch_norm=false"
            )
