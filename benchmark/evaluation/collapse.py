"""Detects collapsed features, from the validation features at a run's evaluation points (rule 18)."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Ours. Untrained networks of the quickstart have 0.47 and 41 (slim ResNet-18), 0.20 and 5.7 (small ViT).
LEAST_STD = 0.05  # of L2-normalised features times sqrt(D); 1 is an even spread of directions
LEAST_RANK = 2.0  # RankMe; 1 is a single direction
FROM_PROGRESS = 0.4  # earlier, features may still be in the narrow cone that they start from


def collapse(history: Iterable[Mapping[str, Any]], points: int) -> str | None:
    """An explanation if features have collapsed at two evaluation points in a row after progress 0.4; otherwise None.

    Where a run has one such point alone, that one decides. A step rarely ends exactly at one of the run's `points`; the
    last one passed counts.
    """
    late = [
        line
        for line in history
        if line["kind"] == "evaluation" and math.floor(line["progress"] * points + 1e-9) / points > FROM_PROGRESS
    ]
    for before, line in itertools.pairwise(late if len(late) != 1 else late * 2):
        if narrowness(before) and (narrow := narrowness(line)):
            return f"features collapsed by progress {line['progress']:.2f}: {narrow}"
    return None


def narrowness(spread: Mapping[str, Any]) -> str | None:
    """By how much features are too narrow for a representation, in words; None if they are not.

    Args:
        spread: `feature_std` and `rankme` of features.
    """
    if spread["feature_std"] >= LEAST_STD and spread["rankme"] >= LEAST_RANK:
        return None
    return (
        f"spread {spread['feature_std']:.3f} (at least {LEAST_STD}), "
        f"RankMe {spread['rankme']:.2f} (at least {LEAST_RANK:g})"
    )
