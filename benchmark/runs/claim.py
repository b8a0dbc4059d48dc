"""Claims a results folder for one experiment, so that two experiments are never mixed in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmark.data.inventory import changes, keep_inventory
from benchmark.errors import UserError
from benchmark.files.disk import read_yaml, write_atomically, writing
from benchmark.files.parse import dump_yaml
from benchmark.records.locks import folder_lock

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.entries import ResolvedEntry
    from benchmark.experiment.spec import Experiment
    from methods.config import MethodConfig

_PATIENCE = 60.0  # seconds to wait for another process that claims the same folder


def claim_folder(out: Path, experiment: Experiment, entries: list[ResolvedEntry], dataset: Dataset) -> None:
    """Writes down what the experiment's folder holds, and refuses to mix it with another experiment.

    Seeds, rungs of the ladder and further entries may be added later; what is shared by all runs, and what an entry's
    name stands for, may not change (RULES 22: one row is one configuration).

    Raises:
        UserError: the folder holds another experiment, or cannot be written.
    """
    folder = out / experiment.name
    path = folder / "experiment.yaml"
    shared: dict[str, Any] = experiment.model_dump(mode="json", include={"batch_size", "precision"})
    if experiment.accumulate != 1:
        shared["accumulate"] = experiment.accumulate
    if acceleration := experiment.acceleration.model_dump(exclude_defaults=True):
        shared["acceleration"] = acceleration
    shared["dataset"] = {"manifest": dataset.manifest.digest, "image_size": dataset.image_size}
    try:
        with writing(folder, "choose another --out"), folder_lock(folder, wait=_PATIENCE) as mine:
            if not mine:
                raise UserError(f"{folder}: another process holds it; try again when its runs have begun")
            before = _claimed_before(path)
            # A name is taken once a run of it has begun, and the folder once any has.
            named = {name: entry for name, entry in before["entries"].items() if (folder / name).is_dir()}
            begun = bool(named)
            if begun:
                _refuse_other_images(before["shared"], shared, dataset, folder)
                _refuse_difference(before["shared"], shared, folder)
            for resolved in entries:
                name, claimed = resolved.entry.name, _claimed(resolved)
                if name in named:
                    earlier = {**named[name], "settings": _filled(named[name]["settings"], resolved.settings)}
                    _refuse_difference(earlier, claimed, folder, f"entries.{name}")
                named[name] = claimed
            keep_inventory(folder, dataset.inventory, renew=not begun)
            write_atomically(path, dump_yaml({"shared": shared, "entries": named}))
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is not what `bench run` writes ({error}); choose another --out") from None


def _claimed_before(path: Path) -> dict[str, Any]:
    """What the folder was claimed for; nothing where it is new."""
    if not path.is_file():
        return {"entries": {}}
    try:
        before: dict[str, Any] = read_yaml(path)
    except UserError as error:
        reason = str(error).removeprefix(f"{path}").lstrip(":, ")
        raise UserError(f"{path}: is not what `bench run` writes ({reason}); choose another --out") from None
    return before


def _claimed(resolved: ResolvedEntry) -> dict[str, Any]:
    return {
        "method": resolved.entry.method,
        "backbone": resolved.backbone.model_dump(mode="json"),
        "settings": resolved.settings.model_dump(mode="json"),
    }


def _filled(settings: dict[str, Any], now: MethodConfig) -> dict[str, Any]:
    """Settings as they were written down; newer options have their defaults."""
    try:
        return type(now).model_validate(settings).model_dump(mode="json")
    except ValidationError:
        return settings  # of another method, or with options that no longer exist: the difference is named


def _refuse_other_images(before: dict[str, Any], now: dict[str, Any], dataset: Dataset, folder: Path) -> None:
    """Refuses another set of images than the experiment was begun with, and names what changed where that is known."""
    there, here = (shared["dataset"]["manifest"] for shared in (before, now))
    if there != here:
        changed = changes(folder, dataset.inventory) or f"dataset.manifest is {there[:12]} there and {here[:12]} here"
        raise UserError(
            f"{folder} was begun with other images: {changed}; its runs need one set of images. "
            "Put that back, or train anew on this one: choose another --out, or --set name=NAME"
        )


def _refuse_difference(before: Any, now: Any, folder: Path, key: str = "") -> None:
    difference = first_difference(before, now, key)
    if difference is not None:
        place, earlier, here = difference
        raise UserError(
            f"{folder} holds another experiment: {place} is {earlier!r} there and {here!r} here; "
            "choose another --out, or give this one a name of its own with --set name=NAME"
        )


def first_difference(before: Any, now: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """Where two nested mappings differ first: the key, such as `a.b.c`, and both values; None where they are equal."""
    if isinstance(before, dict) and isinstance(now, dict):
        differing = (
            first_difference(before.get(name), now.get(name), f"{key}.{name}".lstrip(".")) for name in {**before, **now}
        )
        return next((difference for difference in differing if difference is not None), None)
    return None if before == now else (key, before, now)
