"""What the methods share that hide a part of each image: masks of a specification, on the backbone's grid.

Shape suffixes: B images, N cells or patches, K visible and T hidden ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import Field

from cnn_jepa.masking import Masks, MaskSpec, check_spec
from cnn_jepa.sampling import sample_masks
from methods.backbones import ViT
from methods.base import Method, Step, Task
from methods.config import MethodConfig

if TYPE_CHECKING:
    from torch import Tensor

    from methods.backbones import Backbone

ConfigT = TypeVar("ConfigT", bound=MethodConfig)
MaskRatio = Annotated[float, Field(gt=0.0, lt=1.0)]


class RandomMaskConfig(MethodConfig):
    """The settings of a method that hides single cells at random.

    Attributes:
        mask_ratio: share of the cells or patches that are hidden.
    """

    mask_ratio: MaskRatio = 0.6

    @property
    def masking(self) -> MaskSpec:
        """Single cells at random, as many in every image."""
        return MaskSpec(strategy="random", mask_ratio=self.mask_ratio, min_context=1)


class MaskedMethod(Method[ConfigT]):
    """A method whose configuration has `masking`, a `MaskSpec` for the backbone's grid.

    Attributes:
        grid: rows and columns.
    """

    def __init__(self, config: ConfigT, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.grid = backbone.spec.grid(task.image_size)

    @classmethod
    def check(cls, config: Any, grid: tuple[int, int]) -> None:
        """Refuses masks that cannot be drawn on the grid.

        Raises:
            ValueError: the masks cannot be drawn on the grid.
        """
        check_spec(config.masking, grid)

    def draw(self, images: int, step: Step) -> Masks:
        """The masks of the step's whole batch, of which the method sees `images` in this call."""
        masking: MaskSpec = self.config.masking  # type: ignore[attr-defined]
        return sample_masks(masking, step.whole(images), self.grid, step.generator)


def own(drawn: Tensor, images: int, step: Step) -> Tensor:
    """The part of something drawn for the whole batch that belongs to the images of this call."""
    return drawn[step.start : step.start + images]


def visible_and_hidden(visible_BN: Tensor) -> tuple[Tensor, Tensor]:
    """The indices `(B, K)` and `(B, T)` of visible and of hidden patches, in raster order; as many in every image."""
    order_BN = visible_BN.byte().sort(dim=1, descending=True, stable=True).indices
    count = int(visible_BN[0].sum())
    return order_BN[:, :count], order_BN[:, count:]


def require_vit(backbone: Backbone, method: str) -> ViT:
    """The backbone as the ViT that a method needs.

    Raises:
        ValueError: it is another network.
    """
    if not isinstance(backbone, ViT):
        raise ValueError(f"{method} needs a ViT (vit_tiny, vit_small, ...), not {backbone.spec.name}")
    return backbone
