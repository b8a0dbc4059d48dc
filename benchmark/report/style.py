"""The style of all figures: a colour per entry, a marker per family, display names."""

from __future__ import annotations

import colorsys
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.analysis import names
from benchmark.analysis.comparability import is_vit
from benchmark.analysis.names import DISPLAY as DISPLAY
from benchmark.analysis.names import display as display

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from benchmark.records.schema import Record

COLUMN_WIDTH = 3.3  # inches, one column of a paper
FULL_WIDTH = 6.9  # inches, both columns

FAINT = "#6b7280"

# Dark to light, so that the order survives in grey; hues by Tol and by Okabe and Ito, which colour-blind readers can
# distinguish. Related entries (SimCLR on two backbones, CNN-JEPA with two encoders) share a hue.
COLOURS: dict[str, str] = {
    "supervised": "#000000",
    "cnn_jepa": "#332288",
    "vicreg": "#882255",
    "byol": "#117733",
    "cnn_jepa_dense": "#4a6fe3",
    "simclr": "#d55e00",
    "random_init": "#6b6b6b",
    "ijepa": "#2fa899",
    "simclr_vit": "#e69f00",
}

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
# What records say of methods that are not in the table, by name of the method.
_learnt_colours: dict[str, str] = {}


def learn(records: Iterable[Record]) -> None:
    """Takes display names and colours (`#rrggbb`) of methods from records; those of the tables stay as they are."""
    records = list(records)
    names.learn(records)
    for record in records:
        shade = record.method_colour
        if shade is not None and _COLOUR.fullmatch(shade) and record.method not in COLOURS:
            _learnt_colours[record.method] = shade


def colour(entry: str, method: str = "") -> str:
    """The entry's colour as `#rrggbb`: a function of its name (and method), so the same in every figure.

    An unknown entry of a known method gets a shade of the method's colour; any other one a hue from its name's hash.
    """
    from matplotlib.colors import to_hex, to_rgb

    colours = {**_learnt_colours, **COLOURS}
    if entry in colours:
        return colours[entry]
    digest = hashlib.sha256(entry.encode()).digest()
    if method in colours:
        hue, lightness, saturation = colorsys.rgb_to_hls(*to_rgb(colours[method]))
        shift = 0.12 + 0.14 * digest[0] / 255
        lightness += shift if lightness < 0.4 else -shift
        return to_hex(colorsys.hls_to_rgb(hue, lightness, saturation))
    return to_hex(colorsys.hls_to_rgb(digest[0] / 256, 0.32 + 0.2 * digest[1] / 255, 0.6))


def text_colour(shade: str) -> str:
    """A darker shade of a colour, readable as small text on white (contrast of at least 4.5 to 1)."""
    from matplotlib.colors import to_hex, to_rgb
    from seaborn.utils import relative_luminance

    red, green, blue = to_rgb(shade)
    while 1.05 / (relative_luminance((red, green, blue)) + 0.05) < 4.5:
        red, green, blue = 0.95 * red, 0.95 * green, 0.95 * blue
    return to_hex((red, green, blue))


def marker(record: Record) -> str:
    """Circle for a CNN, square for a ViT, diamond for supervised, cross for random-init."""
    if record.method == "random_init":
        return "X"
    if record.method == "supervised":
        return "D"
    return "s" if is_vit(record) else "o"


def applied() -> AbstractContextManager[None]:
    """The style in force inside a `with` block, for drawing and for writing alike."""
    import matplotlib.style
    import seaborn

    return matplotlib.style.context([seaborn.axes_style("ticks"), Path(__file__).with_name("figures.mplstyle")])
