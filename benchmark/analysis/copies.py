"""One run that stands under several keys or seeds: a copy that somebody gave another name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmark.records import Record

_LEDGER, _LOSS = "scores and ledger", "final loss and scores"  # what gives a copy away


def copies(found: Iterable[tuple[Path, Record]]) -> dict[Path, str]:
    """Which records hold the measurements of another one, and what gives them away.

    Two runs may reach the same accuracies, but never in the same time to the last digit; and two seeds never end with
    the same loss and all the same accuracies. Which of the two was measured cannot be told, so that both are named.
    The same key and seed twice is one run that came twice.

    Args:
        found: record files and what they hold.

    Returns:
        A clause for each file that shares its measurements with a run of another key or seed.
    """
    groups: dict[tuple[str, str], list[tuple[Path, Record]]] = {}
    for path, record in found:
        reached = record.metrics or record.trial_metrics
        if reached is None:
            continue
        scores = reached.model_dump_json()
        if record.ledger is not None and record.ledger.total_time > 0:
            same = (_LEDGER, scores + record.ledger.model_dump_json())
            groups.setdefault(same, []).append((path, record))
        if reached.final_loss is not None:
            groups.setdefault((_LOSS, record.method + scores), []).append((path, record))
    clauses: dict[Path, str] = {}
    for (equal, _), members in groups.items():
        for path, record in members:
            other = next((pair for pair in members if _is_other(record, pair[1], equal)), None)
            if other is not None and path not in clauses:
                unlike = "seed" if other[1].seed != record.seed else "key"
                clauses[path] = (
                    f"its {equal} are to the last digit those of {other[0]}, which has another {unlike}; "
                    "one of the two is a copy"
                )
    return clauses


def _is_other(one: Record, two: Record, equal: str) -> bool:
    """Whether two records claim to be different runs; under changed settings a loss can stay what it was."""
    return one.seed != two.seed or (equal == _LEDGER and one.key != two.key)
