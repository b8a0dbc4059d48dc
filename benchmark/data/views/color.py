"""Colour operations on a batch, each image with its own factor.

Every function takes float images in [0, 1] as three planes, changes them in place, and gives the result of the function
of the same name in `torchvision.transforms.v2.functional` for float images, clamped to [0, 1]. The channel is the first
dimension because nearly all operations work on whole planes, which then are contiguous. Comparisons are done in place
on floats (0 or 1) and choices by `lerp`, because a CPU vectorises both, but not booleans.

Shape suffixes: C the three channels, B images, Y X rows and columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

# ITU-R 601-2, with the digits that torchvision uses.
_LUMA = (0.2989, 0.587, 0.114)
# With 6 x hue = t, a pixel's channel is `low + chroma x ramp`, ramp = clamp(sign x |t - centre| + offset, 0, 1).
_RAMPS = ((3.0, 1, -1.0), (2.0, -1, 2.0), (4.0, -1, 2.0))  # centre, sign and offset by channel
# Two values that differ as uint8 differ by 1 / 255. Sums of weights that should be 1 are off by a thousandth of that.
_SLACK = 1e-3 / 255


def adjust_brightness(images_CBYX: Tensor, factors_B: Tensor) -> None:
    """Multiplies each image by its factor."""
    images_CBYX.mul_(factors_B[:, None, None]).clamp_(0.0, 1.0)


def adjust_contrast(images_CBYX: Tensor, factors_B: Tensor) -> None:
    """Blends each image with the mean of its grayscale version; factor 0 leaves the mean, 1 the image."""
    # Two means over short rows. One mean over all pixels would be split between threads for a batch of one image, so
    # that an image's result would depend on the batch size.
    mean_B11 = luma(images_CBYX).mean(dim=2, keepdim=True).mean(dim=1, keepdim=True)
    _blend(images_CBYX, mean_B11, factors_B)


def adjust_saturation(images_CBYX: Tensor, factors_B: Tensor) -> None:
    """Blends each image with its grayscale version; factor 0 leaves grayscale, 1 the image."""
    _blend(images_CBYX, luma(images_CBYX), factors_B)


def adjust_hue(images_CBYX: Tensor, shifts_B: Tensor) -> None:
    """Turns each image's hue by its shift, in turns of the colour circle, at unchanged saturation and value (HSV)."""
    red_BYX, green_BYX, blue_BYX = images_CBYX.unbind(0)
    high_BYX = torch.maximum(green_BYX, blue_BYX).clamp_(min=red_BYX)
    low_BYX = torch.minimum(green_BYX, blue_BYX).clamp_(max=red_BYX)
    chroma_BYX = high_BYX - low_BYX

    # 6 x hue x chroma, depending on the highest channel. Of equal channels, red comes before green and blue.
    turn_BYX = (red_BYX - green_BYX).add_(chroma_BYX, alpha=4.0)
    turn_BYX.lerp_((blue_BYX - red_BYX).add_(chroma_BYX, alpha=2.0), green_BYX.clone().ge_(high_BYX))
    turn_BYX.lerp_(green_BYX - blue_BYX, red_BYX.clone().ge_(high_BYX))
    # Grey pixels have no chroma, so that their hue, 0 / tiny = 0, does not matter.
    turn_BYX.div_(chroma_BYX.clamp(min=1e-12).mul_(6.0)).add_(shifts_B[:, None, None])
    turn_BYX.sub_(turn_BYX.floor()).mul_(6.0)

    for plane_BYX, (centre, sign, offset) in zip(images_CBYX, _RAMPS, strict=True):
        ramp_BYX = (turn_BYX - centre).abs_()
        if sign < 0:
            ramp_BYX.neg_()
        ramp_BYX.add_(offset).clamp_(0.0, 1.0)
        torch.addcmul(low_BYX, chroma_BYX, ramp_BYX, out=plane_BYX)


def to_grayscale(images_CBYX: Tensor) -> None:
    """Gives all three channels the image's luma."""
    images_CBYX.copy_(luma(images_CBYX))


def solarize(images_CBYX: Tensor, threshold: float) -> None:
    """Inverts what is at or above the threshold, a share of the largest value."""
    above_CBYX = images_CBYX.clone().ge_(threshold - _SLACK)
    images_CBYX.lerp_(1.0 - images_CBYX, above_CBYX)


def luma(images_CBYX: Tensor) -> Tensor:
    """The brightness of each pixel, `(B, Y, X)`."""
    red, green, blue = _LUMA
    return images_CBYX[0].mul(red).add_(images_CBYX[1], alpha=green).add_(images_CBYX[2], alpha=blue)


def _blend(images_CBYX: Tensor, other_BYX: Tensor, factors_B: Tensor) -> None:
    torch.lerp(other_BYX, images_CBYX, factors_B[:, None, None], out=images_CBYX).clamp_(0.0, 1.0)
