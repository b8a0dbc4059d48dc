"""Reference bands: what each method reaches at a small fixed budget, so that a change for the worse is seen (rule 23).

Two numbers of each entry have a band, fixed beforehand from several seeds (`bench check --measure 3`): linear top-1 on
the validation split, and the last training loss. At this small budget most methods are hardly above their untrained
network: accuracy tells whether something is broken between images and probe, the loss whether anything is learnt at
all. (Not SimCLR's on either network: its last batch says too little, and an optimizer that never steps would go
unnoticed. Every other entry would fail one of the two bands; checked with seed 0.)
A number on the better side of its band fails too: better than ever for no reason is a bug as likely as a discovery.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchmark.errors import UserError
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
    """One number of an entry against its band.

    Attributes:
        what: `ACCURACY` (on the validation split, in percent) or `LOSS`.
        reached: None where the run did not come to its end.
    """

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
    data: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
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
    """A band in YAML, and in a comment what it was made from."""
    mean = statistics.fmean(values)
    least, digits = (LEAST_POINTS, 1) if what == ACCURACY else (LEAST_SHARE * abs(mean), 4)
    width = max(DEVIATIONS * statistics.stdev(values), least)
    low, high = mean - width, mean + width
    if what == ACCURACY:
        low, high = max(0.0, low), min(100.0, high)
    seen = ", ".join(f"{value:.{digits}f}" for value in sorted(values))
    return f"[{low:.{digits}f}, {high:.{digits}f}]  # {seen}"


def _numbers(record: Record) -> dict[str, float | None]:
    """What of a run has a band; None where it did not come to its end. An entry that trains nothing has no loss."""
    if record.metrics is None:
        return {ACCURACY: None, LOSS: None}
    numbers: dict[str, float | None] = {ACCURACY: record.metrics.scores.linear_validation_top1}
    if record.metrics.final_loss is not None:
        numbers[LOSS] = record.metrics.final_loss
    return numbers


def refuse_older(out: Path, here: Environment) -> None:
    """Refuses a folder with runs of another state of the code: they would be taken for the ones that are checked.

    Args:
        out: where runs are kept, and taken from where they are there.

    Raises:
        UserError: there are such runs, or nobody can tell.
    """
    folder = out / EXPERIMENT
    if not folder.is_dir():
        return
    known = here.commit is not None and not here.dirty
    for path, record in find_records([folder])[0]:
        of = record.environment
        if not known or (of.commit, of.dirty) != (here.commit, here.dirty):
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
    findings = []
    for record in records:
        if record.entry not in bands:
            raise UserError(f"entry '{record.entry}' has no band; {', '.join(bands)} have")
        numbers = _numbers(record)
        findings += [
            Finding(record.entry, what, numbers.get(what), low, high, record.status)
            for what, (low, high) in bands[record.entry].items()
        ]
    return findings
