"""Which images a dataset was made of, kept with an experiment's results, so that a change of them can be named."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING

from benchmark.files.disk import write_atomically
from benchmark.files.parse import load_json
from benchmark.text import listing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmark.data.sources import Source

    Inventory = dict[str, str]  # checksum and label of an image's file by the image's name

INVENTORY_FILE = "images.json.gz"
_MOST = 200_000  # names beyond which none are kept: larger ones would weigh more than the results
_MOST_BYTES = 2**28  # of them, unpacked
_SHOWN = 3


def inventory(source: Source) -> Inventory | None:
    """The checksum and label of each image by its name; None where images have no names, or there are very many."""
    splits = (source.train, source.test)
    if sum(len(raw.labels) for raw in splits) > _MOST:
        return None
    kept: Inventory = {}
    for raw in splits:
        if raw.name is None:
            return None
        for number, (code, label) in enumerate(zip(raw.checksums, raw.labels.tolist(), strict=True)):
            kept[raw.name(number)] = f"{code.hex()} {source.classes[label]}"
    return kept


def keep_inventory(folder: Path, images: Inventory | None, *, renew: bool) -> None:
    """Writes an inventory into the folder of an experiment or study, where there is none, or it is to be renewed."""
    if images is None or ((folder / INVENTORY_FILE).is_file() and not renew):
        return
    content = json.dumps(images, indent=0, sort_keys=True).encode()
    write_atomically(folder / INVENTORY_FILE, gzip.compress(content, mtime=0))


def changes(folder: Path, images: Inventory | None) -> str:
    """What differs between the images that an experiment or study was begun with and these, in words.

    Args:
        folder: of its results. Where it has no inventory, or these images have none, nothing is said.
        images: the inventory of these images.
    """
    try:
        with gzip.open(folder / INVENTORY_FILE) as file:
            before: Inventory = load_json(file.read(_MOST_BYTES).decode())
        before.keys()
    except (OSError, EOFError, ValueError, AttributeError, zlib.error):
        return ""
    if images is None:
        return ""
    if not before.keys() & images.keys():
        return "no file has the name of one that was there before"
    gone, new = sorted(before.keys() - images.keys()), sorted(images.keys() - before.keys())
    other = sorted(name for name in before.keys() & images.keys() if before[name] != images[name])
    parts = [
        f"{len(names):,} {'is' if len(names) == 1 else 'are'} {what} ({_examples(names)})"
        for what, names in (("gone", gone), ("new", new), ("of other content or another class", other))
        if names
    ]
    if not parts:
        return "the files are the same, but others of them are drawn"
    return f"since then, of {len(before):,} images, {listing(parts)}"


def _examples(names: Sequence[str]) -> str:
    return ", ".join([*names[:_SHOWN], *["..."] * (len(names) > _SHOWN)])
