"""The speed of views made for a whole batch, against lightly's `SimCLRTransform` for each image; the cost of exactness.

Both sides make SimCLR's two views of the same images, with the same settings, up to one normalised batch per view;
lightly starts from PIL images in memory. One thread each, so that the numbers are per core. Times are processor times,
which other work on the machine disturbs less than wall-clock time; the sides take turns.

Views equal the results of torchvision's functions. Two of these functions have cheaper approximations, which are in
this script only: hue as a rotation of the YIQ plane, by one matrix per image, instead of HSV; and a bilinear crop from
two pixels in each direction, however much smaller the view is, without antialiasing. The second part measures how much
faster views would be with each of them, and the error on smooth images (noise would increase it).

The third part is for GPUs: the same views at 32 px of images on the GPU, in wall-clock time, including the draws on the
CPU and their transfer. Claim: at least 200,000 images/s.
"""

from __future__ import annotations

import math
import statistics
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from claims import about, claim, unmeasured
from lightly.transforms import SimCLRTransform
from PIL import Image
from torch import Tensor
from torch.nn import functional

from benchmark.data.views import augment, color
from benchmark.data.views.augment import Augmenter
from methods.views import ViewSpec

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS = 7
_GPU_BATCHES = 50  # of a round
_GPU_AIM = 200_000  # images/s
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# glibc keeps freed blocks that are smaller than the largest block freed so far. A training step frees large blocks at
# once; this script frees one on purpose, or else it would also measure getting fresh pages from the system.
_LARGE_BYTES = 31 * 2**20


@dataclass(frozen=True)
class Case:
    """One line of the comparison.

    Attributes:
        source: side of the images in pixels.
        size: side of the views.
        blur: probability of a blur.
        batch: images per batch.
        aim: the claimed ratio to lightly's speed.
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
    """Images per second of processor time, with two views of each: lightly's and ours."""
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
    # Ours is repeated within a round, because it is much shorter.
    seconds = [(_seconds(theirs, 1), _seconds(ours, 5)) for _ in range(_ROUNDS)]
    slow, fast = (statistics.median(side) for side in zip(*seconds, strict=True))
    return case.batch / slow, case.batch / fast


def on_gpu(batch: int) -> float:
    """Images per second of wall-clock time, with two views of each at 32 px, on a GPU; the median of the rounds."""
    device = torch.device("cuda")
    generator = torch.Generator().manual_seed(0)
    images_BCHW = torch.randint(0, 256, (batch, 3, 32, 32), dtype=torch.uint8, generator=generator).to(device)
    spec = ViewSpec(jitter=0.8, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, grayscale=0.2)
    augmenter = Augmenter([spec, spec], 32, _MEAN, _STD)
    seconds = []
    for _ in range(_ROUNDS + 1):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        for _ in range(_GPU_BATCHES):
            augmenter(images_BCHW, augmenter.sample(batch, (32, 32), generator))
        torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return (
        batch * _GPU_BATCHES / statistics.median(seconds[1:])
    )  # the first round compiles kernels and allocates memory


def _seconds(make: Callable[[], object], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        make()
    return (time.process_time() - start) / repeats


def _rotated_hue(images_CBYX: Tensor, shifts_B: Tensor) -> None:
    """Rotates I and Q of each image by its shift, in full turns; Y stays."""
    to_yiq = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    turn_B33 = torch.eye(3).repeat(len(shifts_B), 1, 1)
    angle_B = 2 * math.pi * shifts_B
    turn_B33[:, 1, 1] = turn_B33[:, 2, 2] = angle_B.cos()
    turn_B33[:, 1, 2], turn_B33[:, 2, 1] = angle_B.sin(), -angle_B.sin()
    matrix_B33 = to_yiq.inverse() @ turn_B33 @ to_yiq
    images_CBYX.copy_(torch.einsum("bij,jbyx->ibyx", matrix_B33, images_CBYX)).clamp_(0.0, 1.0)


def _two_taps(
    boxes_6B: Tensor, interpolation: str, size: int, source_size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Like `crop_taps`, but from the two nearest pixels in each direction, without antialiasing."""
    del interpolation, source_size
    start_AB11, length_AB11, flip_AB11 = boxes_6B.to(device)[..., None, None].view(3, 2, -1, 1, 1)
    target_S1 = (torch.arange(size, device=device) + 0.5)[:, None]
    center_ABS1 = (target_S1 + flip_AB11 * (size - 2.0 * target_S1)) * length_AB11 / size - 0.5
    first_ABS1 = center_ABS1.floor()
    pixels_ABSK = torch.cat([first_ABS1, first_ABS1 + 1.0], dim=-1)
    weights_ABSK = 1.0 - (pixels_ABSK - center_ABS1).abs()
    weights_ABSK[1].div_(255.0)
    inside_ABSK = pixels_ABSK.clamp(min=0.0).minimum(length_AB11 - 1.0)
    return (inside_ABSK + start_AB11).int(), weights_ABSK


CHEAPER: dict[str, Any] = {
    "hue by a rotation": lambda: mock.patch.object(color, "adjust_hue", _rotated_hue),
    "no antialiasing": lambda: mock.patch.object(augment, "crop_taps", _two_taps),
}


def exactness(case: Case) -> dict[str, tuple[float, float]]:
    """For each cheaper variant: the speed-up of views, and the mean error in 1/255."""
    generator = torch.Generator().manual_seed(0)
    coarse_BCHW = torch.rand(case.batch, 3, 8, 8, generator=generator)
    smooth_BCHW = functional.interpolate(coarse_BCHW, (case.source, case.source), mode="bicubic").clamp(0, 1)
    images_BCHW = (smooth_BCHW * 255).round().to(torch.uint8)
    spec = ViewSpec(jitter=0.8, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, grayscale=0.2, blur=case.blur)

    def augmenter() -> Augmenter:
        """With the operations that are in place now."""
        return Augmenter([spec, spec], case.size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

    exact = augmenter()
    draws = exact.sample(case.batch, (case.source, case.source), generator)
    results = {}
    views = exact(images_BCHW, draws)
    for name, cheaper in CHEAPER.items():
        with cheaper():
            other = augmenter()
            made = other(images_BCHW, draws)
        error = 255 * statistics.mean(float((a - b).abs().mean()) for a, b in zip(made, views, strict=True))
        ratios = []
        for _ in range(_ROUNDS):
            slow = _seconds(lambda: exact(images_BCHW, draws), 5)
            with cheaper():
                ratios.append(slow / _seconds(lambda: other(images_BCHW, draws), 5))  # noqa: B023 - called at once
        results[name] = (statistics.median(ratios), error)
    return results


def main() -> None:
    """Reports every case, its cheaper variants, and the views on a GPU."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.empty(_LARGE_BYTES, dtype=torch.uint8).fill_(0)
    about(f"one thread, processor time, medians of {_ROUNDS} rounds, two views of each image")
    for case in CASES:
        slow, fast = measure(case)
        claim(
            f"views {case.source} -> {case.size} px, blur {case.blur}, batch {case.batch}, against lightly's",
            fast / slow,
            "x",
            at_least=case.aim,
            detail=f"{fast:.0f} and {slow:.0f} images/s",
        )
    for case in CASES:
        for name, (gain, error) in exactness(case).items():
            row = f"views {case.source} -> {case.size} px, blur {case.blur}, with {name}, against exact ones"
            claim(row, gain, "x", detail=f"mean error {error:.1f}/255")
    for batch in (256, 1024):
        name = f"views 32 -> 32 px on the GPU, blur 0.0, batch {batch}"
        if torch.cuda.is_available():
            claim(name, on_gpu(batch), "images/s", at_least=_GPU_AIM, detail=torch.cuda.get_device_name())
        else:
            unmeasured(name, "there is no CUDA device", "images/s", at_least=_GPU_AIM)


if __name__ == "__main__":
    main()
