"""What `bench new-method` writes and refuses. That it works is tested in tests/integration/test_new_method.py."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import pytest
import tomllib
import yaml

if TYPE_CHECKING:
    from pathlib import Path


def test_every_file_is_written_with_the_methods_name(bench: Any, tmp_path: Path) -> None:
    code, printed = bench("new-method", "two_words", "--out", tmp_path)
    assert code == 0 and "bench_two_words.py" in printed
    folder = tmp_path / "two_words"
    files = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(files) == {
        *("README.md", "pyproject.toml", "bench_two_words.py", "recipe.yaml", "experiment.yaml", "test_two_words.py")
    }
    names = {node.name for node in ast.walk(ast.parse(files["bench_two_words.py"])) if isinstance(node, ast.ClassDef)}
    assert names == {"TwoWords", "TwoWordsConfig"}
    points = tomllib.loads(files["pyproject.toml"])["project"]["entry-points"]["cnn_jepa_bench.methods"]
    assert points == {"two_words": "bench_two_words:TwoWords"}
    assert yaml.safe_load(files["recipe.yaml"])["method"] == "two_words"
    assert "{{" not in "".join(files.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [("My Method", "'My Method' cannot be a method's name"), ("byol", "there is a method 'byol' already"),
     ("class", "'class' cannot be"), ("taken", "taken exists; choose another name")],
)  # fmt: skip
def test_names_that_cannot_be_are_refused(bench: Any, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "taken").mkdir()
    code, printed = bench("new-method", name, "--out", tmp_path)
    assert code == 2 and message in " ".join(printed.split())
    assert [path.name for path in tmp_path.iterdir() if path.is_dir() and path.name != "taken"] == []
