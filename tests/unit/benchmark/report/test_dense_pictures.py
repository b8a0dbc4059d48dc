"""Pictures of predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmark.analysis.comparison import comparisons
from benchmark.analysis.probes import run_of
from benchmark.records.schema import ProbeRecord
from benchmark.report.dense_pictures import label_colours, pictures, predicted
from benchmark.report.run_files import RunFiles

if TYPE_CHECKING:
    from pathlib import Path


def _arrays(seed: int = 0) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    return {
        "images": images,
        "truth": draw.integers(0, 3, (2, 8, 8), dtype=np.uint8),
        "prediction": draw.integers(0, 3, (2, 8, 8), dtype=np.uint8),
    }


def test_label_maps_have_a_colour_per_label() -> None:
    one, two = _arrays(0), _arrays(1)
    rows = dict(pictures({"byol": one, "simclr": two}))
    assert list(rows) == ["image", "truth", "BYOL", "SimCLR"]
    assert np.array_equal(rows["image"], one["images"].transpose(0, 2, 3, 1))
    table = label_colours()
    assert np.array_equal(rows["SimCLR"], table[two["prediction"]])
    assert table[0].tolist() == [0, 0, 0] and table[255].tolist() == [128, 128, 128]
    assert len({tuple(colour) for colour in table[:60].tolist()}) == 60


def test_near_is_bright_and_unknown_is_black() -> None:
    truth = np.array([[[1.0, 2.0, 4.0, 0.0]]], np.float32)
    arrays = {"images": np.zeros((1, 3, 1, 4), np.uint8), "truth": truth, "prediction": truth * 8}
    rows = dict(pictures({"byol": arrays}))
    assert rows["truth"][0, 0, :, 0].tolist() == [255, 128, 0, 0]
    assert rows["BYOL"].max() == 0  # farther than anything that is true


def test_sure_boxes_are_drawn() -> None:
    boxes = np.array([[[1, 2, 5, 7], [0, 0, 8, 8]]], np.float32)
    arrays = {
        "images": np.zeros((1, 3, 8, 8), np.uint8),
        "truth_boxes": boxes, "truth_scores": np.array([[1.0, -1.0]]),
        "prediction_boxes": boxes, "prediction_scores": np.array([[0.2, 0.9]]),
    }  # fmt: skip
    rows = dict(pictures({"byol": arrays}))
    drawn = rows["truth"][0, ..., 0] > 0
    assert drawn[2, 1:5].all() and drawn[6, 1:5].all() and drawn[2:7, 1].all() and drawn[2:7, 4].all()
    assert drawn.sum() == 2 * 4 + 2 * 5 - 4
    assert (rows["BYOL"][0, 0, :, 0] > 0).all()


def test_an_entry_with_other_images_is_left_out() -> None:
    other = {**_arrays(1), "images": np.ones((2, 3, 8, 8), np.uint8)}
    assert [name for name, _ in pictures({"byol": _arrays(), "simclr": other})] == ["image", "truth", "BYOL"]


@pytest.mark.parametrize(("name", "asked", "shown"), [
    ("shapes", None, True), ("shapes", False, False), ("voc2012", None, False), ("voc2012", True, True),
])  # fmt: skip
def test_other_peoples_images_are_shown_on_request_alone(
    make_record: Any, tmp_path: Path, name: str, asked: bool | None, shown: bool
) -> None:
    record = make_record()
    place = record.dataset.model_copy(update={"name": name, "manifest": "cd" * 32})
    one = ProbeRecord(
        key=record.key, protocol="segmentation-v1", dataset=place, scores={"miou": 1.0}, seconds=1.0,
        environment=record.environment, ended=record.ended,
    )  # fmt: skip
    (tmp_path / "probes").mkdir()
    np.savez(tmp_path / "probes" / f"segmentation-v1.{name}-cdcdcdcd.npz", **_arrays())
    files = RunFiles(beside={id(record): tmp_path}, pictures=asked)
    (comparison,) = comparisons([record])
    found = predicted(comparison.rows, {run_of(record): [one]}, run_of, files)
    assert list(found) == ([("segmentation-v1", name)] if shown else [])


def test_a_damaged_file_is_a_problem_and_no_picture(make_record: Any, tmp_path: Path) -> None:
    record = make_record(dataset={"name": "shapes"})
    one = ProbeRecord(
        key=record.key, protocol="depth-v1", dataset=record.dataset, scores={"depth_rmse": 1.0}, seconds=1.0,
        environment=record.environment, ended=record.ended,
    )  # fmt: skip
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes" / "depth-v1.npz").write_bytes(b"no")
    files = RunFiles(beside={id(record): tmp_path})
    (comparison,) = comparisons([record])
    assert predicted(comparison.rows, {run_of(record): [one]}, run_of, files) == {}
    assert "depth-v1.npz: not a file of predictions" in files.problems[0]
