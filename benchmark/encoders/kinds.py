"""Says what a file is that was taken for a checkpoint: a page, a pointer, a text, an archive of something else."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Literal

from benchmark.errors import UserError
from benchmark.text import listing

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["zip", "legacy", "safetensors"]
"""How a checkpoint is stored: as torch saves it now, as torch before 1.6 did, or as safetensors."""

_HEAD = 1024
_MAGIC = {
    b"\x1f\x8b": "gzip-compressed; unpack it first",
    b"BZh": "bzip2-compressed; unpack it first",
    b"\xfd7zXZ": "xz-compressed; unpack it first",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"Rar!": "a RAR archive; unpack it first",
    b"\x89HDF": "an HDF5 file (Keras weights?), which is not read as a checkpoint",
    b"\x89PNG": "a PNG image, not a checkpoint",
    b"\xff\xd8\xff": "a JPEG image, not a checkpoint",
    b"%PDF": "a PDF document, not a checkpoint",
    b"\x93NUMPY": "a NumPy array, not a checkpoint",
}
_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<script")
_POINTER = b"version https://git-lfs.github.com/spec/"


def kind_of(path: Path) -> Kind:
    """How a checkpoint is stored, from its first bytes, whatever its name is.

    Raises:
        UserError: it is something else, which the message names.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if not head:
        raise UserError(f"{path}: is empty (0 bytes); was its download interrupted?")
    if head.lstrip().lower().startswith(_PAGE):
        raise UserError(
            f"{path}: is an HTML page, not a checkpoint: a server answered with a page in place of the file "
            "(a login, an error, a preview); download the file itself"
        )
    if head.startswith(_POINTER):
        raise UserError(f"{path}: is a Git LFS pointer, not the file itself; fetch that with: git lfs pull")
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise UserError(f"{path}: is {what}")
    if head[257:262] == b"ustar":
        raise UserError(f"{path}: is a tar archive; unpack it first")
    if head.startswith(b"PK"):
        return _of_archive(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "safetensors"
    if text := _text(head):
        raise UserError(f"{path}: is a text file, not a checkpoint; it begins with '{text}'")
    return "legacy"


def _of_archive(path: Path) -> Kind:
    """Of a zip file: whether torch saved it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        raise UserError(f"{path}: is cut short or damaged; was its download interrupted?") from None
    if any(name.endswith("/constants.pkl") for name in names):
        raise UserError(f"{path}: is a TorchScript archive; save the state_dict() of what torch.jit.load gives")
    if any(name.rsplit("/", 1)[-1] == "data.pkl" for name in names):
        return "zip"
    content = f"it holds {listing(names[:3])}{', ...' if len(names) > 3 else ''}" if names else "it is empty"
    raise UserError(f"{path}: is a zip file that torch did not save, not a checkpoint; {content}")


def _text(head: bytes) -> str:
    """The first line of a text; empty if the bytes are no text."""
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # a character may be cut at the end of the head
            return ""
        text = head[: error.start].decode()
    if not all(character.isprintable() or character in "\r\n\t" for character in text):
        return ""
    return (text.strip().splitlines() or [""])[0][:60]
