"""Views: images per second through SimCLR's two views, made for a whole batch at a time on the device.

The draws on the CPU and their transfer are part of the time, as in a training step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from benchmark.data.views.augment import Augmenter
from methods.views import ViewSpec
from stages.clock import median_seconds

if TYPE_CHECKING:
    from stages.plan import Context

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_COLOURS = ViewSpec(jitter=0.8, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, grayscale=0.2)


@dataclass(frozen=True)
class _Case:
    """Images of `source` pixels, cropped to `size`; `blur` is a blur's probability."""

    source: int
    size: int
    blur: float
    batch: int

    @property
    def name(self) -> str:
        return f"{self.source} -> {self.size} px, blur {self.blur}, batch {self.batch}"


_CASES = (_Case(32, 32, 0.0, 512), _Case(32, 32, 0.0, 2048), _Case(256, 224, 0.5, 128), _Case(256, 224, 0.5, 256))
_TINY = (_Case(72, 64, 0.5, 4),)


def run(context: Context) -> str | None:
    """Measures every case that has no row yet, as it is and with compiled colours."""
    # Compiled ones last: they take a minute before the first image, and may fail where there is no C compiler. A dry
    # run leaves them out: a test holds that they give the same views.
    backends = (None,) if context.tiny else (None, "inductor")
    cases = [(case, backend) for backend in backends for case in (_TINY if context.tiny else _CASES)]
    for case, backend in cases:
        name = f"{case.name}{', compiled' if backend else ''}"
        if context.results.has(name):
            continue
        if context.left < 2:
            return f"time was up before {name}"
        with context.attempt(name):
            seconds = _seconds(context, case, backend)
            context.results.add(name, case.batch / seconds, "images/s", f"{1e3 * seconds:.2f} ms a batch, two views")
    return None


def _seconds(context: Context, case: _Case, backend: str | None) -> float:
    """Seconds of a batch."""
    generator = torch.Generator().manual_seed(0)
    shape = (case.batch, 3, case.source, case.source)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(context.device)
    spec = _COLOURS.model_copy(update={"blur": case.blur})
    augmenter = Augmenter([spec, spec], case.size, _MEAN, _STD, backend=backend)
    rounds, seconds = (2, 0.1) if context.tiny else (5, 1.0)

    def make() -> object:
        return augmenter.draw_views(images, generator)

    for _ in range(4 if backend else 0):  # compiles for the numbers of images that occur
        make()
    return median_seconds(make, context.device, rounds=rounds, seconds=seconds)
