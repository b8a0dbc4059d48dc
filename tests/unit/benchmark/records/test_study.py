from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
from studies import DEPTH, make_study

from benchmark.records.study import find_studies, read_study, trials_csv, value_key, value_text

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_no_study_is_named(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    for text, message in (("{", "not a JSON file"), ('{"schema_version": 9}', "schema_version is 9, expected 1")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_study(path)
    found, problems = find_studies([tmp_path])
    assert found == [] and len(problems) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("mixed", "mixed"),
        (0.001, "0.001"),
        (1e-5, "1e-05"),
        (3, "3"),
        (True, "true"),
        (None, "null"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_a_value_is_written_as_in_a_file(value: object, text: str) -> None:
    assert value_text(value) == value_key(value) == text


def test_values_that_look_the_same_are_still_two() -> None:
    assert value_text(0.99961) == value_text(0.99964) == "0.9996"
    assert (value_key(0.99961), value_key(0.99964)) == ("0.99961", "0.99964")
    assert value_key(1_000_000) == value_key(1e6) == "1000000"


def test_the_table_of_trials_has_a_row_per_run_with_every_digit() -> None:
    study = make_study()
    rows = list(csv.DictReader(io.StringIO(trials_csv(study))))
    assert len(rows) == sum(max(1, len(trial.runs)) for one in study.studies for trial in one.trials)
    assert rows[0][DEPTH] == "1" and rows[0]["state"] == "complete" and rows[0]["seed"] == "0"


def test_a_run_that_two_trials_share_is_counted_once() -> None:
    study = make_study()
    (one,) = study.studies
    twice = study.model_copy(update={"studies": [one.model_copy(update={"trials": [*one.trials, one.trials[0]]})]})
    assert len(twice.runs) == len(study.runs) and twice.device_hours == study.device_hours == pytest.approx(12.5)
