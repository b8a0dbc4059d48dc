"""What each entry keeps of an image: scores of dense protocols side by side, for columns and a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.analysis.probes import further_tables
from benchmark.analysis.statistics import summarise

if TYPE_CHECKING:
    from benchmark.analysis.comparison import Comparison, Row
    from benchmark.analysis.probes import FurtherTable, Probes
    from benchmark.analysis.statistics import Summary


@dataclass(frozen=True)
class Property:
    """Something that an encoder may keep, and the score that shows it.

    Attributes:
        name: of the leaderboard's columns.
        label: of the axis, with the unit.
        meaning: for the leaderboard's documentation.
        higher: whether a higher score is better.
    """

    name: str
    label: str
    protocol: str
    score: str
    meaning: str
    higher: bool


PROPERTIES = (
    Property("miou", "mIoU (%)", "segmentation-v1", "miou", "mean intersection over union of `segmentation-v1`", True),
    Property(
        "stages_miou",
        "mIoU, all stages (%)",
        "segmentation-stages-v1",
        "miou",
        "the same of `segmentation-stages-v1`; empty for a ViT",
        True,
    ),
    Property("knn_miou", "mIoU, kNN (%)", "segmentation-knn-v1", "miou", "the same of `segmentation-knn-v1`", True),
    Property("depth_rmse", "depth RMSE", "depth-v1", "depth_rmse", "root mean squared error of `depth-v1`", False),
    Property("count_mae", "count MAE", "counting-v1", "count_mae", "mean absolute error of `counting-v1`", False),
    Property("box_ap", "box AP (%)", "detection-v1", "box_ap", "average precision of `detection-v1`", True),
    Property("mask_ap", "mask AP (%)", "instances-v1", "mask_ap", "average precision of masks of `instances-v1`", True),
)


@dataclass(frozen=True)
class Kept:
    """A property's scores in one comparison.

    Attributes:
        dataset: what it was measured on.
        summaries: over seeds, by `id` of the row.
        floor: what knowing nothing of the image scores; None where the protocol does not say.
    """

    property: Property
    dataset: str
    summaries: dict[int, Summary]
    floor: float | None


def kept(comparison: Comparison, probes: Probes) -> list[Kept]:
    """The properties that were measured, each on one dataset.

    That is the comparison's own where it was measured there, else the one with the most rows, the first by name.
    """
    tables = further_tables(comparison, probes)
    found = []
    for wanted in PROPERTIES:
        mine = [table for table in tables if table.protocol == wanted.protocol and wanted.score in table.scores]
        if mine:
            found.append(_of(wanted, max(mine, key=lambda table: _preference(table, comparison))))
    return found


def kept_of(row: Row, measured: list[Kept], name: str) -> Summary:
    """A row's summary of a property; empty where it was not measured."""
    found = (each.summaries.get(id(row)) for each in measured if each.property.name == name)
    return next((summary for summary in found if summary is not None), summarise(()))


def _preference(table: FurtherTable, comparison: Comparison) -> tuple[bool, int]:
    return table.dataset == comparison.first.dataset.name, len(table.rows)


def _of(wanted: Property, table: FurtherTable) -> Kept:
    summaries = {id(row): scores[wanted.score] for row, scores in table.rows if scores[wanted.score].n}
    name = f"{wanted.score}_floor"
    floors = [scores[name].mean for _, scores in table.rows if name in scores and scores[name].n]
    return Kept(wanted, table.dataset, summaries, floors[0] if floors else None)
