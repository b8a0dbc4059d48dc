"""The coordinates of rows in a panel of cost and accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from benchmark.analysis.comparison import MIN_RESULT, Row, training_cost
from benchmark.analysis.fronts import compared_cost, own_time_limit, priced_by_budget
from benchmark.records.budgets import fixed_cost
from benchmark.report.canvas import ladders

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Plot:
    """The contents of one panel.

    Attributes:
        paid: rows with training time.
        floors: untrained networks.
        unit: of cost, in seconds.
        published: whether published runs are drawn, too.
    """

    axes: Axes
    paid: list[Row]
    floors: list[Row]
    unit: float
    published: bool

    @cached_property
    def equal(self) -> bool:
        """Whether several rows have the same time budget, so that their points would hide each other.

        Not if they are priced by another record than the one that set their steps: their costs then differ.
        """
        costs = {fixed_cost(row.first) for row in self.paid}
        same = len(self.paid) > 1 and len(costs) == 1 and None not in costs
        return same and all(row.price is None or priced_by_budget(row) for row in self.paid)

    @cached_property
    def _places(self) -> dict[int, float]:
        """The places of rows of equal cost, by id: side by side from the most accurate on."""
        rows = sorted(self.paid, key=lambda row: (-(row.accuracy.mean or 0.0), row.first.experiment, row.first.entry))
        return {id(row): float(place) for place, row in enumerate(rows)}

    def at(self, row: Row) -> tuple[float, float]:
        """The row's means in the figure's units; if all costs are equal, its place instead of its cost."""
        x = compared_cost(row) / self.unit if not self.equal else self._places[id(row)]
        return x, row.accuracy.mean or 0.0

    def seeds(self, row: Row) -> list[tuple[float, float]]:
        """The row's runs in the figure's units, likewise; one without a safe time of its own is at the row's cost."""
        mean = self.at(row)[0]
        own = not self.equal and self._has_own_times(row)
        points = []
        for record in row.measured:
            if record.metrics and (cost := training_cost(record)) is not None:
                x = cost / self.unit if own and record in row.timed else mean
                points.append((x, record.metrics.scores.linear_top1))
        return points

    def ladders(self) -> list[list[Row]]:
        """The paid rows that a line joins, by entry; each by itself if all costs are equal."""
        return [[row] for row in self.paid] if self.equal else ladders(self.paid)

    def reach(self, row: Row) -> float | None:
        """Half of the interval of its cost in the figure's units, cut at zero; None if there is none to draw."""
        known = row.price is not None or (row.cost.n >= MIN_RESULT and self._has_own_times(row))
        if row.cost.ci95 is None or not known or row.unsafe or self.equal:
            return None
        return min(row.cost.ci95 / self.unit, 0.999 * self.at(row)[0])

    def _has_own_times(self, row: Row) -> bool:
        """Whether its runs are drawn at their own times: neither priced nor set by the budget."""
        return row.price is None and own_time_limit(row) is None

    def height(self, row: Row) -> float | None:
        """Half of the interval of its accuracy, from three seeds on; below, the test split's sampling error."""
        return row.accuracy.ci95 if row.accuracy.n >= MIN_RESULT else row.sampling95

    def pixels(self, point: tuple[float, float]) -> tuple[float, float]:
        """The point in display coordinates."""
        x, y = self.axes.transData.transform(point)
        return float(x), float(y)
