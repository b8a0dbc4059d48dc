"""The declaration of a view: one augmented version of an image. The harness makes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Strength = Annotated[float, Field(ge=0.0)]


class ViewSpec(BaseModel):
    """One augmented version of an image batch.

    The operations come in this order: random resized crop, horizontal flip, colour jitter, grayscale, blur,
    solarise, normalise (the order of SimCLR, appendix A, and BYOL, appendix B). Parameters are drawn per image.

    Attributes:
        size: side of the view in pixels; None takes the experiment's input size.
        crop_scale: range of the cropped area, as a share of the image's.
        crop_ratio: range of the crop's width / height.
        interpolation: how the crop is resized (antialiased).
        flip: probability of a horizontal flip.
        jitter: probability of the colour jitter; the four strengths are torchvision's `ColorJitter` arguments.
        brightness: strength; the factor is drawn from [max(0, 1 - b), 1 + b].
        contrast: strength, likewise.
        saturation: strength, likewise.
        hue: strength; the shift is drawn from [-h, h], at most 0.5.
        grayscale: probability of a conversion to three equal channels.
        blur: probability of a Gaussian blur.
        blur_sigma: range of its standard deviation in pixels.
        blur_kernel: its odd side in pixels; None takes a tenth of the view, made odd, at least 3.
        solarize: probability of inverting what is at or above `solarize_threshold`.
        solarize_threshold: as a share of the largest value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Annotated[int, Field(ge=1)] | None = None
    crop_scale: tuple[Annotated[float, Field(gt=0.0, le=1.0)], Annotated[float, Field(gt=0.0, le=1.0)]] = (0.08, 1.0)
    crop_ratio: tuple[Annotated[float, Field(gt=0.0)], Annotated[float, Field(gt=0.0)]] = (3 / 4, 4 / 3)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    flip: Probability = 0.5
    jitter: Probability = 0.0
    brightness: Strength = 0.0
    contrast: Strength = 0.0
    saturation: Strength = 0.0
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    grayscale: Probability = 0.0
    blur: Probability = 0.0
    blur_sigma: tuple[Annotated[float, Field(gt=0.0)], Annotated[float, Field(gt=0.0)]] = (0.1, 2.0)
    blur_kernel: Annotated[int, Field(ge=1)] | None = None
    solarize: Probability = 0.0
    solarize_threshold: Probability = 128 / 255

    @model_validator(mode="after")
    def _ranges_rise(self) -> ViewSpec:
        for name in ("crop_scale", "crop_ratio", "blur_sigma"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} is ({low}, {high}); the lower end comes first")
        if self.blur_kernel is not None and self.blur_kernel % 2 == 0:
            raise ValueError(f"blur_kernel is {self.blur_kernel}; it has to be odd")
        return self

    def kernel(self, size: int) -> int:
        """The side of the blur's kernel in pixels, for a view of `size` pixels."""
        return self.blur_kernel or max(3, size // 10 // 2 * 2 + 1)


def colour_view(**changes: Any) -> ViewSpec:
    """Crops of 0.2 to 1 with SimCLR's colours for CIFAR-10 (2002.05709, appendix B.9): strength 0.5, no blur."""
    colours = {"jitter": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "grayscale": 0.2}
    return ViewSpec.model_validate({"crop_scale": (0.2, 1.0), **colours, **changes})
