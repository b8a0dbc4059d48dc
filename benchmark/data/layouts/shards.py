"""WebDataset's tar shards: samples of `key.jpg` with `key.cls`, or with a label in `key.json`.

Shards are not unpacked: their headers are read once, and images at their offsets.
"""

from __future__ import annotations

import tarfile
from functools import partial
from typing import TYPE_CHECKING

from benchmark.data.layouts.contract import CERTAIN, GUESS, Found, Layout, Near
from benchmark.data.layouts.names import by_split, is_image
from benchmark.data.listing import Listing, Members, in_order_of_names, note_on_classes
from benchmark.errors import UserError
from benchmark.files.disk import reading
from benchmark.files.parse import load_json
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LABELS = ("cls", "class", "label")  # endings of files, and keys in JSON
_HEAD = 8  # members that are looked at for an image


def _look(path: Path) -> Found | Near | None:
    if path.is_file() and path.suffix.lower() != ".tar":
        return None
    shards = [path] if path.is_file() else sorted(path.glob("*.tar"))
    if not shards:
        return None
    names = _first_names(shards[0])
    if not any(name.rpartition(".")[2].lower() in (*_LABELS, "json") for name in names):
        example = f" (it begins with {names[0]})" if names else ""
        return Near(
            f"{shards[0].name} has no .cls or .json beside its images, as WebDataset's shards have{example}; if it is "
            "an archive of another layout, unpack it",
            CERTAIN if path.is_file() else GUESS,
        )
    what = f"{len(shards)} WebDataset shard{'s' * (len(shards) > 1)}"
    return Found(what, path.is_file(), partial(_list, path, what, shards), path)


def _first_names(shard: Path) -> list[str]:
    with reading(shard), _opened(shard) as archive:
        names: list[str] = []
        for member in archive:
            names += [member.name] if member.isfile() else []
            if len(names) == _HEAD:
                break
        return names


def _opened(shard: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(shard, "r:")
    except tarfile.TarError as error:
        raise UserError(f"{shard}: is not an uncompressed tar file ({first_line(error)})") from None


def _list(root: Path, what: str, shards: Sequence[Path]) -> Listing:
    train, test, notes = by_split(shards, root)
    parts = [_Shards(part) for part in (train, test) if part]
    classes = in_order_of_names(parts[0].classes)
    notes += note_on_classes(classes, set(parts[1].classes) if test else None, root)
    numbers = {name: number for number, name in enumerate(classes)}
    members = [
        Members([numbers[name] for name in part.classes], part.names, part.read, part.total_bytes) for part in parts
    ]
    return Listing(root, what, classes, members[0], members[1] if test else None, tuple(notes))


class _Shards:
    """The images of some shards, where each lies, and the class of each."""

    def __init__(self, shards: Sequence[Path]) -> None:
        self.names: list[str] = []
        self.classes: list[str] = []
        self._places: list[tuple[Path, int, int]] = []
        for shard in shards:
            images, labels = _index(shard)
            for key, (name, offset, size) in images.items():
                if key not in labels:
                    raise UserError(f"{shard}: {name} has no label; expected {key}.cls, or 'cls' in {key}.json")
                self.names.append(f"{shard}: {name}")
                self.classes.append(labels[key])
                self._places.append((shard, offset, size))

    def read(self, index: int) -> bytes:
        shard, offset, size = self._places[index]
        with reading(shard), shard.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def total_bytes(self) -> int:
        return sum(size for _, _, size in self._places)


def _index(shard: Path) -> tuple[dict[str, tuple[str, int, int]], dict[str, str]]:
    """Name, offset and size of each image, and each label, by the samples' keys."""
    images: dict[str, tuple[str, int, int]] = {}
    labels: dict[str, str] = {}
    with reading(shard), _opened(shard) as archive:
        try:
            for member in archive:
                folder, _, base = member.name.rpartition("/")
                stem, _, ending = base.partition(".")
                key = f"{folder}/{stem}" if folder else stem
                if not member.isfile() or not stem:
                    continue
                if is_image(base):
                    if key in images:
                        raise UserError(f"{shard}: the sample {key} has two images, {images[key][0]} and {member.name}")
                    images[key] = (member.name, member.offset_data, member.size)
                elif ending in (*_LABELS, "json"):
                    label = _label(archive, member, ending)
                    if label is not None:
                        labels[key] = label
        except tarfile.TarError as error:
            raise UserError(f"{shard}: is damaged ({first_line(error)})") from None
    return images, labels


def _label(archive: tarfile.TarFile, member: tarfile.TarInfo, ending: str) -> str | None:
    content = archive.extractfile(member)
    assert content is not None  # a file
    text = content.read()
    try:
        if ending != "json":
            return text.decode().strip() or None
        values = load_json(text.decode())
    except ValueError:
        return None
    found = [values[name] for name in _LABELS if name in values] if isinstance(values, dict) else []
    return None if not found or found[0] is None else str(found[0])


SHARDS = Layout("WebDataset", ".tar files of samples: key.jpg with key.cls, or a label in key.json", _look)
