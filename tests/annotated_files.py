"""Files of annotated images, as the published datasets lie on a disk, of a few pixels each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def picture(path: Path, seed: int, size: tuple[int, int] = (48, 36)) -> Path:
    """An RGB image of (width, height) pixels of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def grey(path: Path, values: np.ndarray) -> Path:
    """An image of one value a pixel, 8 or 16 bits deep as the array is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def labels_of(seed: int, size: tuple[int, int] = (48, 36), most: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, most + 1, (size[1], size[0])).astype(np.uint8)


def folders(root: Path, splits: Sequence[str] = ("train", "val"), count: int = 6) -> Path:
    """`images/`, `masks/` and `depth/` with splits inside."""
    for number, split in enumerate(splits):
        for index in range(count):
            seed = 100 * number + index
            picture(root / "images" / split / f"{index}.jpg", seed)
            grey(root / "masks" / split / f"{index}.png", labels_of(seed))
            depth = np.random.default_rng(seed).integers(0, 9000, (36, 48)).astype(np.uint16)
            grey(root / "depth" / split / f"{index}.png", depth)
    return root


def voc(root: Path, count: int = 6) -> Path:
    """Pascal VOC 2012's development kit."""
    kit = root / "VOCdevkit" / "VOC2012"
    for number, split in enumerate(("train", "val")):
        names = [f"2012_{split}{index}" for index in range(count)]
        for folder in ("Segmentation", "Main"):
            (kit / "ImageSets" / folder).mkdir(parents=True, exist_ok=True)
            (kit / "ImageSets" / folder / f"{split}.txt").write_text("\n".join(names) + "\n")
        for index, name in enumerate(names):
            picture(kit / "JPEGImages" / f"{name}.jpg", 100 * number + index)
            mask = np.zeros((36, 48), np.uint8)
            mask[9:20, 10:31] = 15
            mask[0] = 255
            grey(kit / "SegmentationClass" / f"{name}.png", mask)
            (kit / "Annotations").mkdir(exist_ok=True)
            (kit / "Annotations" / f"{name}.xml").write_text(
                "<annotation><object><name>person</name><difficult>0</difficult><bndbox><xmin>11</xmin><ymin>10</ymin>"
                "<xmax>31</xmax><ymax>20</ymax></bndbox></object><object><name>dog</name><difficult>1</difficult>"
                "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>48</xmax><ymax>36</ymax></bndbox></object></annotation>"
            )
    return root


def clevr(root: Path, count: int = 6) -> Path:
    for number, split in enumerate(("train", "val")):
        scenes = []
        for index in range(count):
            name = f"CLEVR_{split}_{index:06}.png"
            picture(root / "images" / split / name, 100 * number + index)
            scenes.append({"image_filename": name, "objects": [{"shape": "cube"}] * (3 + index)})
        (root / "scenes").mkdir(exist_ok=True)
        (root / "scenes" / f"CLEVR_{split}_scenes.json").write_text(json.dumps({"scenes": scenes}))
    return root


def fsc147(root: Path, count: int = 5) -> Path:
    splits, points = {}, {}
    for number, split in enumerate(("train", "val", "test")):
        splits[split] = [f"{split}{index}.jpg" for index in range(count)]
        for index, name in enumerate(splits[split]):
            picture(root / "images_384_VarV2" / name, 100 * number + index)
            points[name] = {"points": [[1.0, 2.0]] * (10 + index)}
    (root / "annotation_FSC147_384.json").write_text(json.dumps(points))
    (root / "Train_Test_Val_FSC_147.json").write_text(json.dumps(splits))
    return root


def nyu(path: Path, count: int = 8, *, official: bool = True) -> Path:
    draw = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["images"] = draw.integers(0, 256, (count, 3, 64, 48), dtype=np.uint8)
        file["depths"] = draw.uniform(0.7, 9.9, (count, 64, 48)).astype(np.float32)
    if official:
        train, test = np.arange(1, count - 2), np.arange(count - 2, count + 1)
        savemat(path.with_name("splits.mat"), {"trainNdxs": train[:, None], "testNdxs": test[:, None]})
    return path
