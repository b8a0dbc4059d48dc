"""Reference bands: what each method reaches at a small fixed budget, so that a change for the worse is seen (rule 23).

A band is fixed beforehand, from several seeds (`bench check --measure 3`). A result above it fails too: better than
ever for no reason is a bug as likely as a discovery. The budget is small: most methods are hardly above the floor
there, so that a band tells what is broken, not what has become a little worse.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchmark.errors import UserError
from benchmark.records import find_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.records import Environment, Record

EXPERIMENT = "check"
LEAST_WIDTH, DEVIATIONS = 4.0, 4.0  # of a band to either side: points, and standard deviations over seeds
_FILE = Path(__file__).with_name("bands.yaml")


@dataclass(frozen=True)
class Finding:
    """One entry against its band: linear top-1 on the validation split, in percent.

    Attributes:
        entry: its name.
        reached: None where the run did not come to its end.
        low: the band's lower end.
        high: the band's upper end.
        status: of the run.
    """

    entry: str
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


def read_bands() -> dict[str, tuple[float, float]]:
    """The committed bands by entry."""
    data: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return {name: (float(low), float(high)) for name, (low, high) in data["bands"].items()}


def measure(records: Sequence[Record]) -> str:
    """The content of `bands.yaml` by what several seeds reached. It is committed by hand, with the reason.

    Raises:
        UserError: an entry has fewer than two completed runs.
    """
    reached: dict[str, list[float]] = {}
    for record in records:
        if record.metrics is not None:
            reached.setdefault(record.entry, []).append(record.metrics.scores.linear_validation_top1)
    seeds = sorted({record.seed for record in records})
    lines = [f"# Linear top-1 on the validation split, percent; from seeds {', '.join(map(str, seeds))}.", "bands:"]
    for entry, values in sorted(reached.items()):
        if len(values) < 2:
            raise UserError(f"entry '{entry}' has one completed run; a band needs at least two seeds")
        mean, width = statistics.fmean(values), max(DEVIATIONS * statistics.stdev(values), LEAST_WIDTH)
        band = f"[{max(0.0, mean - width):.1f}, {min(100.0, mean + width):.1f}]"
        lines.append(f"  {entry}: {band}  # {', '.join(f'{value:.1f}' for value in sorted(values))}")
    return "\n".join(lines)


def refuse_older(out: Path, here: Environment) -> None:
    """Refuses a folder with runs of another state of the code: they would be taken for the ones that are checked.

    Args:
        out: where runs are kept, and taken from where they are there.
        here: what this code is.

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
    """Each run against its entry's band.

    Raises:
        UserError: an entry has no band.
    """
    bands = read_bands()
    findings = []
    for record in records:
        if record.entry not in bands:
            raise UserError(f"entry '{record.entry}' has no band; {', '.join(bands)} have")
        reached = None if record.metrics is None else record.metrics.scores.linear_validation_top1
        findings.append(Finding(record.entry, reached, *bands[record.entry], record.status))
    return findings
