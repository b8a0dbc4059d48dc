"""One run that stands under several keys or seeds: a copy that somebody gave another name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmark.records import Record


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
    groups: dict[str, list[tuple[Path, Record]]] = {}
    for path, record in found:
        reached = record.metrics or record.trial_metrics
        if reached is None:
            continue
        scores = reached.model_dump_json()
        if record.ledger is not None and record.ledger.total_time > 0:
            groups.setdefault(f"scores and ledger {scores} {record.ledger.model_dump_json()}", []).append(
                (path, record)
            )
        if reached.final_loss is not None:
            groups.setdefault(f"loss and scores {record.method} {scores}", []).append((path, record))
    clauses: dict[Path, str] = {}
    for what, members in groups.items():
        by_seed_alone = what.startswith("loss")
        for path, record in members:
            other = next((pair for pair in members if _is_other(record, pair[1], by_seed_alone=by_seed_alone)), None)
            if other is not None and path not in clauses:
                equal = "final loss and scores" if by_seed_alone else "scores and ledger"
                unlike = "seed" if other[1].seed != record.seed else "key"
                clauses[path] = (
                    f"its {equal} are to the last digit those of {other[0]}, which has another {unlike}; "
                    "one of the two is a copy"
                )
    return clauses


def _is_other(one: Record, two: Record, *, by_seed_alone: bool) -> bool:
    """Whether two records claim to be different runs; under changed settings a loss can stay what it was."""
    return one.seed != two.seed or (not by_seed_alone and one.key != two.key)
