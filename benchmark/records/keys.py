"""The key of a run: the hash of everything that can change its result."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING, Any

from benchmark.files.parse import load_json
from benchmark.records.budgets import CALIBRATED_BUDGETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from benchmark.records.schema import Record

EXTERNAL = "external"
"""The method of records of encoders that were trained elsewhere."""


def run_key(
    *,
    rules: str,
    manifest: str,
    config: dict[str, Any],
    method: str,
    settings: dict[str, Any],
    backbone: dict[str, Any],
    protocols: Iterable[str],
    seed: int,
) -> str:
    """The key of a run that this project trains.

    Args:
        rules: the version of the rules of fair comparison.
        manifest: the digest of the dataset.
        config: the run's resolved configuration.
        settings: the method's settings that are not the defaults; `backbone` likewise.
        protocols: all that a run is scored by.
    """
    ingredients = {
        "rules": rules,
        "manifest": manifest,
        "image_size": config["image_size"],
        "pretrain": config["dataset"]["pretrain"],
        "method": method,
        "settings": settings,
        "backbone": backbone,
        "budget": _budget(config["budget"]),
        "batch_size": config["batch_size"],
        "precision": config["precision"],
        "protocols": sorted(protocols),
        "seed": seed,
    }
    if config.get("accumulate", 1) != 1:
        ingredients["accumulate"] = config["accumulate"]
    if acceleration := config.get("acceleration"):
        ingredients["acceleration"] = acceleration
    text = json.dumps(ingredients, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _budget(budget: dict[str, Any]) -> list[Any]:
    """Unit and limit; of a calibrated budget its steps and the key of its step cost, too. ValueError for others."""
    unit = next(iter(budget), "")
    names = [unit, "steps", "step_cost"] if unit in CALIBRATED_BUDGETS else [unit]
    if list(budget) != names:
        raise ValueError(f"a budget of {', '.join(budget) or 'nothing'}; expected {', '.join(names)}")
    return [unit, *budget.values()]


# Settings that change numbers, but not the work of a step: two learning rates cost the same. A weight decay of zero is
# less work than any other.
FREE_SETTINGS = (
    "primary",
    *(
        f"optimizer.{name}"
        for name in ("lr", "lr_rule", "weight_decay", "weight_decay_end", "betas", "trust_coefficient", "warmup")
    ),
    *("optimizer.warmup_start", "optimizer.final_lr", "ema.start", "ema.half_life", "ema.end"),
)


def step_key(
    *, manifest: str, config: dict[str, Any], method: str, settings: dict[str, Any], backbone: dict[str, Any]
) -> str:
    """The key of a training step's cost: the hash of everything in a configuration that can change it.

    As `run_key`, without seed, budget, precision (which is the hardware's), rules, protocols and `FREE_SETTINGS`.
    """
    optimizer = (config.get("method") or {}).get("optimizer") or {}
    decays = any(optimizer.get(name) for name in ("weight_decay", "weight_decay_end"))
    ingredients: dict[str, Any] = {
        "manifest": manifest,
        "image_size": config["image_size"],
        "pretrain": config["dataset"]["pretrain"],
        "method": method,
        "settings": _without(settings, FREE_SETTINGS),
        "backbone": backbone,
        "batch_size": config["batch_size"],
        "accumulate": config.get("accumulate", 1),
        "decays": not decays,  # by this name, the wrong way round, in the keys of records
    }
    if acceleration := config.get("acceleration"):
        ingredients["acceleration"] = acceleration
    text = json.dumps(ingredients, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def step_key_of(record: Record) -> str | None:
    """The key of a run's step cost; None if the record lacks something that it is made from."""
    made_from = record.key_settings
    if made_from is None:
        return None
    try:
        return step_key(
            manifest=record.dataset.manifest,
            config=record.config,
            method=record.method,
            settings=made_from.settings,
            backbone=made_from.backbone,
        )
    except (KeyError, TypeError):
        return None


def _without(settings: dict[str, Any], names: Iterable[str], prefix: str = "") -> dict[str, Any]:
    """Nested settings without some, by dotted name; a part that becomes empty goes too."""
    kept = {}
    for name, value in settings.items():
        path = f"{prefix}{name}"
        if path in names:
            continue
        if isinstance(value, dict):
            value = _without(value, names, f"{path}.")
            if not value:
                continue
        kept[name] = value
    return kept


def weights_key(weights: Iterable[tuple[str, bytes]], config: dict[str, Any], rules: str, manifest: str) -> str:
    """The key of an encoder trained elsewhere: a hash of its weights and of everything else that can change its scores.

    Args:
        weights: names and raw bytes, sorted by name.
        config: the record's configuration; the file's name and format do not count.
        rules: as for `run_key`; `manifest` likewise.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, content in weights:
        digest.update(name.encode() + content)
    parts = {name: config[name] for name in ("backbone", "image_size", "evaluation")}
    digest.update(json.dumps({**parts, "rules": rules, "manifest": manifest}, sort_keys=True).encode())
    return digest.hexdigest()


def recomputed_key(folder: Path, record: Record) -> str | None:
    """The key that a record should have; None if the record lacks something that its key was made from.

    Raises:
        ValueError: its configuration cannot be that of a run, or is not that of its key; its encoder is damaged.
    """
    made_from = record.key_settings
    encoder = folder / "encoder.safetensors"
    if record.method == EXTERNAL and made_from is None and encoder.is_file():
        try:
            return weights_key(_stored(encoder), record.config, record.rules_version, record.dataset.manifest)
        except (KeyError, TypeError, ValueError, OSError, struct.error):
            raise ValueError(f"its key cannot be made from its configuration and {encoder.name} beside it") from None
    if made_from is None:
        return None
    for name, part in (("method", made_from.settings), ("backbone", made_from.backbone)):
        if not _is_part(part, record.config.get(name)):
            raise ValueError(f"its key was made from other settings of its {name} than those of its configuration")
    try:
        return run_key(
            rules=record.rules_version,
            manifest=record.dataset.manifest,
            config=record.config,
            method=record.method,
            settings=made_from.settings,
            backbone=made_from.backbone,
            protocols=record.config["evaluation"]["protocols"],
            seed=record.seed,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError("its configuration lacks what its key was made from") from None


def _stored(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and raw bytes of a safetensors file's tensors, sorted by name, one at a time."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > path.stat().st_size:
            raise ValueError(f"declares a header of {length:,} bytes")
        header = load_json(file.read(length).decode())
        for name in sorted(header):
            if name != "__metadata__":
                start, end = header[name]["data_offsets"]
                file.seek(8 + length + start)
                yield name, file.read(end - start)


def _is_part(part: Any, whole: Any) -> bool:
    """Whether a nested mapping is part of another one."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and _is_part(value, whole[name]) for name, value in part.items())
    return bool(part == whole)
