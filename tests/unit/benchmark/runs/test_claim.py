"""One experiment per results folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from benchmark.errors import UserError
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.spec import load_experiment
from benchmark.runs.claim import claim_folder, first_difference

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.data.datasets import Dataset


@pytest.fixture
def claim(tmp_path: Path, dataset: Dataset) -> Any:
    """Claims a folder for the tiny experiment with some keys changed; entries may have begun."""

    def claim(*settings: str, begun: tuple[str, ...] = ()) -> None:
        path = tmp_path / "few.yaml"
        path.write_text(yaml.safe_dump({"budget": {"steps": 2}, "entries": ["simclr", "supervised"], "batch_size": 8}))
        experiment, source = load_experiment(str(path), settings=list(settings))
        claim_folder(tmp_path / "out", experiment, resolve_entries(experiment, source), dataset)
        for entry in begun:
            (tmp_path / "out" / "few" / entry).mkdir()

    return claim


def test_seeds_budgets_and_entries_may_be_added_but_nothing_shared_changed(claim: Any, tmp_path: Path) -> None:
    claim(begun=("simclr",))
    claim("seeds=[1]", "budget={steps: 9}", "entries=[simclr, random_init]")
    claimed = yaml.safe_load((tmp_path / "out" / "few" / "experiment.yaml").read_text())
    assert set(claimed["entries"]) == {"simclr", "random_init"}  # nothing of supervised had begun
    with pytest.raises(UserError, match="batch_size is 8 there and 16 here; choose another --out"):
        claim("batch_size=16")
    with pytest.raises(UserError, match=r"entries\.simclr\.settings\.temperature is 0\.11 there and 0\.3 here"):
        claim("simclr.temperature=0.3")


def test_a_name_is_free_until_a_run_of_it_has_begun(claim: Any, tmp_path: Path) -> None:
    claim()
    claim("batch_size=16", "simclr.temperature=0.3")
    claimed = yaml.safe_load((tmp_path / "out" / "few" / "experiment.yaml").read_text())
    assert claimed["shared"]["batch_size"] == 16
    assert claimed["entries"]["simclr"]["settings"]["temperature"] == 0.3


def test_a_file_that_is_damaged_is_named(claim: Any, tmp_path: Path) -> None:
    claim(begun=("simclr",))
    (tmp_path / "out" / "few" / "experiment.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"experiment\.yaml: is not what `bench run` writes"):
        claim()


def test_the_first_difference_names_its_key() -> None:
    assert first_difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ("a.c", 2, 3)
    assert first_difference({"a": 1}, {"a": 1, "b": None}) is None
    assert first_difference({"a": {"b": 1}}, {"a": 5}) == ("a", {"b": 1}, 5)
