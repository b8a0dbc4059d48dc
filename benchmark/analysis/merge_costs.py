"""Joins step-cost records from several machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.files import cannot_be_written
from benchmark.records.cost import COSTS, StepCost, find_costs, read_cost, write_cost

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmark.records.cost import Block


def merge_costs(sources: Sequence[Path], out: Path) -> tuple[int, list[str]]:
    """Copies the step-cost records of several results folders into one.

    Of two stages of one measurement the one with more rounds is kept. Refused are files that cannot be read or were
    changed since they were written, and two different records of one name of which neither continues the other.

    Returns:
        How many were copied, and a line about each that was refused.

    Raises:
        UserError: the folder cannot be written.
    """
    found, refused = find_costs(sources)
    copied = 0
    for path, cost in found:
        place = out / cost.experiment / COSTS / path.name
        try:
            there = read_cost(place) if place.is_file() else None
        except ValueError as error:
            refused.append(f"{path}: in its place is a damaged file; {error}")
            continue
        if there is not None and there.id != cost.id:
            refused.append(f"{path}: another measurement is in {place}")
        elif there is not None and there.rounds == cost.rounds and _blocks(there) != _blocks(cost):
            refused.append(f"{path}: other numbers of the same measurement and as many rounds are in {place}")
        elif there is None or (cost.rounds, cost.ended) > (there.rounds, there.ended):
            try:
                write_cost(place, cost)
            except OSError as error:
                raise cannot_be_written(place, error) from None
            copied += 1
    return copied, refused


def _blocks(cost: StepCost) -> list[tuple[str, list[Block]]]:
    return [(entry.entry, entry.blocks) for entry in cost.entries]
