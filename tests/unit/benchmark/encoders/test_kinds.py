"""What a file is that was taken for a checkpoint."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy
import pytest
import torch
from safetensors.torch import save

from benchmark.encoders.kinds import kind_of
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (0 bytes)"),
        (b"\n<!DOCTYPE html>\n<html><title>Sign in</title>", "is an HTML page, not a checkpoint"),
        (b"<HTML><body>404</body></HTML>", "is an HTML page, not a checkpoint"),
        (POINTER, "is a Git LFS pointer, not the file itself; fetch that with: git lfs pull"),
        (b'{"error": "Not Found"}', 'is a text file, not a checkpoint; it begins with \'{"error": "Not Found"}\''),
        ("Zugriff verweigert: für \u00fc".encode() * 60, "is a text file, not a checkpoint; it begins with 'Zugriff"),
        (b"\x1f\x8b\x08\x00" + bytes(40), "is gzip-compressed; unpack it first"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "is an HDF5 file"),
        (b"PK\x03\x04" + bytes(40), "is cut short or damaged"),
        (bytes(257) + b"ustar" + bytes(40), "is a tar archive; unpack it first"),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        kind_of(path)
    assert str(refused.value).startswith(f"{path}: {message}")


def test_archives_of_something_else_say_what_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(UserError, match=r"a zip file that torch did not save, not a checkpoint; it holds readme\.txt$"):
        kind_of(path)
    with path.open("wb") as file:
        numpy.savez(file, weights=numpy.zeros(2))
    with pytest.raises(UserError, match=r"it holds weights\.npy"):
        kind_of(path)
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(path))  # type: ignore[no-untyped-call]
    with pytest.raises(UserError, match="is a TorchScript archive; save the state_dict"):
        kind_of(path)
    with pytest.raises(UserError, match="no such file"):
        kind_of(tmp_path / "missing.pth")


def test_how_a_checkpoint_is_stored_shows_in_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    torch.save({}, path)
    assert kind_of(path) == "zip"
    torch.save({}, path, _use_new_zipfile_serialization=False)
    assert kind_of(path) == "legacy"
    path.write_bytes(save({"a": torch.zeros(2)}))
    assert kind_of(path) == "safetensors"
