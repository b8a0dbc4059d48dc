"""How long a run's probes take: the progress of each one, and an estimate of those to come."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmark.evaluation.features import Watch
    from benchmark.runs.progress import Reporter


class ProbeClock:
    """Times the probes of one run by the images that pass the encoder, and shows their progress."""

    def __init__(self, reporter: Reporter, clock: Callable[[], float] = time.monotonic) -> None:
        self._reporter, self._clock = reporter, clock
        self._seconds, self._images = 0.0, 0

    def estimate(self, images: int) -> float | None:
        """Seconds that a probe of so many images takes, by the probes so far; None before the first one."""
        return self._seconds / self._images * images if self._images else None

    @contextmanager
    def probing(self, title: str, images: int) -> Iterator[Watch]:
        """A probe for which so many images pass the encoder. The block's value receives its progress.

        The time left is known once there has been a probe. In the first one it is that of the features alone, which
        are followed by the classifiers.
        """
        start, done = self._clock(), 0
        expected = self.estimate(images)

        def watch(stage: str, more: int) -> None:
            nonlocal done
            done += more
            elapsed = self._clock() - start
            left = None
            if expected is not None:
                left = max(0.0, expected - elapsed)
            elif 0 < done < images:
                left = elapsed / done * (images - done)
            state = f"{stage}, {done:,} of {images:,} images" if more else stage
            self._reporter.probing(title, min(1.0, done / max(images, 1)), state, left)

        self._reporter.probing(title, 0.0, "starting", expected)
        yield watch
        self._seconds += self._clock() - start
        self._images += images
