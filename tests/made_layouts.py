"""Small datasets in the layouts that people have them in, and what `bench` does with each.

`python tests/made_layouts.py FOLDER` makes all of them in an empty folder, runs one command on each, from nothing to
the report, and prints the table of docs/data.md.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLASSES = ("ant", "bee", "cat")
TRAIN, TEST = 20, 6  # images of each class
QUICK = (
    "--methods simclr,random_init --budget steps=20 --set batch_size=16 --set evaluation.points=1 "
    "--set evaluation.images=null"
)


def encoded(label: int, number: int, side: int = 32, kind: str = "PNG") -> bytes:
    """An image's file: noise on a grey that depends on the class."""
    pixels = np.random.default_rng([label, number]).integers(0, 128, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels + np.uint8(50 * label)).save(buffer, format=kind)
    return buffer.getvalue()


def images(split: str, side: int = 32, kind: str = "PNG") -> Iterator[tuple[int, str, bytes]]:
    """Label, class and bytes of each image of a split (`train` or `test`)."""
    numbers = range(TRAIN) if split == "train" else range(1000, 1000 + TEST)
    for label, name in enumerate(CLASSES):
        yield from ((label, name, encoded(label, number, side, kind)) for number in numbers)


def put(path: Path, content: bytes | str = b"") -> None:
    """Writes a file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def unsplit(root: Path) -> Path:
    """<class>/ alone."""
    for number, (_, name, content) in enumerate([*images("train"), *images("test")]):
        put(root / name / f"{number}.png", content)
    return root


def split(root: Path, test: str = "valid", kind: str = "PNG") -> Path:
    """train/<class>/ and valid/<class>/, beside a flat test/."""
    for folder, part in (("train", "train"), (test, "test")):
        for number, (_, name, content) in enumerate(images(part, kind=kind)):
            put(root / folder / name / f"{number}.{kind.lower()}", content)
    if test != "test":
        put(root / "test" / "0.png", encoded(0, 5))
    return root


def tiny_imagenet(root: Path) -> Path:
    """Tiny-ImageNet as published, 64 px."""
    for number, (_, name, content) in enumerate(images("train", 64, "JPEG")):
        put(root / "train" / name / "images" / f"{name}_{number}.JPEG", content)
        put(root / "train" / name / f"{name}_boxes.txt", "ant_0.JPEG\t0\t0\t62\t62\n")
    lines = []
    for number, (_, name, content) in enumerate(images("test", 64, "JPEG")):
        put(root / "val" / "images" / f"val_{number}.JPEG", content)
        lines.append(f"val_{number}.JPEG\t{name}\t0\t32\t44\t62\n")
    put(root / "val" / "val_annotations.txt", "".join(lines))
    put(root / "test" / "images" / "test_0.JPEG", encoded(0, 5, 64, "JPEG"))
    put(root / "wnids.txt", "\n".join(CLASSES))
    return root


def imagenet100(root: Path) -> Path:
    """ImageNet-100 as on Kaggle: a class is in one of the parts of train."""
    for number, (label, name, content) in enumerate(images("train", 100, "JPEG")):
        put(root / f"train.X{label + 1}" / name / f"{name}_{number}.JPEG", content)
    for number, (_, name, content) in enumerate(images("test", 100, "JPEG")):
        put(root / "val.X" / name / f"val_{number:08}.JPEG", content)
    put(root / "Labels.json", json.dumps({name: f"{name}, {name}us" for name in CLASSES}))
    return root


def ilsvrc(root: Path) -> Path:
    """ImageNet's tree as on Kaggle."""
    data, rows = root / "ILSVRC" / "Data" / "CLS-LOC", ["ImageId,PredictionString\n"]
    for number, (_, name, content) in enumerate(images("train", 100, "JPEG")):
        put(data / "train" / name / f"{name}_{number}.JPEG", content)
    for number, (_, name, content) in enumerate(images("test", 100, "JPEG")):
        put(data / "val" / f"ILSVRC2012_val_{number:08}.JPEG", content)
        rows.append(f"ILSVRC2012_val_{number:08},{name} 10 10 90 90 {name} 5 5 20 20\n")
    put(data / "test" / "ILSVRC2012_test_00000001.JPEG", encoded(0, 5))
    put(root / "ILSVRC" / "ImageSets" / "CLS-LOC" / "val.txt", "ILSVRC2012_val_00000000 1\n")
    put(root / "LOC_val_solution.csv", "".join(rows))
    return root


def rows(root: Path) -> list[tuple[str, str, str]]:
    """Path, label and split of images that are written to images/ in a folder."""
    found = []
    for part in ("train", "test"):
        for number, (_, name, content) in enumerate(images(part)):
            put(root / "images" / f"{part}-{number}.png", content)
            found.append((f"images/{part}-{number}.png", name, part))
    return found


def table(root: Path) -> Path:
    """A CSV file with paths, labels and splits."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("filename", "label", "split"), *rows(root)])
    return root / "labels.csv"


def parquet_table(root: Path) -> Path:
    """A Parquet file with paths and labels, without splits."""
    import pandas as pd

    root.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows(root), columns=["path", "label", "split"]).drop(columns="split").to_parquet(root / "all.parquet")
    return root / "all.parquet"


def hdf5(root: Path) -> Path:
    """Two HDF5 files, as `bench data convert` writes them."""
    from image_folders import converted

    converted(split(root / "images", test="test"), root / "photos.h5")
    return root / "photos.h5"


def _features() -> dict[str, object]:
    names = {"_type": "ClassLabel", "names": list(CLASSES)}
    return {"image": {"_type": "Image"}, "label": names}


def _arrow_table(part: str) -> object:
    import pyarrow as pa

    cells = [({"bytes": content, "path": None}, label) for label, _, content in images(part)]
    kinds = [pa.struct([("bytes", pa.binary()), ("path", pa.string())]), pa.int64()]
    fields = pa.schema(
        [pa.field("image", kinds[0]), pa.field("label", kinds[1])],
        metadata={"huggingface": json.dumps({"info": {"features": _features()}})},
    )
    columns = [pa.array(column, kind) for column, kind in zip(zip(*cells, strict=True), kinds, strict=True)]
    return pa.table(columns, schema=fields)


def saved_to_disk(root: Path) -> Path:
    """A `DatasetDict` as the library `datasets` saves it to disk."""
    import pyarrow as pa

    for part in ("train", "test"):
        rows_ = _arrow_table(part)
        (root / part).mkdir(parents=True)
        for number, piece in enumerate((rows_[:10], rows_[10:])):  # type: ignore[index]
            path = str(root / part / f"data-0000{number}-of-00002.arrow")
            with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, piece.schema) as writer:
                writer.write_table(piece)
        files = [{"filename": f"data-0000{number}-of-00002.arrow"} for number in range(2)]
        put(root / part / "state.json", json.dumps({"_data_files": files, "_split": part}))
        put(root / part / "dataset_info.json", json.dumps({"features": _features()}))
    put(root / "dataset_dict.json", json.dumps({"splits": ["train", "test"]}))
    return root


def image_parquet(root: Path) -> Path:
    """Parquet files with a column of images, as on Hugging Face's hub."""
    import pyarrow.parquet as pq

    (root / "data").mkdir(parents=True)
    for part, name in (("train", "train"), ("test", "validation")):
        pq.write_table(_arrow_table(part), root / "data" / f"{name}-00000-of-00001.parquet", row_group_size=7)
    return root


def shards(root: Path) -> Path:
    """WebDataset's tar shards, two of train."""
    root.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        found = list(images(part))
        for number in range(2 if part == "train" else 1):
            with tarfile.open(root / f"photos-{part}-{number:06}.tar", "w") as archive:
                for index, (label, _, content) in enumerate(found[number :: 2 if part == "train" else 1]):
                    for ending, text in (("png", content), ("cls", str(label).encode())):
                        info = tarfile.TarInfo(f"{index:06}.{ending}")
                        info.size = len(text)
                        archive.addfile(info, io.BytesIO(text))
    return root


@dataclass(frozen=True)
class Made:
    """How a layout is made, what is said of it, and whether it needs the extra `arrow`."""

    make: Callable[[Path], Path]
    says: str
    needs_arrow: bool = False


_COUNTS = "54 train, 6 validation, 18 test images"
LAYOUTS = {
    "unsplit": Made(
        unsplit, "class folders without a split; 3 classes (ant, bee, cat); 57 train, 6 validation, 15 test"
    ),
    "split": Made(split, f"class folders in train/ and valid/; 3 classes (ant, bee, cat); {_COUNTS}; 32x32 px"),
    "tiny-imagenet": Made(
        tiny_imagenet,
        "Tiny-ImageNet's layout (train/<class>/images/, val/val_annotations.txt); 3 classes (ant, bee, cat); "
        f"{_COUNTS}; 64x64 px",
    ),
    "imagenet100": Made(
        imagenet100, f"(train.X1/ to train.X3/, val.X/); 3 classes (ant, bee, cat); {_COUNTS}; 100x100 px"
    ),
    "ilsvrc": Made(ilsvrc, f"with LOC_val_solution.csv; 3 classes (ant, bee, cat); {_COUNTS}; 100x100 px"),
    "table": Made(table, f"a table of paths and labels (labels.csv); 3 classes (ant, bee, cat); {_COUNTS}"),
    "hdf5": Made(hdf5, f"HDF5 files (photos-train.h5, photos-test.h5); 3 classes (ant, bee, cat); {_COUNTS}"),
    "shards": Made(shards, f"3 WebDataset shards; 3 classes (0, 1, 2); {_COUNTS}"),
    "saved": Made(
        saved_to_disk, f"a folder of Hugging Face's save_to_disk; 3 classes (ant, bee, cat); {_COUNTS}", True
    ),
    "parquet": Made(
        image_parquet, f"Parquet files with a column of images; 3 classes (ant, bee, cat); {_COUNTS}", True
    ),
    "paths-parquet": Made(
        parquet_table, "a table of paths and labels (all.parquet); 3 classes (ant, bee, cat); 57 train", True
    ),
}


def _show(folder: Path) -> None:
    """Makes each layout, runs one command on it, and prints a row of the table."""
    print("| `--data` | what `bench run cpu` says | seconds to the report |\n| --- | --- | --- |")
    for name, made in LAYOUTS.items():
        path = made.make(folder / name)
        words = ["run", "cpu", "--data", path, "--out", folder / "out" / name, *QUICK.split()]
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "benchmark", *map(str, words)], capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - start
        assert done.returncode == 0 and list((folder / "out" / name).rglob("index.html")), done.stdout + done.stderr
        said = next(line for line in done.stdout.splitlines() if " classes (" in line)
        print(f"| `{path.relative_to(folder)}` | {said} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    _show(Path(sys.argv[1]))
