"""The data of the explorer."""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from made_glimpses import make_masks, make_point

from benchmark.analysis.comparison import Row
from benchmark.report import explorer
from benchmark.report.explorer import LIMIT, explorer_data
from benchmark.report.explorer_files import ExplorerFiles

if TYPE_CHECKING:
    from benchmark.report.explorer import Explored


def explored(make_record: Any, entry: str, files: ExplorerFiles) -> Explored:
    record = make_record(entry)
    return Row((record,)), record, files


def numbers_of(content: dict[str, Any], place: list[int], kind: Any = np.int8) -> Any:
    data = zlib.decompress(base64.b64decode(content["numbers"]))
    return np.frombuffer(data[place[0] : sum(place)], dtype=kind)


def test_the_numbers_are_those_of_the_files(make_record: Any) -> None:
    points = {0: make_point(1, predicts=True), 100: make_point(2, predicts=True)}
    jepa = explored(make_record, "cnn_jepa", ExplorerFiles(points, make_masks()))
    other = explored(make_record, "simclr", ExplorerFiles({100: make_point(3, (8, 8))}, {}))
    content = json.loads(explorer_data([jepa, other]))
    first, second = content["methods"]
    assert (first["name"], first["percents"], second["grid"], second["masks"]) == ("CNN-JEPA", [0, 100], [8, 8], None)
    above = np.triu_indices(16, 1)
    similarity = numbers_of(content, first["points"][1]["similarity"]).reshape(8, -1)
    assert np.array_equal(similarity, points[100]["similarity"][:, above[0], above[1]])
    predicted = numbers_of(content, first["points"][1]["predicted"]).reshape(8, 4, 4).astype(float)
    predicted[predicted == -128] = np.nan
    assert predicted / 127 == pytest.approx(points[100]["predicted_cosine"].astype(float), abs=0.004, nan_ok=True)
    places = numbers_of(content, first["points"][0]["neighbours"], "<u2").reshape(8, 3)
    assert np.array_equal(places, points[0]["neighbours"]) and set(places.flat) <= set(content["places"])
    own = numbers_of(content, first["masks"]["own"], np.uint8).reshape(8, 4, 4)
    assert own[0].tolist() == [[2, 2, 4, 4], [2, 2, 4, 4], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert np.array_equal(numbers_of(content, first["masks"]["drawn"], np.uint8), make_masks()["mask_draws"].ravel())


def test_fewer_images_are_shown_and_then_fewer_points_if_the_numbers_are_too_many(
    make_record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [
        explored(make_record, entry, ExplorerFiles({p: make_point(p + i, (8, 8)) for p in (0, 50, 100)}, {}))
        for i, entry in enumerate(("simclr", "byol"))
    ]

    def shown(limit: int) -> tuple[int, list[int], int]:
        monkeypatch.setattr(explorer, "LIMIT", limit)
        content = json.loads(explorer_data(runs))
        return content["images"], content["methods"][0]["percents"], len(content["numbers"])

    images, percents, size = shown(LIMIT)
    assert (images, percents) == (8, [0, 50, 100]) and size <= LIMIT
    assert shown(size * 5 // 6)[:2] == (6, [0, 50, 100])
    assert shown(size * 2 // 5)[:2] == (4, [0, 100])
    assert shown(1)[:2] == (1, [0, 100])


def test_runs_on_other_images_are_left_out_and_without_runs_there_is_nothing(make_record: Any) -> None:
    assert explorer_data([]) == ""
    others = {100: {**make_point(1), "plain": np.zeros((8, 16, 16, 3), dtype=np.uint8)}}
    runs = [
        explored(make_record, "simclr", ExplorerFiles({100: make_point(1)}, {})),
        explored(make_record, "byol", ExplorerFiles(others, {})),
    ]
    assert [method["name"] for method in json.loads(explorer_data(runs))["methods"]] == ["SimCLR"]
