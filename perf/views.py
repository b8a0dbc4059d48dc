"""How much faster views are made a batch at a time than an image at a time by lightly's `SimCLRTransform`.

Both sides make SimCLR's two views of the same images, with the same settings, up to one normalised batch per view;
lightly's side starts from PIL images that are in memory already. One thread each, so that the numbers are per core.
Time is the processor's, which other work on the machine disturbs less than the clock; the sides take turns.
"""

from __future__ import annotations

import statistics
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from lightly.transforms import SimCLRTransform
from PIL import Image

from benchmark.data.augment import Augmenter
from methods.views import ViewSpec

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS = 7
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# glibc hands blocks smaller than the largest one that was ever freed back to the system late. A training step frees
# large ones at once; here that has to be done for it, or fresh pages are what is measured.
_LARGE_BYTES = 31 * 2**20


@dataclass(frozen=True)
class Case:
    """One line of the comparison.

    Attributes:
        source: side of the images in pixels.
        size: side of the views.
        blur: probability of a blur.
        batch: images that are augmented at a time.
        aim: how many times faster the batch is meant to be.
    """

    source: int
    size: int
    blur: float
    batch: int
    aim: float


CASES = (
    Case(source=32, size=32, blur=0.0, batch=256, aim=8),
    Case(source=32, size=32, blur=0.5, batch=256, aim=8),
    Case(source=64, size=64, blur=0.5, batch=128, aim=3),
    Case(source=256, size=224, blur=0.5, batch=16, aim=2),
)


def measure(case: Case) -> tuple[float, float]:
    """Images per second of processor time, two views of each: lightly's and ours."""
    generator = torch.Generator().manual_seed(0)
    shape = (case.batch, 3, case.source, case.source)
    images_BCHW = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images_BCHW]
    transform = SimCLRTransform(input_size=case.size, gaussian_blur=case.blur)
    spec = ViewSpec(jitter=0.8, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, grayscale=0.2, blur=case.blur)
    augmenter = Augmenter([spec, spec], case.size, _MEAN, _STD)

    def theirs() -> object:
        pairs = [transform(picture) for picture in pictures]
        return [torch.stack(views) for views in zip(*pairs, strict=True)]

    def ours() -> object:
        return augmenter(images_BCHW, augmenter.sample(case.batch, (case.source, case.source), generator))

    theirs(), ours()
    # Ours several times a round: it is so much shorter.
    seconds = [(_seconds(theirs, 1), _seconds(ours, 5)) for _ in range(_ROUNDS)]
    slow, fast = (statistics.median(side) for side in zip(*seconds, strict=True))
    return case.batch / slow, case.batch / fast


def _seconds(make: Callable[[], object], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        make()
    return (time.process_time() - start) / repeats


def main() -> None:
    """Prints one line per case."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.empty(_LARGE_BYTES, dtype=torch.uint8).fill_(0)
    for case in CASES:
        slow, fast = measure(case)
        print(
            f"views {case.source:>3} -> {case.size:>3} px, blur {case.blur}, batch {case.batch:>3}: "
            f"lightly {slow:7.0f} images/s, ours {fast:7.0f} images/s, ratio {fast / slow:5.1f} (aim {case.aim:g})"
        )


if __name__ == "__main__":
    main()
