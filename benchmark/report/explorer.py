"""The data of the page's explorer: how the encoders of a comparison see some images, at each point of their training.

The page needs no server and no library: the numbers are one compressed array of bytes inside it, the images two JPEGs.
Shape suffixes: B images, N = h x w cells, K neighbours.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.analysis.comparability import backbone_text
from benchmark.report import style
from benchmark.report.summary import name_of
from benchmark.report.tables import runs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.analysis.comparison import Row
    from benchmark.records.schema import Record
    from benchmark.report.explorer_files import Array, ExplorerFiles

LIMIT = 230_000  # characters of the numbers in a page; with fewer images and points they fit
_SMALLER = ((8, True), (6, True), (4, True), (4, False), (2, False), (1, False))  # images, and whether all points
_LARGEST = 160  # pixels of an image's side
_NOTHING = -128  # in place of a cosine where nothing is predicted

Explored = tuple["Row", "Record", "ExplorerFiles"]


@dataclass
class _Bytes:
    """Arrays one after the other, and where each lies."""

    parts: list[bytes] = field(default_factory=list)
    length: int = 0

    def add(self, array: Array) -> list[int]:
        """Appends an array of bytes; returns its start and its length."""
        data = np.ascontiguousarray(array).tobytes()
        place = [self.length, len(data)]
        self.parts.append(data)
        self.length += len(data)
        return place


def explorer_data(explored: Sequence[Explored]) -> str:
    """What the explorer's script reads, as JSON; empty if no run keeps anything.

    Runs on other images than the first one's are left out. To keep the numbers below `LIMIT`, fewer images are shown
    than the runs keep, and then only the first and the last point of training.
    """
    if not explored:
        return ""
    plain = _last(explored[0][2])["plain"]
    same = [one for one in explored if np.array_equal(_last(one[2])["plain"], plain)]
    for images, every in _SMALLER:
        content, numbers = _content(same, min(images, len(plain)), every=every)
        if len(numbers) <= LIMIT:
            break
    return json.dumps({**content, "numbers": numbers}, separators=(",", ":"))


def _last(files: ExplorerFiles) -> dict[str, Array]:
    return files.points[max(files.points)]


def _content(explored: Sequence[Explored], images: int, *, every: bool) -> tuple[dict[str, Any], str]:
    """What the page shows of so many images, and its numbers."""
    numbers = _Bytes()
    thumbnails: dict[int, Array] = {}
    methods = []
    for row, record, files in explored:
        percents = sorted(files.points)
        shown = percents if every else sorted({percents[0], percents[-1]})
        points = [_point(files.points[percent], images, numbers) for percent in shown]
        for percent in shown:
            point = files.points[percent]
            pictures = point["neighbour_images"].reshape(
                *point["neighbours"].shape, *point["neighbour_images"].shape[1:]
            )
            for place, picture in zip(
                point["neighbours"][:images].flat, pictures[:images].reshape(-1, *pictures.shape[2:]), strict=True
            ):
                thumbnails.setdefault(int(place), picture)
        last = _last(files)
        methods.append(
            {
                "name": name_of(row),
                "colour": style.colour(record.entry, record.method),
                "network": backbone_text(record),
                "runs": runs_of(record),
                "seed": record.seed,
                "grid": last["grid"].tolist(),
                "percents": shown,
                "points": points,
                "masks": _masks(files, images, numbers),
            }
        )
    places = sorted(thumbnails)
    plain = _last(explored[0][2])["plain"][:images]
    content = {
        "images": images,
        "plain": _sprite(list(plain)),
        "thumbnails": _sprite([thumbnails[place] for place in places]),
        "places": places,
        "methods": methods,
    }
    compressed = zlib.compress(b"".join(numbers.parts), 9)
    return content, base64.b64encode(compressed).decode()


def _point(arrays: dict[str, Array], images: int, numbers: _Bytes) -> dict[str, Any]:
    """Where one point's numbers lie: cosines above the diagonal, row by row; those of predictions; neighbours."""
    above = np.triu_indices(arrays["similarity"].shape[1], 1)
    point = {
        "similarity": numbers.add(arrays["similarity"][:images][:, above[0], above[1]]),
        "nearest": arrays["neighbours"].shape[1],
        "neighbours": numbers.add(arrays["neighbours"][:images].astype("<u2")),
        "cosines": numbers.add(arrays["neighbour_similarity"][:images]),
        "same": numbers.add(arrays["neighbour_same_class"][:images]),
    }
    if "predicted_cosine" in arrays:
        cosine = arrays["predicted_cosine"][:images].astype(np.float32)
        parts = np.where(np.isnan(cosine), _NOTHING, np.rint(127 * np.nan_to_num(cosine).clip(-1, 1)))
        point["predicted"] = numbers.add(parts.astype(np.int8))
    return point


def _masks(files: ExplorerFiles, images: int, numbers: _Bytes) -> dict[str, Any] | None:
    """The run's own masks, bit by bit as in `mask_draws`, and the drawn ones; None for a method without masks."""
    arrays, drawn = _last(files), files.masks
    if "plain_context" not in arrays:
        return None
    own = arrays["plain_context"][:images].astype(np.uint8)
    for block in range(min(7, arrays["plain_targets"].shape[1])):
        own |= arrays["plain_targets"][:images, block].astype(np.uint8) << (1 + block)
    masks = {"grid": list(own.shape[1:]), "own": numbers.add(own), "shares": [], "blocks": [], "draws": 0}
    if drawn and drawn["mask_draws"].shape[3:] == own.shape[1:]:
        masks |= {
            "shares": drawn["mask_shares"].round(3).tolist(),
            "blocks": drawn["mask_blocks"].tolist(),
            "draws": drawn["mask_draws"].shape[2],
            "drawn": numbers.add(drawn["mask_draws"]),
        }
    return masks


def _sprite(pictures: Sequence[Array]) -> dict[str, Any]:
    """Pictures of one size side by side as a JPEG: its address, the side of a picture, pictures in a row."""
    from PIL import Image

    side = min(_LARGEST, max(picture.shape[0] for picture in pictures))
    columns = min(16, len(pictures))
    sheet = Image.new("RGB", (columns * side, -(-len(pictures) // columns) * side))
    for number, picture in enumerate(pictures):
        tile = Image.fromarray(picture)
        tile = tile if tile.size == (side, side) else tile.resize((side, side), Image.Resampling.BOX)
        sheet.paste(tile, (number % columns * side, number // columns * side))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=92, subsampling=0)
    address = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return {"address": address, "side": side, "columns": columns}
