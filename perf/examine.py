"""What it costs to find bad images while checksums are read: their headers and end markers, without decoding.

Usage: python perf/examine.py [FOLDER] [--images N] [--rounds N]

FOLDER holds `train/<class>/` and `test/<class>/`. Without it the environment variable `PERF_DATA` names the folder;
without either, images of `shapes` are written to one, as JPEGs of 32 px. Each round reads all files four times, one
thread, the sides in turn: their bytes and checksums alone; with each image's size by Pillow, which shows no damage;
examined as a run does; and decoded as `bench data verify` does. The processor's time is compared, which waits for no
disk and no other process. Claims: examining takes no longer than checksums with Pillow's sizes, and at most half of the
time of decoding.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from claims import about, claim
from images import data_folder, describe, shapes_folder

from benchmark.data.decode import decode, encoded_size
from benchmark.data.examine import examine
from benchmark.data.layouts.names import walk
from benchmark.data.splits import checksum
from benchmark.files.disk import read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=data_folder())
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        share = options.images // 10
        folder = options.folder or shapes_folder(Path(scratch), options.images - share, share, quality=90)
        paths = walk(folder).images[: options.images]
        about(f"{describe(folder, made=options.folder is None)}; one thread, {options.rounds} rounds, processor time")
        _compare(paths, options.rounds)


def _compare(paths: Sequence[Path], rounds: int) -> None:
    sides: dict[str, Callable[[Path], object]] = {
        "checksums": lambda path: checksum(read_bytes(path)),
        "sizes": _with_size,
        "examined": lambda path: examine(partial(read_bytes, path), str(path)),
        "decoded": lambda path: decode(read_bytes(path), str(path)),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for name, read in (*sides.items(),) * (rounds + 1):
        start = time.process_time()
        for path in paths:
            read(path)
        times[name].append(time.process_time() - start)
    warm = {name: values[1:] for name, values in times.items()}  # the first round fills the file cache
    seconds = {name: statistics.median(values) for name, values in warm.items()}

    def ratio(name: str, other: str) -> float:
        return statistics.median(one / two for one, two in zip(warm[name], warm[other], strict=True))

    def sides_text(name: str, other: str) -> str:
        return f"{seconds[name]:.2f} and {seconds[other]:.2f} s"

    count = f"{len(paths):,} images"
    added = seconds["examined"] - seconds["checksums"]
    claim(
        f"seconds that examining {count} adds to their checksums",
        added,
        "s",
        detail=sides_text("examined", "checksums"),
    )
    claim("examined, relative to checksums alone", ratio("examined", "checksums"), "x")
    claim(
        "examined, relative to checksums and sizes by Pillow",
        ratio("examined", "sizes"),
        "x",
        at_most=1,
        detail=sides_text("examined", "sizes"),
    )
    claim(
        "examined, relative to decoding every image",
        ratio("examined", "decoded"),
        "x",
        at_most=0.5,
        detail=sides_text("examined", "decoded"),
    )


def _with_size(path: Path) -> tuple[bytes, tuple[int, int]]:
    encoded = read_bytes(path)
    return checksum(encoded), encoded_size(encoded, str(path))


if __name__ == "__main__":
    main()
