from __future__ import annotations

import itertools
import re
from typing import Any

from benchmark.report import style
from methods.registry import method_class, own_methods


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


def test_a_method_of_another_package_is_shown_as_its_records_say(make_record: Any) -> None:
    said = {"method": "spark_like", "method_display": "Spark-Like", "method_colour": "#123456"}
    entries = ("spark_like", "spark_like_vit", "spark_like_deep", "mine")
    style.learn([make_record(entry, **said) for entry in entries])
    names = [style.display(entry) for entry in (*entries, "spark_like_vit.lr-0.1")]
    assert names == ["Spark-Like", "Spark-Like (ViT)", "Spark-Like (deep)", "mine", "Spark-Like (ViT), lr 0.1"]
    assert style.colour("spark_like") == "#123456"
    shades = {style.colour(entry, "spark_like") for entry in entries}
    assert len(shades) == 4


def test_a_colour_that_is_none_is_not_taken(make_record: Any) -> None:
    style.learn([make_record("odd", method="odd", method_colour="bluish")])
    shade = style.colour("odd", "odd")
    assert re.fullmatch("#[0-9a-f]{6}", shade) and style.text_colour(shade)


def test_records_cannot_rename_our_own_methods(make_record: Any) -> None:
    style.learn([make_record("byol", method_display="Better", method_colour="#ffffff")])
    assert (style.display("byol"), style.colour("byol")) == ("BYOL", "#117733")


def test_the_tables_for_older_records_are_what_the_methods_say() -> None:
    for name in set(own_methods()) & set(style.COLOURS):
        kind = method_class(name)
        assert kind.colour == style.COLOURS[name], name
        assert (kind.display_name or name) == style.display(name), name


def test_every_method_says_what_it_looks_like() -> None:
    shown = [(method_class(name).colour, method_class(name).display_name or name) for name in own_methods()]
    assert all(colour for colour, _ in shown)
    assert len({colour for colour, _ in shown}) == len({name for _, name in shown}) == len(shown)
