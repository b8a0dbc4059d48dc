"""The key of a run: the hash of everything that can change its result. No torch, so that records can be checked."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmark.records import Record


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
    """The key.

    Args:
        rules: the version of the rules of fair comparison.
        manifest: the digest of the dataset.
        config: the run's resolved configuration, of which the budget, the batch and the like are taken.
        method: its name.
        settings: the method's that are unlike their defaults.
        backbone: the backbone's that are unlike their defaults.
        protocols: that every run is scored by.
        seed: of the run.
    """
    ((unit, limit),) = config["budget"].items()
    ingredients = {
        "rules": rules,
        "manifest": manifest,
        "image_size": config["image_size"],
        "pretrain": config["dataset"]["pretrain"],
        "method": method,
        "settings": settings,
        "backbone": backbone,
        "budget": [unit, limit],
        "batch_size": config["batch_size"],
        "precision": config["precision"],
        "protocols": sorted(protocols),
        "seed": seed,
    }
    if config.get("accumulate", 1) != 1:
        ingredients["accumulate"] = config["accumulate"]
    text = json.dumps(ingredients, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def recomputed_key(record: Record) -> str | None:
    """The key that a record should have; None where it does not hold all that its key was made from.

    Raises:
        ValueError: its configuration cannot be that of a run, or is not that of its key.
    """
    made_from = record.key_settings
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


def _is_part(part: Any, whole: Any) -> bool:
    """Whether what a nested mapping says is said by another one, too."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and _is_part(value, whole[name]) for name, value in part.items())
    return bool(part == whole)
