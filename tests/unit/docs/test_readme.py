"""README's table, figure and claims are those of the reference records, and its first part is short."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmark.analysis.differences import differences

if TYPE_CHECKING:
    from types import ModuleType

    from benchmark.analysis.comparison import Comparison

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_readme", ROOT / "docs" / "make_readme.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rung(script: ModuleType) -> Comparison:
    longest: Comparison = script.data_rungs()[-1]
    return longest


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_is_current_and_fits_a_screen(script: ModuleType, rung: Comparison, readme: str) -> None:
    table = script.table(rung)
    assert f"\n{table}<!-- end -->" in readme, "make docs"
    assert 5 <= len(table.splitlines()) - 2 <= 8
    assert {"SimCLR", "CNN-JEPA", "BYOL", "VICReg", "I-JEPA", "untrained (random init)"} == set(
        re.findall(r"^\| ([^|]+) \|", table, re.M)
    ) - {
        "method",
        "---",
    }


def test_what_the_readme_claims_is_significant(rung: Comparison) -> None:
    verdicts = {pair.row.first.entry: pair.verdict for pair in differences(rung)}
    assert {name: verdicts[name] for name in ("simclr", "vicreg", "byol", "random_init")} == {
        "simclr": "higher",
        "vicreg": "tie",
        "byol": "tie",
        "random_init": "lower",
    }
    (ijepa,) = (row for row in rung.rows if row.first.entry == "ijepa")
    assert rung.beats_random_init(ijepa) != "yes"
    steps = {row.first.entry: row.calibrated_time for row in rung.rows if row.calibrated_time is not None}
    assert all(steps["cnn_jepa"].high < steps[name].low for name in ("cnn_jepa_dense", "simclr", "byol", "vicreg"))


def test_the_first_part_is_at_most_700_words(readme: str) -> None:
    first = readme[: readme.index("\n## What is compared")]
    assert "## Using it" in first and len(first.split()) <= 700


def test_a_table_that_is_not_there_is_noticed(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "README", tmp_path / "README.md")
    (tmp_path / "README.md").write_text("nothing")
    monkeypatch.setattr("sys.argv", ["make_readme.py", "--check"])
    with pytest.raises(SystemExit, match=r"README\.md has 0 places for the table; expected 1"):
        script.main()
