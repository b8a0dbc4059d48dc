"""What a layout of annotated images finds. Imports neither torch nor an image library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmark.data.annotations import Objects


@dataclass(frozen=True)
class Item:
    """An image's file with what is known of it; None for what is not.

    Attributes:
        label_map: a file of one value a pixel.
        depth: a 16-bit PNG of millimetres, 0 where unknown; or an array in a `.npy` file.
        objects: a file of boxes in the form of Pascal VOC.
        count: how many objects there are.
    """

    image: Path
    label_map: Path | None = None
    depth: Path | None = None
    objects: Path | None = None
    count: float | None = None


@dataclass(frozen=True)
class Annotated:
    """Annotated images as they lie on a disk.

    Attributes:
        what: the layout as found, in words.
        test: None where there is no test split, so that one is drawn from `train`.
        label_names: of the label maps' values; empty to number them as they appear.
        values: the label of each value of a label map, for layouts whose values are no labels; a value without one is
            ignored. None where values are labels, and 255 is to be ignored.
        object_names: of the objects' labels.
        read_objects: reads the objects of an image's file, where they are in one file for all.
    """

    root: Path
    what: str
    train: tuple[Item, ...]
    test: tuple[Item, ...] | None
    label_names: tuple[str, ...] = ()
    values: Mapping[int, int] | None = None
    object_names: tuple[str, ...] = ()
    read_objects: Callable[[Path], Objects] | None = None

    def __post_init__(self) -> None:
        for name, items in (("train", self.train), ("test", self.test)):
            if items is not None and not items:
                raise UserError(f"{self.root}: {self.what}, but there is no image in {name}")
