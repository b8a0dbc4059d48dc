"""What an accuracy in a figure was measured on: the split, the number of its images, the weights of the encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.report import style
from benchmark.text import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.records.schema import Record


def images_text(split: str, records: Sequence[Record]) -> str:
    """`10,000 test images`; without the number where records differ or do not have it."""
    counts = {record.dataset.counts.get(split) for record in records}
    number = counts.pop() if len(counts) == 1 else None
    return f"{number:,} {split} images" if number else f"{split} images"


def accuracy_label(probe: str, split: str, records: Sequence[Record]) -> str:
    """The label of an axis, such as `Linear top-1 on 10,000 test images (%)`."""
    return f"{f'{probe} top-1' if probe else 'Top-1'} on {images_text(split, records)} (%)"


def scored_weights(records: Sequence[Record]) -> str:
    """A sentence that says which weights were scored: the moving average's or the trained ones, by entry."""
    primary = {record.entry: record.metrics.primary for record in records if record.metrics is not None}
    averaged = [style.display(entry) for entry, weights in primary.items() if weights == "ema"]
    if not averaged:
        return "Scored are the trained weights of each entry."
    others = "; of the others, the trained weights" if len(averaged) < len(primary) else ""
    return f"Scored are the weights of the moving average of {listing(averaged)}{others}."


def images_learnt_from(records: Sequence[Record]) -> tuple[int | None, int | None]:
    """How many training images the probes during the runs learn from, and the final ones; None where unknown."""
    evaluations = [record.config.get("evaluation") for record in records]
    during = {e.get("images") if isinstance(e, dict) else None for e in evaluations}
    final = {record.dataset.counts.get("train") for record in records}
    every = final.pop() if len(final) == 1 else None
    limit = during.pop() if len(during) == 1 else None
    return (min(limit, every) if limit and every else limit or every), every
