"""Reference bands: what each method reaches at a small fixed budget, so that regressions are noticed (rule 23).

Two numbers of each entry have a band, fixed beforehand from several seeds (`bench check --measure 3`): linear top-1 on
the validation split, and the last training loss. At this small budget most methods are hardly better than their
untrained network: accuracy shows whether something is broken between images and probe, the loss whether anything is
learnt at all. (SimCLR's loss does not on either network: its last batch is too noisy, and an optimizer that never steps
would go unnoticed. Every other entry would fail one of the two bands; checked with seed 0.)
A number on the better side of its band fails too: an unexplained improvement is as likely a bug as a discovery.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.files.disk import read_yaml
from benchmark.records.folder import find_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.records.schema import Environment, Record

EXPERIMENT = "check"
DEVIATIONS = 4.0  # standard deviations over seeds, of a band to either side
LEAST_POINTS, LEAST_SHARE = 4.0, 0.02  # of a band at least: of accuracy in points, of a loss as a share of itself
ACCURACY, LOSS = "linear top-1", "final loss"
_FILE = Path(__file__).with_name("bands.yaml")


@dataclass(frozen=True)
class Finding:
    """One number of an entry, `ACCURACY` in percent or `LOSS`, against its band; None if the run did not finish."""

    entry: str
    what: str
    reached: float | None
    low: float
    high: float
    status: str

    @property
    def verdict(self) -> str:
        """`ok`, `below`, `above`, or how the run failed."""
        if self.reached is None:
            return self.status
        return "below" if self.reached < self.low else "above" if self.reached > self.high else "ok"


def read_bands() -> dict[str, dict[str, tuple[float, float]]]:
    """The committed bands: by entry, then by number."""
    data: dict[str, Any] = read_yaml(_FILE)
    return {
        entry: {what: (float(low), float(high)) for what, (low, high) in bands.items()}
        for entry, bands in data["bands"].items()
    }


def measure(records: Sequence[Record]) -> str:
    """The content of `bands.yaml` by what several seeds reached. It is committed by hand, with the reason.

    Raises:
        UserError: an entry has fewer than two completed runs.
    """
    reached: dict[str, dict[str, list[float]]] = {}
    for record in records:
        for what, value in _numbers(record).items():
            if value is not None:
                reached.setdefault(record.entry, {}).setdefault(what, []).append(value)
    seeds = sorted({record.seed for record in records})
    lines = [f"# From seeds {', '.join(map(str, seeds))} (bench check --measure {len(seeds)}).", "bands:"]
    for entry, numbers in sorted(reached.items()):
        lines.append(f"  {entry}:")
        for what, values in numbers.items():
            if len(values) < 2:
                raise UserError(f"entry '{entry}' has one completed run; a band needs at least two seeds")
            lines.append(f"    {what}: {_band(what, values)}")
    return "\n".join(lines)


def _band(what: str, values: Sequence[float]) -> str:
    """A band in YAML, with its source values in a comment."""
    mean = statistics.fmean(values)
    least, digits = (LEAST_POINTS, 1) if what == ACCURACY else (LEAST_SHARE * abs(mean), 4)
    width = max(DEVIATIONS * statistics.stdev(values), least)
    low, high = mean - width, mean + width
    if what == ACCURACY:
        low, high = max(0.0, low), min(100.0, high)
    seen = ", ".join(f"{value:.{digits}f}" for value in sorted(values))
    return f"[{low:.{digits}f}, {high:.{digits}f}]  # {seen}"


def _numbers(record: Record) -> dict[str, float | None]:
    """The numbers of a run that have bands; None if it did not finish, or trains nothing and has no loss."""
    metrics = record.metrics
    accuracy = None if metrics is None else metrics.scores.linear_validation_top1
    return {ACCURACY: accuracy, LOSS: None if metrics is None else metrics.final_loss}


def refuse_older(out: Path, here: Environment) -> None:
    """Refuses a folder with runs of another state of the code, since they would be reused instead of trained again.

    Raises:
        UserError: there are such runs, or the state of the code is unknown.
    """
    folder = out / EXPERIMENT
    if not folder.is_dir():
        return
    known = here.commit is not None and not here.dirty
    for path, record in find_records([folder])[0]:
        environment = record.environment
        if not known or (environment.commit, environment.dirty) != (here.commit, here.dirty):
            raise UserError(
                f"{path}: is of another state of the code, or of one with changes, and would not be trained again; "
                "name another --out"
            )


def compare(records: Sequence[Record]) -> list[Finding]:
    """Each run against its entry's bands.

    Raises:
        UserError: an entry has no band.
    """
    bands = read_bands()
    for record in records:
        if record.entry not in bands:
            raise UserError(f"entry '{record.entry}' has no band; {', '.join(bands)} have")
    return [
        Finding(record.entry, what, _numbers(record)[what], low, high, record.status)
        for record in records
        for what, (low, high) in bands[record.entry].items()
    ]
