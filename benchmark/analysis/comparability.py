"""Which records may be compared with each other: the quality key, the cost key, and the fields in them.

Accuracy is compared inside one quality key; time, and everything under a time budget, inside one cost key (rule 1 of
the rules of fair comparison). A ladder joins the rungs of one experiment, which differ in their budget alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

from benchmark.records.budgets import budget_of, budget_text, has_time_budget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmark.records.schema import Record

ItemT = TypeVar("ItemT")
KeyT = TypeVar("KeyT")


def grouped(items: Iterable[ItemT], key: Callable[[ItemT], KeyT]) -> dict[KeyT, list[ItemT]]:
    """Groups items by key, keeping their order."""
    groups: dict[KeyT, list[ItemT]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _part(record: Record, name: str) -> dict[str, Any]:
    """A nested part of the configuration; empty where the record has none."""
    part = record.config.get(name)
    return part if isinstance(part, dict) else {}


def backbone_text(record: Record) -> str:
    """The backbone with its settings, such as `resnet18 (stem small, width 16)`."""
    settings = _part(record, "backbone").items()
    parts = [f"{name.replace('_', ' ')} {value}" for name, value in settings if name != "name" and value is not None]
    return f"{record.backbone} ({', '.join(parts)})" if parts else record.backbone


def machine_text(record: Record) -> str:
    """What the run ran on: the CPU's model and threads, or how many of which GPU."""
    machine = record.environment
    if machine.device != "cpu":
        return f"{machine.devices} x {machine.device_model}"
    return f"{machine.cpu_model}, {machine.threads} thread{'s' if machine.threads > 1 else ''}"


def torch_release(record: Record) -> str:
    """Major and minor version of torch, such as `2.14`."""
    return ".".join(record.environment.packages.get("torch", "").split("+")[0].split(".")[:2])


def is_vit(record: Record) -> bool:
    """Whether the backbone is a vision transformer."""
    return record.backbone.lower().startswith("vit")


def network_kind(record: Record) -> str:
    """`ViT` or `CNN`."""
    return "ViT" if is_vit(record) else "CNN"


def tags_of(record: Record) -> list[str]:
    """The tags that the experiment declares for an entry, such as `different backbone`."""
    tags = record.config.get("tags")
    words = [str(tag) for tag in tags] if isinstance(tags, (list, tuple)) else [str(tags)] if tags else []
    return [*words, "trial"] if record.purpose == "trial" else words


def _quality_fields(record: Record) -> dict[str, Any]:
    evaluation = record.config.get("evaluation")
    fields = {
        "dataset manifest": record.dataset.manifest,
        "pretraining images": _part(record, "dataset").get("pretrain", "train"),
        "image size": record.config.get("image_size"),
        "precision": record.config.get("precision"),
        "batch size": record.config.get("batch_size"),
        # Probes during a run change neither its weights nor its training time.
        "evaluation": evaluation.get("protocols", evaluation) if isinstance(evaluation, dict) else evaluation,
        "rules version": record.rules_version,
    }
    # Left out at their former fixed values, so that older records keep their keys.
    if record.crops != "device":
        fields["training crops"] = record.crops
    if (parts := record.config.get("accumulate", 1)) != 1:
        fields["micro-batches"] = parts  # batch norm sees one at a time
    if acceleration := record.config.get("acceleration"):
        fields["acceleration"] = acceleration
    return fields


def _hardware_fields(record: Record) -> dict[str, Any]:
    environment = record.environment
    fields = {
        "device model": environment.device_model,
        "devices": environment.devices,
        "CPU model": environment.cpu_model,
        "visible cores": environment.visible_cores,
        "torch": torch_release(record),
    }
    if environment.device == "cpu":  # with a GPU, CPU threads only prepare the data
        fields["threads"] = environment.threads
        if environment.instructions is not None:
            fields["instructions"] = environment.instructions
    return fields


def _quality(record: Record) -> dict[str, Any]:
    return {**_quality_fields(record), "budget": None if has_time_budget(record) else budget_of(record)}


def short_hash(fields: dict[str, Any]) -> str:
    """12 hex digits of a hash of some fields, in any order."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def quality_key(record: Record) -> str:
    """12 hex digits; records with the same one may be ranked by accuracy (unless the budget is a time)."""
    return short_hash(_quality(record))


def cost_key(record: Record) -> str:
    """12 hex digits; times of records with the same one may be compared, too."""
    time_budget = budget_of(record) if has_time_budget(record) else None
    return short_hash({**_quality(record), **_hardware_fields(record), "time budget": time_budget})


def ladder_key(record: Record) -> str:
    """12 hex digits; the quality key without the budget, shared by the rungs of a ladder."""
    return short_hash(_quality_fields(record))


def hardware_key(record: Record) -> str:
    """12 hex digits of the hardware and torch version: what the cost key adds to the quality key."""
    return short_hash(_hardware_fields(record))


def frozen_key(record: Record) -> str:
    """12 hex digits of what the scores of a frozen encoder depend on beside its weights: images, size and protocols.

    How it was trained (batch, precision, budget) is no part of it: for an encoder trained elsewhere it is unknown, and
    probes compute in float32 whatever training did.
    """
    fields = _quality_fields(record)
    return short_hash(
        {name: fields[name] for name in ("dataset manifest", "image size", "evaluation", "rules version")}
    )


def comparison_key(record: Record) -> str:
    """The key inside which this record is ranked: the quality key, or under a time budget the cost key."""
    return cost_key(record) if has_time_budget(record) else quality_key(record)


def fields_of(record: Record) -> dict[str, str]:
    """The fields of the two keys as text; method and backbone are what is compared, so they are not among them."""
    fields: dict[str, Any] = {
        "dataset": record.dataset.name,
        **_quality_fields(record),
        "training crops": record.crops,
        "micro-batches": record.config.get("accumulate", 1),
        "acceleration": record.config.get("acceleration") or "none",
        "budget": budget_text(record),
        **_hardware_fields(record),
    }
    return {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
        for name, value in fields.items()
    }


def differing_fields(records: Iterable[Record]) -> dict[str, list[str]]:
    """The fields of the two keys that differ among some records, with their values, sorted."""
    values: dict[str, set[str]] = {}
    for record in records:
        for name, text in fields_of(record).items():
            values.setdefault(name, set()).add(text)

    def by_numbers(text: str) -> list[tuple[float, str]]:
        """Sorts `2 epochs` before `10 epochs`."""
        return [(float(part), "") if part.isdigit() else (-1.0, part) for part in re.split(r"(\d+)", text) if part]

    return {name: sorted(texts, key=by_numbers) for name, texts in values.items() if len(texts) > 1}
