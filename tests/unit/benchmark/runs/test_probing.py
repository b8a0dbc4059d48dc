"""The progress of probes, and the time that they will take."""

from __future__ import annotations

import pytest

from benchmark.runs.probing import ProbeClock


class Display:
    """A reporter that remembers what it shows."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, float, str, float | None]] = []

    def probing(self, title: str, share: float, state: str, left: float | None) -> None:
        self.shown.append((title, share, state, left))


def test_the_first_probe_shows_its_features_and_later_ones_the_time_left() -> None:
    display, now = Display(), [100.0]
    clock = ProbeClock(display, lambda: now[0])  # type: ignore[arg-type]
    assert clock.estimate(400) is None
    with clock.probing("probe 1 of 2", 200) as watch:
        now[0] += 2.0
        watch("features", 50)
        watch("features", 150)
        now[0] += 6.0
        watch("linear classifiers, 3 of 8 fitted", 0)
    assert display.shown == [
        ("probe 1 of 2", 0.0, "starting", None),
        ("probe 1 of 2", 0.25, "features, 50 of 200 images", 6.0),
        ("probe 1 of 2", 1.0, "features, 200 of 200 images", None),
        ("probe 1 of 2", 1.0, "linear classifiers, 3 of 8 fitted", None),
    ]
    assert clock.estimate(400) == 16.0
    display.shown.clear()
    with clock.probing("probe 2 of 2", 200) as watch:
        now[0] += 3.0
        watch("features", 100)
        now[0] += 7.0
        watch("nearest neighbours", 100)
    assert [left for *_, left in display.shown] == [8.0, 5.0, 0.0]
    assert clock.estimate(400) == pytest.approx(18.0)
