"""docs/configuration.md is what the models say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmark.experiment.files import shipped_experiments, shipped_sweeps
from benchmark.experiment.spec import Experiment
from methods.cnn_jepa import CNNJEPAConfig

if TYPE_CHECKING:
    from types import ModuleType

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_configuration", DOCS / "make_configuration.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page(script: ModuleType) -> str:
    rendered: str = script.render()
    return rendered


def test_the_committed_page_is_current(script: ModuleType, page: str) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == page, "make docs"


def _rows(page: str, title: str) -> dict[str, list[str]]:
    section = re.split(r"^##+ ", page.partition(f"# {title}\n")[2], flags=re.MULTILINE)[0]
    rows = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_every_key_stands_there_with_its_bounds_default_and_meaning(page: str) -> None:
    experiment = _rows(page, "Experiment")
    assert set(experiment) == set(Experiment.model_fields)
    assert experiment["batch_size"] == ["whole number (at least 2)", "`256`", "images per step, over all devices."]
    assert experiment["dataset"][0] == "[dataset](#dataset)"
    cnn_jepa = _rows(page, "cnn_jepa")
    assert set(cnn_jepa) == set(CNNJEPAConfig.model_fields)
    assert cnn_jepa["encoder"][:2] == ["`sparse`, `masked_dense`", "`sparse`"]
    assert cnn_jepa["ema"][:2] == ["[ema](#ema)", "`{start: null, half_life: 0.058}`"]
    assert cnn_jepa["predictor_depth"][2].startswith("layers of the predictor")  # from the class it derives from
    assert _rows(page, "masking")["target_share"][0] == "number or null"
    assert _rows(page, "views")["crop_scale"][1] == "`[0.08, 1.0]`"
    assert set(_rows(page, "Shipped experiments")) == set(shipped_experiments())
    assert set(_rows(page, "Shipped sweeps")) == set(shipped_sweeps())


def test_links_lead_to_sections(page: str) -> None:
    titles = {title.lower().replace(" ", "-") for title in re.findall(r"^##+ (.*)$", page, flags=re.MULTILINE)}
    linked = set(re.findall(r"\]\(#([\w-]+)\)", page))
    assert len(linked) > 8 and linked <= titles


def test_a_page_that_is_not_current_fails_the_check(
    script: ModuleType, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "render", lambda: page)
    monkeypatch.setattr(script, "PAGE", tmp_path / "configuration.md")
    monkeypatch.setattr("sys.argv", ["make_configuration.py", "--check"])
    with pytest.raises(SystemExit, match="make docs"):
        script.main()
    assert not script.PAGE.exists()
    monkeypatch.setattr("sys.argv", ["make_configuration.py"])
    script.main()
    monkeypatch.setattr("sys.argv", ["make_configuration.py", "--check"])
    script.main()
