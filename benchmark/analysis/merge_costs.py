"""Joins step-cost records from several machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.files.disk import cannot_be_written
from benchmark.records.cost import COSTS, StepCost, find_costs, read_cost, write_cost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def merge_costs(sources: Sequence[Path], out: Path, fault: Callable[[Path], str | None]) -> tuple[int, list[str]]:
    """Copies the step-cost records of several results folders into one.

    An unfinished measurement gives way to what continues it. All others stay, since runs may have their keys in theirs:
    of two with one name (machines of one kind) the second gets a name with its key. Refused are files that cannot be
    read or were changed since they were written, and those of which `fault` says why they are not what was signed.

    Returns:
        How many were copied, and a line about each that was refused.

    Raises:
        UserError: the folder cannot be written.
    """
    found, refused = find_costs(sources)
    known = {cost.key for _, cost in find_costs([out])[0]}
    copied = 0
    for path, cost in found:
        if (wrong := fault(path)) is not None:
            refused.append(f"{path}: {wrong}")
            continue
        place = out / cost.experiment / COSTS / path.name
        try:
            there = read_cost(place) if place.is_file() else None
        except ValueError as error:
            refused.append(f"{path}: in its place is a damaged file; {error}")
            continue
        if cost.key in known or (there is not None and _continues(there, cost)):
            continue
        if there is not None and not _continues(cost, there):
            place = place.with_stem(f"{place.stem}-{cost.key[:8]}")
        try:
            write_cost(place, cost)
        except OSError as error:
            raise cannot_be_written(place, error) from None
        known.add(cost.key)
        copied += 1
    return copied, refused


def _continues(later: StepCost, earlier: StepCost) -> bool:
    """Whether a record is a later stage of an unfinished measurement."""
    if earlier.status == "complete" or later.id != earlier.id:
        return False
    blocks = {entry.entry: entry.blocks for entry in later.entries}
    return all(blocks.get(e.entry, [])[: len(e.blocks)] == e.blocks for e in earlier.entries)
