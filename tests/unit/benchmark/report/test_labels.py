from __future__ import annotations

from typing import Any

import pytest

from benchmark.report import style
from benchmark.report.canvas import new_figure
from benchmark.report.labels import Box, Label, choose, place


def test_label_takes_the_free_side_and_stays_inside() -> None:
    frame = Box(0, 0, 200, 100)
    box, _, covered = choose(40, 10, (100, 50), 1.0, frame, [(Box(100, 0, 200, 100), 1.0)])
    assert covered == 0 and box.right <= 100
    box, _, _ = choose(40, 10, (198, 50), 1.0, frame, [])
    assert box.inside(frame)
    box, _, covered = choose(40, 10, (100, 50), 1.0, frame, [(frame, 1.0)])
    assert covered == pytest.approx(400) and box.inside(frame)


def test_placing_is_deterministic_and_reports_what_it_covers() -> None:
    def once() -> list[Any]:
        with style.applied():
            figure, (axes,) = new_figure(3, 2)
            figure.canvas.draw()
            return place(axes, [Label("a", 0.5, 0.5, "#000000"), Label("b", 0.5, 0.5, "#000000")], [])

    first, second = once(), once()
    assert first == second
    assert first[0].box.overlap(first[1].box) == 0 and first[0].covered == 0
