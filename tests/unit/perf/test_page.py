"""What the scripts in perf/ report, and the page that is written from it."""

from __future__ import annotations

import ast
import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

PERF = Path(__file__).parents[3] / "perf"
HERE = {"Measured": "2026-01-02", "CPU": "a | b"}


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module `perf/page.py`, which imports `claims` from the same folder."""
    monkeypatch.syspath_prepend(str(PERF))
    yield importlib.import_module("page")
    for name in ("page", "claims", "images"):
        sys.modules.pop(name, None)


@pytest.fixture
def claims(page: Any) -> Any:
    return sys.modules["claims"]


def _written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_claim_is_judged_printed_and_written(
    claims: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "claims.jsonl"
    monkeypatch.setenv(claims.VARIABLE, str(file))
    assert claims.claim("fast", 3.31, "x", at_least=3.3, detail="a 1 ms, b 3 ms") is True
    assert claims.claim("slow", 3.29, "x", at_least=3.3) is False
    assert claims.claim("share", 0.5, "%", at_most=0.5) is True
    assert claims.claim("both", 5, "ms", at_least=1, at_most=4) is False
    assert claims.claim("plain", 1234.5, "ms") is None
    assert claims.claim("native", 0.9, "x", holds=False, line="a line of a table") is False
    printed = capsys.readouterr().out.splitlines()
    assert "a 1 ms, b 3 ms: 3.31 x (claim: at least 3.3 x)" in printed[0] and "MISSED" not in printed[0]
    assert "3.29 x (claim: at least 3.3 x; MISSED)" in printed[1]
    assert "(claim: at least 1 ms, at most 4 ms; MISSED)" in printed[3]
    assert printed[4].endswith(" 1234 ms")
    assert printed[5] == "a line of a table; MISSED"
    claims.unmeasured("on a GPU", "there is none", "images/s", at_least=2e5)
    assert capsys.readouterr().out.split(None, 3)[-1] == "skipped: there is none (claim: at least 200000 images/s)\n"
    assert [line["holds"] for line in _written(file)] == [True, False, True, False, None, False, None]
    monkeypatch.delenv(claims.VARIABLE)
    claims.claim("not written", 1, "x")
    assert len(_written(file)) == 7


SCRIPTS = {
    "good.py": '"""Measures well.\n\nMore."""\nfrom claims import about, claim\nabout("2 threads")\n'
    'claim("ratio | of", 2.5, "x", at_least=2, detail="<a> 1 ms")\nclaim("plain", 7, "ms")\n'
    'from claims import unmeasured\nunmeasured("on a GPU", "there is none", "x", at_least=3)',
    "missed.py": '"""Misses."""\nfrom claims import claim\nclaim("too slow", 1.5, "x", at_least=2)',
    "broken.py": '"""Breaks."""\nfrom claims import claim\nclaim("before", 1, "x")\nraise SystemExit(3)',
    "elsewhere.py": '"""Needs what is not here."""\nfrom claims import skip\nskip("there is no CUDA device")',
    "silent.py": '"""Prints only."""\nprint("something")',
    "left.py": '"""Left out."""\nraise SystemExit(1)',
}


def test_the_page_has_the_outcome_of_each_script(page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "claims.py").write_text((PERF / "claims.py").read_text())
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    monkeypatch.setattr(page, "describe_machine", lambda: HERE)
    out = tmp_path / "performance.md"
    only = ",".join(name.removesuffix(".py") for name in SCRIPTS if name != "left.py")
    monkeypatch.setattr("sys.argv", ["page.py", "--only", only, "--out", str(out)])
    with pytest.raises(SystemExit) as stop:
        page.main()
    assert stop.value.code == 1  # one failed
    text = out.read_text()
    assert r"| CPU | a \| b |" in text and "| Measured | 2026-01-02 |" in text
    assert "3 of 6 scripts ran; 1 of 2 claims of this measurement held. Missed: too slow (`missed.py`)." in text
    sections = {part.partition("\n")[0]: part for part in text.split("\n## ")[1:]}
    assert list(sections) == sorted(SCRIPTS)  # neither of the helpers
    assert r"| ratio \| of | 2.5 x | at least 2 x | held | &lt;a> 1 ms |" in sections["good.py"]
    assert "| plain | 7 ms |  |  |  |" in sections["good.py"]
    assert "| on a GPU | skipped | at least 3 x |  | there is none |" in sections["good.py"]
    assert "Measures well.\n" in sections["good.py"] and "2 threads." in sections["good.py"]
    assert "| too slow | 1.5 x | at least 2 x | **missed** |" in sections["missed.py"]
    assert "**Failed**: exit code 3." in sections["broken.py"] and "| before | 1 x |" in sections["broken.py"]
    assert "**Skipped**: there is no CUDA device." in sections["elsewhere.py"]
    assert "reports nothing here" in sections["silent.py"]
    assert "**Skipped**: never measured." in sections["left.py"]
    monkeypatch.setattr(page, "describe_machine", lambda: {**HERE, "Measured": "2026-02-03"})
    for name in ("left", "silent"):  # the others keep what they say, with the time of the first measurement
        monkeypatch.setattr("sys.argv", ["page.py", "--only", name, "--out", str(out)])
        with pytest.raises(SystemExit):
            page.main()
    kept = {part.partition("\n")[0]: part for part in out.read_text().split("\n## ")[1:]}
    assert "1 of 6 scripts ran, 5 kept from earlier measurements" in out.read_text()
    assert kept["good.py"].count("From 2026-01-02, commit unknown.") == 1
    assert r"| ratio \| of | 2.5 x | at least 2 x | held | &lt;a> 1 ms |" in kept["good.py"]
    assert "From 2026-02-03" in kept["left.py"] and "never measured" not in kept["left.py"]


def test_one_variable_names_the_images_of_all_scripts_and_the_page_hides_their_path(
    page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = importlib.import_module("images")
    monkeypatch.delenv("PERF_DATA", raising=False)
    assert images.data_folder() is None
    monkeypatch.setenv("PERF_DATA", str(tmp_path / "photos"))
    folder = images.shapes_folder(tmp_path / "photos", 30, 10, quality=90, side=96)
    assert images.data_folder() == folder
    assert images.describe(folder, made=False) == "folder 'photos', 40 images"
    assert images.describe(folder, made=True) == "40 images of `shapes`"
    with Image.open(next((folder / "test").glob("*/*.jpg"))) as picture:
        assert picture.size == (96, 96)


def test_unknown_scripts_are_refused(
    page: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["page.py", "--only", "mask"])
    with pytest.raises(SystemExit) as stop:
        page.main()
    assert stop.value.code == 2
    assert "no script 'mask'; choices: allocator, answers, cutover," in capsys.readouterr().err


def test_the_machine_is_described_without_its_name(page: Any) -> None:
    import platform

    machine = page.describe_machine()
    assert {"Measured", "CPU", "Packages", "Commit"} <= set(machine) and "torch " in machine["Packages"]
    assert not [value for value in machine.values() if platform.node() in value]


def test_every_script_says_what_it_measures(page: Any) -> None:
    scripts = [path for path in PERF.glob("*.py") if path.name not in page.HELPERS]
    assert len(scripts) > 8
    assert all(len(page.purpose(path)) > 20 for path in scripts)


def test_every_script_reports_to_the_page(page: Any) -> None:
    for path in PERF.glob("*.py"):
        if path.name not in page.HELPERS:
            calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
            called = {function.id for function in calls if isinstance(function, ast.Name)}
            assert {"claim", "compare_threads"} & called, f"{path.name} measures something that the page does not get"
