"""Pictures of what probes predict for a few test images: a row per entry, below the images and the truth.

Shape suffixes: B images, H W pixels, C colours, M boxes.
"""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.records.folder import predictions_path, probe_path
from benchmark.report import style
from benchmark.report.canvas import Caption
from benchmark.report.run_files import OWN_IMAGES, read_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmark.analysis.comparison import Row
    from benchmark.records.schema import ProbeRecord, Record
    from benchmark.report.run_files import MethodViews, RunFiles

    Pictures = Sequence[tuple[str, Any]]

_IGNORED = np.array([128, 128, 128], dtype=np.uint8)
_SURE = 0.5  # boxes of at least this score are drawn
_TURN = 0.381966  # of the hue from one label to the next: the golden angle keeps neighbours apart

CAPTION = Caption(
    "The first images of the test split, which are a random sample; predictions of each entry's first seed.",
    "Label maps: a colour per label, black for the first one, grey for pixels that do not count. Depths: near is "
    "bright. Boxes: of every object, and predicted ones with a score of at least 0.5.",
)


def predicted(
    rows: Sequence[Row], probes: Mapping[Any, Sequence[ProbeRecord]], run_of: Any, files: RunFiles
) -> dict[tuple[str, str], Pictures]:
    """Rows of pictures by protocol and dataset.

    Images of other people's datasets are left out, as everywhere in a report; an entry whose images are others than the
    first one's is, too.
    """
    found: dict[tuple[str, str], dict[str, MethodViews]] = {}
    for row in rows:
        for record in row.measured:
            for probe in probes.get(run_of(record), ()):
                entries = found.setdefault((probe.protocol, probe.dataset.name), {})
                if row.first.entry in entries or not _may_show(probe, files):
                    continue
                if (path := _path(record, probe, files)) is not None:
                    try:
                        entries[row.first.entry] = read_arrays(path)
                    except Exception as error:  # a damaged file can fail in any way
                        files.problems.append(f"{path}: not a file of predictions ({error})")
    return {key: pictures(entries) for key, entries in found.items() if entries}


def pictures(entries: Mapping[str, MethodViews]) -> Pictures:
    """The images, the truth, and each entry's prediction, as uint8 `(B, H, W, 3)`."""
    first = next(iter(entries.values()))
    images_BHWC = np.ascontiguousarray(first["images"].transpose(0, 2, 3, 1))
    rows = [("image", images_BHWC), ("truth", _drawn(first, images_BHWC, "truth"))]
    for entry, arrays in entries.items():
        if np.array_equal(arrays["images"], first["images"]):
            rows.append((style.display(entry), _drawn(arrays, images_BHWC, "prediction")))
    return rows


def _may_show(probe: ProbeRecord, files: RunFiles) -> bool:
    return files.pictures is not False and (probe.dataset.name in OWN_IMAGES or files.pictures is True)


def _path(record: Record, probe: ProbeRecord, files: RunFiles) -> Path | None:
    folder = files.beside[id(record)]
    elsewhere = f"{probe.dataset.name}-{probe.dataset.manifest[:8]}"
    own = probe.dataset.manifest == record.dataset.manifest
    paths = [predictions_path(probe_path(folder, probe.protocol, place)) for place in (*([None] * own), elsewhere)]
    return next((path for path in paths if path.is_file()), None)


def _drawn(arrays: MethodViews, images_BHWC: Any, what: str) -> Any:
    if f"{what}_boxes" in arrays:
        return _boxed(images_BHWC, arrays[f"{what}_boxes"], arrays[f"{what}_scores"])
    maps_BHW = arrays[what]
    if np.issubdtype(maps_BHW.dtype, np.integer):
        return label_colours()[maps_BHW]
    known = arrays["truth"][arrays["truth"] > 0]
    low, high = np.log(known.min()), np.log(known.max())
    near_BHW = 1 - (np.log(np.maximum(maps_BHW, 1e-6)) - low) / max(high - low, 1e-6)
    grey_BHW = np.rint(255 * np.clip(near_BHW, 0, 1)).astype(np.uint8)
    grey_BHW[maps_BHW <= 0] = 0
    return np.repeat(grey_BHW[..., None], 3, axis=-1)


def label_colours() -> Any:
    """A colour for each value of a label map, uint8 `(256, 3)`."""
    table = np.zeros((256, 3), dtype=np.uint8)
    for label in range(1, 255):
        value = 0.95 if label % 2 else 0.75
        table[label] = np.rint(255 * np.array(colorsys.hsv_to_rgb(label * _TURN % 1, 0.65, value)))
    table[255] = _IGNORED
    return table


def _boxed(images_BHWC: Any, boxes_BM4: Any, scores_BM: Any) -> Any:
    """Images with the outlines of boxes; a score below `_SURE` is none, and so is what fills up the array."""
    drawn = images_BHWC.copy()
    side = drawn.shape[1]
    for image, boxes, scores in zip(drawn, boxes_BM4, scores_BM, strict=True):
        for box in boxes[scores >= _SURE]:
            left, top, right, bottom = np.clip(np.rint(box).astype(int) - (0, 0, 1, 1), 0, side - 1)
            image[[top, bottom], left : right + 1] = (255, 80, 40)
            image[top : bottom + 1, [left, right]] = (255, 80, 40)
    return drawn
