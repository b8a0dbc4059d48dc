"""HDF5 files of images against image folders and against one dataset per image: reads, conversion, size, opening.

Usage: python perf/hdf5.py [FOLDER] [--reads N] [--large N]

FOLDER holds `train/<class>/` and `test/<class>/`. Without it the environment variable `PERF_DATA` names the folder;
without either, images of `shapes` are written to one. Both sides of each line are measured in one run. Random reads are
of encoded bytes, in one thread. Cold reads run in a process of their own for each side, opening included; the system's
file cache is not emptied. Claims: 5 x as fast as one dataset per image; cold, no slower than the folder; conversion
within 2 x of a plain copy; at most 2% larger than the files; a file of 1.3 million images opens and gives its first
batch within 2 s and 500 MiB. Without a claim: the time that a run needs to start on such a file, with validation split,
canonical order and manifest, which read every checksum.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch
from claims import about, claim
from images import data_folder, describe, shapes_folder
from torchvision.io import encode_png

from benchmark.data.datasets import load_dataset
from benchmark.data.hdf5.convert import convert_listing
from benchmark.data.hdf5.format import Container, open_container
from benchmark.data.hdf5.source import NumberedFiles
from benchmark.data.images import ImagesOnDemand
from benchmark.data.layouts.find import list_images
from benchmark.data.spec import DatasetSpec

_CLASSES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=data_folder())
    parser.add_argument("--reads", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=1_300_000, help="images in the file that is opened")
    parser.add_argument("--cold", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cold:
        print(_cold(options.folder, options.cold[0], Path(options.cold[1]), options.reads))
        return
    if options.open:
        _open(options.open)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or shapes_folder(Path(scratch) / "shapes", 5000, 1000, quality=75)
        images = describe(folder, made=options.folder is None)
        about(f"{images}; random reads of encoded bytes, one thread, the faster of two turns; the file cache is warm")
        _compare(folder, Path(scratch), options.reads)
        _large(Path(scratch), options.large)


def _files(folder: Path) -> list[Path]:
    return [Path(name) for name in list_images(folder).train.names]


def _compare(folder: Path, scratch: Path, reads: int) -> None:
    files = _files(folder)
    start = time.perf_counter()
    shutil.copytree(folder, scratch / "copy")
    copied = time.perf_counter() - start
    start = time.perf_counter()
    convert_listing(list_images(folder), scratch / "x.h5", None, skip=False, progress=lambda *_: None, say=print)
    converted = time.perf_counter() - start
    sides = f"{converted:.2f} and {copied:.2f} s"
    claim("time of converting both splits, relative to a plain copy", converted / copied, "x", at_most=2, detail=sides)
    size, total = (scratch / "x-train.h5").stat().st_size, sum(path.stat().st_size for path in files)
    claim(
        "size, relative to the sum of the files",
        size / total,
        "x",
        at_most=1.02,
        detail=f"{size:,} and {total:,} bytes",
    )
    with h5py.File(scratch / "numbered.h5", "w") as file:
        for number, path in enumerate(files):
            file[f"images/{number}"] = np.frombuffer(path.read_bytes(), dtype=np.uint8)
            file[f"labels/{number}"] = 0
    order = random.Random(0).choices(range(len(files)), k=reads)
    container, numbered = open_container(scratch / "x-train.h5"), NumberedFiles(scratch / "numbered.h5")
    times = []
    for source in (container, numbered, container, numbered):
        start = time.perf_counter()
        for index in order:
            source.read(index)
        times.append(time.perf_counter() - start)
    ours, theirs = min(times[0], times[2]), min(times[1], times[3])
    sides = f"{ours:.3f} and {theirs:.3f} s"
    claim(
        f"{reads:,} random reads, speed relative to one dataset per image", theirs / ours, "x", at_least=5, detail=sides
    )
    cold = {}
    for kind, path in (("container", scratch / "x-train.h5"), ("folder", folder)) * 2:
        command = [sys.executable, __file__, str(folder), "--reads", str(reads), "--cold", kind, str(path)]
        spent = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        cold[kind] = min(spent, cold.get(kind, spent))
    sides = f"{cold['container']:.3f} and {cold['folder']:.3f} s"
    ratio = cold["container"] / cold["folder"]
    claim("time of the same in a fresh process, relative to the folder", ratio, "x", at_most=1, detail=sides)


def _cold(folder: Path, kind: str, path: Path, reads: int) -> float:
    files = _files(folder)
    order = random.Random(0).choices(range(len(files)), k=reads)
    start = time.perf_counter()
    if kind == "container":
        container = open_container(path)
        for index in order:
            container.read(index)
    else:
        for index in order:
            files[index].read_bytes()
    return time.perf_counter() - start


def _large(scratch: Path, count: int) -> None:
    """Writes files that repeat one image's bytes, and opens them in a process of their own."""
    encoded = encode_png(torch.full((3, 32, 32), 90, dtype=torch.uint8)).numpy().tobytes()
    for split, images in (("train", count), ("test", count // 26)):
        with h5py.File(scratch / f"large-{split}.h5", "w") as file:
            block = np.frombuffer(encoded * 10_000, dtype=np.uint8)
            total = images * len(encoded)
            all_bytes = file.create_dataset("bytes", (total,), dtype=np.uint8, chunks=(min(total, 1 << 22),))
            for start in range(0, total, len(block)):
                all_bytes[start : start + len(block)] = block[: total - start]
            draw = np.random.default_rng(images)
            file["lengths"] = np.full(images, len(encoded), np.uint32)
            file["labels"] = (np.arange(images) % _CLASSES).astype(np.int32)
            file["sizes"] = np.full((images, 2), 32, np.uint32)
            # All different, because splits and manifests are computed from them.
            file["checksums"] = draw.integers(0, 256, (images, 16), dtype=np.uint8)
            names = [f"class {number}" for number in range(_CLASSES)]
            file.create_dataset("classes", data=names, dtype=h5py.string_dtype())
            file.attrs.update({"format": "cnn-jepa-bench images", "format_version": 1, "split": split})
    subprocess.run([sys.executable, __file__, "--open", str(scratch / "large-train.h5")], check=True)


def _open(path: Path) -> None:
    before = _high_water()
    start = time.perf_counter()
    container = open_container(path)
    images = _images(container)
    images.read(torch.randint(len(container), (256,)))
    spent, memory = time.perf_counter() - start, (_high_water() - before) / 2**20
    many = f"{len(container):,} images"
    claim(f"opening a file of {many} and reading the first batch", spent, "s", at_most=2)
    claim(f"memory of opening a file of {many}", memory, "MiB", at_most=500)
    del container, images
    start = time.perf_counter()
    dataset = load_dataset(DatasetSpec(name="hdf5"), path, resident_limit=0)
    dataset.train.images.read(torch.arange(256))
    spent, memory = time.perf_counter() - start, (_high_water() - before) / 2**20
    detail = f"{memory:.0f} MiB"
    claim(f"the same as a dataset of {many}, with splits and manifest", spent, "s", detail=detail)


def _images(container: Container) -> ImagesOnDemand:
    sizes = torch.from_numpy(container.sizes_N2.astype(np.int32))
    return ImagesOnDemand(
        lambda index: (container.read(index), str(index)), torch.arange(len(container)), 32, native=True, sizes_N2=sizes
    )


def _high_water() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
