"""The convolutional predictor (CNN-JEPA, section III.C). Shape suffixes: B images, D channels, h w cells."""

from __future__ import annotations

from torch import Tensor, nn


class ConvPredictor(nn.Sequential):
    """Predicts the features of hidden cells from those of visible ones, on the whole grid.

    Each layer is a depthwise convolution, a pointwise one (or a single full convolution), batch norm over all cells,
    and ReLU. The last layer ends like the others: the targets, features of a ResNet, are not negative either.

    Args:
        dimension: D, of input and output.
        kernel_size: side of the spatial kernel, odd.
        depthwise: depthwise-separable layers (as published) or full convolutions.

    Raises:
        ValueError: the kernel size is even.
    """

    def __init__(self, dimension: int, depth: int = 3, kernel_size: int = 3, *, depthwise: bool = True) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; it has to be odd")
        layers: list[nn.Module] = []
        for _ in range(depth):
            groups = dimension if depthwise else 1
            layers.append(nn.Conv2d(dimension, dimension, kernel_size, padding=kernel_size // 2, groups=groups))
            if depthwise:
                layers.append(nn.Conv2d(dimension, dimension, 1))
            layers += [nn.BatchNorm2d(dimension), nn.ReLU(inplace=True)]
        super().__init__(*layers)

    def forward(self, features_BDhw: Tensor) -> Tensor:
        """Predicted features `(B, D, h, w)`."""
        for layer in self:
            features_BDhw = layer(features_BDhw)
        return features_BDhw
