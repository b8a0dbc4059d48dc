"""Each module has its test file, at the same place below tests/unit."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("benchmark", "methods", "cnn_jepa")
# About the documentation, the scripts in perf/ and the repository: there is no module of that name.
ELSEWHERE = ("docs", "perf")


def _modules() -> set[Path]:
    """The test files that the packages call for, relative to tests/unit."""
    paths = (path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {path.with_name(f"test_{path.name}") for path in paths if not path.name.startswith("__")}


def _tests() -> set[Path]:
    """The test files in folders of tests/unit, relative to it."""
    unit = ROOT / "tests" / "unit"
    paths = (path.relative_to(unit) for path in unit.rglob("test_*.py"))
    return {path for path in paths if len(path.parts) > 1 and path.parts[0] not in ELSEWHERE}


def test_every_module_has_its_test_file_and_every_test_file_its_module() -> None:
    missing, stray = _modules() - _tests(), _tests() - _modules()
    assert not missing, f"without a test file below tests/unit: {sorted(map(str, missing))}"
    assert not stray, f"without a module: {sorted(map(str, stray))}"


def test_every_test_file_holds_a_test() -> None:
    files = [ROOT / "tests" / "unit" / path for path in _tests()]
    empty = [str(path) for path in files if "\ndef test_" not in path.read_text(encoding="utf-8")]
    assert files and not empty
