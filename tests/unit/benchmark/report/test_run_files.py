from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmark.report.bars import _PARTS, _PHASES, step_parts
from benchmark.report.canvas import save
from benchmark.report.method_views import _masked, _rows, seen
from benchmark.report.run_files import read_beside, read_glimpse, read_parts
from benchmark.training.profile import PARTS as PARTS_OF_A_STEP

if TYPE_CHECKING:
    from pathlib import Path

PARTS = {
    "data": 0.001,
    "views": 0.01,
    "forward": 0.05,
    "backward": 0.06,
    "optimizer": 0.002,
    "ema": 0.0,
    "other": 0.001,
}


def glimpse(cells: int = 2, size: int = 8) -> dict[str, Any]:
    pixels = np.arange(8 * size * size * 3, dtype=np.uint8).reshape(8, size, size, 3)
    context = np.zeros((8, cells, cells), dtype=bool)
    context[:, 0] = True
    features = np.linspace(0, 1, 8 * cells * cells * 3, dtype=np.float32).reshape(8, cells, cells, 3)
    return {
        "images": pixels,
        "view_0": pixels[::-1].copy(),
        "context": context,
        "targets": np.stack([~context, ~context], axis=1),
        "target_pca": features,
        "predicted_pca": features,
    }


def test_parts_are_read_and_a_hair_below_zero_is_zero(tmp_path: Path) -> None:
    path = tmp_path / "breakdown.json"
    assert read_parts(path) is None
    path.write_text(json.dumps({"steps": 20, "parts": {**PARTS, "other": -1e-9}}))
    assert read_parts(path) == {**PARTS, "other": 0.0}


@pytest.mark.parametrize("text", ["{", "[1]", '{"parts": {"data": "x"}}', '{"parts": {}}', '{"parts": {"a": NaN}}'])
def test_other_files_are_no_breakdown_and_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "breakdown.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"breakdown\.json: "):
        read_parts(path)


def test_a_glimpse_is_read_without_running_code(tmp_path: Path) -> None:
    path = tmp_path / "glimpse.npz"
    np.savez(path, **glimpse())
    assert set(read_glimpse(path)) == set(glimpse())
    for wrong in (
        {"images": np.array([{"code": 1}], dtype=object)},
        {"view_0": glimpse()["view_0"]},
        {**glimpse(), "context": np.ones((8, 2, 2))},
        {**glimpse(), "view_1": np.zeros((3, 8, 8, 3), dtype=np.uint8)},
        {**glimpse(), "target_pca": np.zeros((8, 2, 2, 4))},
    ):
        np.savez(path, **wrong)
        with pytest.raises(ValueError, match=r"glimpse\.npz: not a glimpse"):
            read_glimpse(path)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="not a glimpse"):
        read_glimpse(path)


def test_images_of_others_are_shown_only_when_asked(make_record: Any, store: Any, tmp_path: Path) -> None:
    found = []
    for name in ("shapes", "cifar10-jpeg"):
        record = make_record(dataset={"name": name}, experiment=name)
        path = store(tmp_path, record)
        np.savez(path.with_name("glimpse.npz"), **glimpse())
        found.append((path, record))
    beside = read_beside(found)
    assert list(beside.glimpses) == [id(found[0][1])] and beside.withheld == {"cifar10-jpeg"}
    beside = read_beside(found, pictures=True)
    assert len(beside.glimpses) == 2 and beside.withheld == set()
    found[0][0].with_name("glimpse.npz").write_bytes(b"torn")
    (problem,) = read_beside(found[:1]).problems
    assert "glimpse.npz: not a glimpse" in problem


def test_a_compressed_glimpse_with_wrong_bytes_is_named_whatever_they_are(tmp_path: Path) -> None:
    path = tmp_path / "glimpse.npz"
    np.savez_compressed(path, **glimpse())
    whole, draw = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        torn = bytearray(whole)
        for place in draw.integers(0, len(torn), 3):
            torn[place] ^= 0xFF
        path.write_bytes(bytes(torn))
        try:
            read_glimpse(path)
        except ValueError:  # nothing else may come
            refused += 1
    assert refused > 100


def test_a_jepas_rows_show_views_masks_and_features(tmp_path: Path) -> None:
    rows = dict(_rows(glimpse()))
    assert list(rows) == ["image", "view", "visible", "to predict", "target features", "predicted"]
    # The upper half is context, the lower one target; both are cut from the view, not from the image.
    view = glimpse()["view_0"]
    assert np.array_equal(rows["visible"][:, :4], view[:, :4]) and (rows["visible"][:, 4:] >= 246).all()
    assert np.array_equal(rows["to predict"][:, 4:], view[:, 4:]) and (rows["to predict"][:, :4] >= 246).all()
    assert (rows["predicted"][:, 0] >= 246).all() and np.array_equal(
        rows["predicted"][:, 1], rows["target features"][:, 1]
    )
    assert rows["target features"].max() == 255 and rows["target features"].min() == 0
    figure = seen(glimpse())
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(rows)
    svg, _ = save(figure, tmp_path / "seen")
    text = svg.read_text(encoding="utf-8")
    assert "data:image/png;base64," in text and 'href="http' not in text


def test_cells_that_do_not_divide_the_picture_still_cover_it() -> None:
    pixels = np.full((1, 7, 7, 3), 9, dtype=np.uint8)
    kept = _masked(pixels, np.ones((1, 3, 3), dtype=bool))
    assert (kept == 9).all()


def test_methods_with_two_views_number_them_and_large_pictures_shrink() -> None:
    pixels = np.zeros((8, 224, 224, 3), dtype=np.uint8)
    arrays = {"images": pixels, "view_1": pixels, "view_0": pixels, "view_10": pixels}
    assert [name for name, _ in _rows(arrays)] == ["image", "view 1", "view 2", "view 3"]
    (image,) = seen(arrays, width=3.3).axes[0].get_images()
    assert image.get_size() == (4 * 96 + 3 * 6, 4 * 96 + 3 * 6)  # a narrow figure shows four of eight


def test_every_part_of_a_breakdown_has_a_name() -> None:
    assert {*PARTS_OF_A_STEP, "forward"} == set(_PARTS)


def test_step_bars_are_means_in_milliseconds_and_strange_parts_count_as_other(make_record: Any) -> None:
    records = [make_record("byol", 0), make_record("byol", 1), make_record("simclr"), make_record("random_init")]
    parts = {
        id(records[0]): PARTS,
        id(records[1]): {**PARTS, "forward": 0.07},
        id(records[2]): {"forward": 0.01, "gossip": 0.003},
    }
    figure = step_parts(records, parts)
    assert figure is not None
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["SimCLR", "BYOL"]
    widths = {c.get_label().split(":")[0]: [round(b.get_width(), 6) for b in c] for c in axes.containers}
    assert widths["forward"] == [10.0, 60.0] and widths["other"] == [3.0, 1.0]
    assert "moving average" not in widths  # nobody spent any time on it
    newer = {**PARTS, "forward": 0.0, "encoder": 0.02, "target_encoder": 0.01, "head": 0.01, "loss": 0.03}
    mixed = step_parts(records, {**parts, id(records[1]): newer})
    assert mixed is not None
    assert [c.get_label().split(":")[0] for c in mixed.axes[0].containers if "encoder" in c.get_label()] == ["forward"]
    assert step_parts(records, {}) is None


def lightness(colour: str) -> float:
    """L* of CIELAB, 0 to 100: what is left of a colour in grey."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return float(116 * y ** (1 / 3) - 16)


def test_neighbours_in_the_bars_are_told_apart_in_grey() -> None:
    always = ["encoder", "loss", "backward", "optimizer"]
    steps = [["data", "views", "forward", "backward", "optimizer", "ema", "other"]]
    for optional in itertools.product([True, False], repeat=5):
        extra = dict(zip(("data", "views", "target_encoder", "head", "ema"), optional, strict=True))
        steps.append([name for name in _PARTS if name in always or extra.get(name) or name == "other"])
    for names, looks in (*((step, _PARTS) for step in steps), (list(_PHASES), _PHASES)):
        for one, other in itertools.pairwise(names):
            assert abs(lightness(looks[one][1]) - lightness(looks[other][1])) > 12, (one, other)


@pytest.mark.parametrize("width", [3.3, 6.9])
def test_the_bars_legend_stands_above_them_and_inside_the_figure(make_record: Any, width: float) -> None:
    names = ("data", "views", "encoder", "target_encoder", "head", "loss", "backward", "optimizer", "ema", "other")
    records = [make_record(entry) for entry in ("byol", "cnn_jepa", "simclr", "ijepa", "vicreg", "supervised")]
    parts = {id(record): {name: 0.01 * (i + 1) for i, name in enumerate(names)} for record in records}
    figure = step_parts(records, parts, width=width)
    assert figure is not None
    (axes,), (legend,) = figure.axes, figure.legends
    box, page = legend.get_window_extent(), figure.bbox
    assert box.x0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1 + 1
    assert box.y0 >= axes.get_window_extent().y1 - 1
    texts = [text.get_window_extent() for text in legend.get_texts()]
    assert len(texts) == 10
    for one, other in itertools.combinations(texts, 2):
        assert one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 + 1 or other.y1 <= one.y0 + 1
