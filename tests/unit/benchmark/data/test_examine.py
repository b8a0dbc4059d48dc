"""What is found of bad images while checksums are read, and by decoding all; hundreds of damaged files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from image_folders import picture
from mutated_images import HEIGHT, WIDTH, sound_images, with_size

from benchmark.data import examine as examining
from benchmark.data.bad_images import BadImage
from benchmark.data.examine import examine, undecodable
from benchmark.data.layouts.find import every_image
from benchmark.data.listing import prefix_of
from benchmark.data.splits import checksum
from benchmark.files.disk import read_bytes

SOUND = sound_images()
MOST_MEMORY = 500 << 20  # where sizes beyond the limit are refused; 73 MB on the machine where it was written


def reason_for(content: bytes, name: str = "x") -> str:
    return examine(lambda: content, name).reason


@pytest.mark.parametrize("name", SOUND)
def test_sound_files_have_checksum_and_size(name: str) -> None:
    assert examine(partial(SOUND.__getitem__, name), name) == (checksum(SOUND[name]), (WIDTH, HEIGHT), "")


@pytest.mark.parametrize("name", SOUND)
def test_truncated_files_are_found_by_their_markers(name: str) -> None:
    # Of an animation, half may hold all of the first image.
    assert reason_for(SOUND[name][: len(SOUND[name]) // 5]).startswith("not a readable image (")


def test_whole_files_of_common_formats_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "decode", lambda *_: pytest.fail("decoded"))
    for name in ("rgb.jpg", "progressive.jpg", "rgb.png", "lossy.webp", "rgb.gif", "rgb.bmp"):
        assert not reason_for(SOUND[name])


def test_what_looks_damaged_and_can_be_decoded_is_no_bad_image() -> None:
    assert not reason_for(SOUND["rgb.gif"][:-1])  # without its trailer
    assert not reason_for(SOUND["rgb.bmp"] + b"more")


@pytest.mark.parametrize("name", ["rgb.jpg", "progressive.jpg", "rgb.png", "moving.webp", "rgb.gif", "rgb.tif"])
def test_a_hostile_size_is_refused_before_it_is_decoded(name: str) -> None:
    side = 65_500
    reason = reason_for(with_size(SOUND[name], side, side), name)
    assert reason.startswith("declares ") and reason.endswith("expected 1 to 178,956,970 in all"), reason


def test_files_that_cannot_be_read_are_bad_images(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    path = tmp_path / "link.png"
    assert examine(partial(read_bytes, path), str(path)).reason == "cannot be read (No such file or directory)"


def test_decoding_finds_what_markers_hide_and_names_it_within_the_folder(tmp_path: Path) -> None:
    (tmp_path / "train" / "ant").mkdir(parents=True)
    paths = [tmp_path / "train" / "ant" / f"{number}.webp" for number in range(3)]
    for number, path in enumerate(paths):
        picture(number, 40, 40).save(path, lossless=True)
    content = bytearray(paths[1].read_bytes())
    content[40:] = bytes(len(content) - 40)
    paths[1].write_bytes(content)
    assert not reason_for(paths[1].read_bytes())
    assert examine(paths[1].read_bytes, "x", thorough=True).reason
    (bad,) = undecodable(every_image(tmp_path), prefix_of(tmp_path))
    assert isinstance(bad, BadImage) and bad.name == "train/ant/1.webp" and "not a readable image" in bad.reason


@pytest.mark.slow
def test_damaged_files_are_decoded_or_named_and_never_end_the_process() -> None:
    """500 files of all formats, in a process of their own: a crash, a hang or a leak would be that process's."""
    script = Path(__file__).parents[3] / "mutated_images.py"
    command = [sys.executable, str(script), "522", "0"]
    root = {**os.environ, "PYTHONPATH": str(script.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=root, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    result = json.loads(done.stdout)
    assert result["wrong"] == []
    assert result["read"] + result["refused"] == 522 and min(result["read"], result["refused"]) > 150
    assert result["memory"] < MOST_MEMORY
