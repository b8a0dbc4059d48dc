from __future__ import annotations

import itertools
import re
from typing import Any

from benchmark.report import style


def luminance(colour: str) -> float:
    linear = [(int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_palette_rises_in_luminance_and_text_stays_readable() -> None:
    methods = [name for name in style.COLOURS if name not in ("supervised", "random_init")]
    lightness = [luminance(style.COLOURS[name]) ** (1 / 2.2) for name in methods]
    assert all(b - a > 0.04 for a, b in itertools.pairwise(lightness))
    for colour in style.COLOURS.values():
        assert 1.05 / (luminance(style.text_colour(colour)) + 0.05) > 4.4


def test_unknown_entries_have_a_colour_of_their_own_that_never_changes() -> None:
    assert style.colour("byol_tuned", "byol") == style.colour("byol_tuned", "byol")
    colours = {style.colour(name, method) for name in ("a", "b", "c") for method in ("byol", "simclr", "unheard")}
    assert len(colours) >= 7
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)
    assert style.display("unheard_of") == "unheard_of" and style.display("ijepa") == "I-JEPA"


def test_markers_tell_families_apart(make_record: Any) -> None:
    marks = [style.marker(make_record(e, backbone=b)) for e, b in [("byol", "resnet18"), ("byol", "vit_small-p4")]]
    assert marks == ["o", "s"]
    assert style.marker(make_record("supervised", backbone="vit_tiny")) == "D"


def test_a_sweeps_point_is_read_after_its_entry() -> None:
    assert style.display("simclr_vit.lr-0.003") == "SimCLR (ViT), lr 0.003"
    assert style.display("my.entry") == "my.entry"
