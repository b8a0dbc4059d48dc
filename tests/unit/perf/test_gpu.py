"""`perf/gpu.py`: stages that fail, hang, are stopped and resumed; what is missing; the page."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
PERF = ROOT / "perf"
IDENTITY: dict[str, Any] = {
    "device": "A card", "cards": 1, "memory_bytes": 80 * 2**30, "driver": "1.2", "torch": "2.9", "cuda": "13.0",
    "python": "3.12", "packages": {"timm": "1.0"}, "commit": "ab" * 20, "changed": False, "code": "ab", "data": None,
    "tiny": False,
}  # fmt: skip
NAMES = ("tests", "cost", "sparse", "views", "scaling", "compare")


@pytest.fixture
def plan(stages: Any, tmp_path: Path) -> Any:
    return stages.Plan("cuda", 1, False, None, tmp_path / "out", IDENTITY, 60.0)


@pytest.fixture
def fake(stages: Any) -> Callable[..., Any]:
    """Makes a stage that does one of `FAKES`."""

    def make(kind: str, name: str = "", seconds: float = 20.0, **options: Any) -> Any:
        stage = importlib.import_module("stages.plan").Stage
        return stage(name or kind, "Title", "what", seconds, (), module=f"fake_{kind}", **options)

    return make


def _data(plan: Any, name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((plan.out / f"{name}.json").read_text())
    return data


def _ran(tmp_path: Path) -> list[str]:
    return (tmp_path / "ran").read_text().split()


def test_the_stages_are_those_of_the_page_and_fit_into_nine_minutes(stages: Any) -> None:
    module = importlib.import_module("stages.plan")
    assert tuple(stage.name for stage in module.STAGES) == NAMES
    assert sum(stage.seconds for stage in module.STAGES) <= module.TOTAL == 540
    assert all((PERF / "stages" / f"{name}.py").is_file() for name in NAMES)
    rest = module.STAGES[-1]
    assert rest.takes_rest and rest.limit(300.0, tiny=False) == 300.0
    assert module.STAGES[1].limit(300.0, tiny=False) == 120.0 and module.STAGES[1].limit(7.0, tiny=True) == 7.0


@pytest.mark.parametrize("failing", NAMES)
@pytest.mark.slow
def test_a_failing_stage_ends_no_other(failing: str, stages: Any, plan: Any, fake: Any, tmp_path: Path) -> None:
    said: list[str] = []
    chosen = [fake("raises" if name == failing else "good", name) for name in NAMES]
    assert not stages.carry_out(chosen, plan, said.append)
    states = {name: _data(plan, name)["status"] for name in NAMES}
    assert states == {name: "failed" if name == failing else "done" for name in NAMES}
    assert _data(plan, failing)["reason"] == "ValueError: no such kernel"
    assert [row["name"] for row in _data(plan, failing)["rows"]] == ["a"]  # measured before it failed
    assert any(f"{failing}: failed: ValueError: no such kernel" in line for line in said)
    mended = [fake("good", name) for name in NAMES]
    assert stages.carry_out(mended, plan, said.append)
    assert _ran(tmp_path).count("good") == len(NAMES)  # the five others, and the mended one


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("exits", "code 3"), ("killed", "code -9"), ("broken", "No module named 'no_such_package'")],
)
def test_a_process_that_dies_is_a_failed_stage(kind: str, reason: str, stages: Any, plan: Any, fake: Any) -> None:
    assert not stages.carry_out([fake(kind), fake("good")], plan, lambda line: None)
    assert _data(plan, kind)["status"] == "failed" and reason in _data(plan, kind)["reason"]
    assert len(_data(plan, kind)["rows"]) == (kind != "broken")
    assert _data(plan, "good")["status"] == "done"


def test_a_stage_is_killed_at_its_limit_and_keeps_what_it_measured(stages: Any, plan: Any, fake: Any) -> None:
    start = time.monotonic()
    assert stages.carry_out([fake("hangs", seconds=5.0), fake("good")], plan, lambda line: None)
    assert time.monotonic() - start < 20
    data = _data(plan, "hangs")
    assert (data["status"], data["reason"]) == ("unfinished", "stopped at its limit of 5 s")
    assert [row["name"] for row in data["rows"]] == ["a"] and 5 <= data["seconds"] < 8
    assert _data(plan, "good")["status"] == "done"


def test_what_is_finished_is_not_repeated_and_what_is_not_resumes(
    stages: Any, plan: Any, fake: Any, tmp_path: Path
) -> None:
    chosen, said = [fake("good"), fake("half"), fake("good", "rest", takes_rest=True)], []
    for _ in range(3):
        assert stages.carry_out(chosen, plan, said.append)
    assert _ran(tmp_path) == ["good", "half", "good", "half", "good", "good"]
    half = _data(plan, "half")
    assert half["status"] == "done" and half["stays"] == 2 and [row["name"] for row in half["rows"]] == ["a", "b"]
    assert "== half: unfinished: b is missing" in said and said.count("== good: measured already") == 2


def test_another_device_or_other_code_is_measured_anew(stages: Any, plan: Any, fake: Any, tmp_path: Path) -> None:
    stages.carry_out([fake("good")], plan, lambda line: None)
    committed = replace(plan, identity={**IDENTITY, "commit": "cd" * 20, "changed": True, "driver": "2"})
    stages.carry_out([fake("good")], committed, lambda line: None)
    assert _ran(tmp_path) == ["good"]
    other = replace(plan, identity={**IDENTITY, "code": "other"})
    stages.carry_out([fake("half", "good")], other, lambda line: None)
    assert [row["name"] for row in _data(plan, "good")["rows"]] == ["a"] and _data(plan, "good")["stays"] == 1
    assert _ran(tmp_path) == ["good", "half"]


def test_stages_that_cannot_run_say_why_and_the_others_go_on(stages: Any, plan: Any, fake: Any) -> None:
    lacking = replace(fake("good", "lacking"), packages=("json", "no_such_package"))
    many = fake("good", "many", cards=2)
    assert not stages.carry_out([lacking, many, fake("good")], plan, lambda line: None)
    assert (_data(plan, "lacking")["status"], _data(plan, "lacking")["reason"]) == (
        "missing packages",
        "no_such_package",
    )
    assert (_data(plan, "many")["status"], _data(plan, "many")["reason"]) == (
        "skipped",
        "needs 2 CUDA devices, 1 visible",
    )
    assert _data(plan, "good")["status"] == "done"
    assert stages.carry_out([fake("good", "late")], replace(plan, total=1.0), lambda line: None)
    assert _data(plan, "late")["reason"] == "no time was left"
    assert stages.carry_out([fake("good", takes_rest=True)], replace(plan, total=1.0), lambda line: None)
    assert _data(plan, "good")["status"] == "done"  # what was measured stays measured


def test_a_stop_in_the_middle_and_again(stages: Any, plan: Any, fake: Any, tmp_path: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(PERF)!r})
from pathlib import Path
from stages.carry import Plan, carry_out
from stages.plan import Stage
plan = Plan("cuda", 1, False, None, Path({str(plan.out)!r}), {IDENTITY!r}, 60.0)
chosen = [Stage(name, "", "", 50.0, (), module="fake_" + name) for name in ("good", "hangs", "half")]
carry_out(chosen, plan, print)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        path = plan.out / "hangs.json"
        if path.is_file() and json.loads(path.read_text())["rows"]:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=40)
    assert b"KeyboardInterrupt" in errors
    data = _data(plan, "hangs")
    assert (data["status"], data["reason"]) in [("unfinished", "interrupted"), ("failed", "KeyboardInterrupt: ")]
    assert [row["name"] for row in data["rows"]] == ["a"] and not (plan.out / "half.json").exists()
    assert stages.carry_out([fake("good"), fake("half", "hangs")], plan, lambda line: None)
    assert [row["name"] for row in _data(plan, "hangs")["rows"]] == ["a", "b"]
    assert _ran(tmp_path) == ["good", "hangs", "half"]


def test_a_stage_ends_when_nobody_is_left_to_end_it(stages: Any, plan: Any, fake: Any, tmp_path: Path) -> None:
    (tmp_path / "fake_waits.py").write_text(
        "import os, time\ndef run(context):\n    context.results.add('pid', os.getpid(), '')\n    time.sleep(600)\n"
    )
    script = f"""
import os, sys
sys.path.insert(0, {str(PERF)!r})
from pathlib import Path
from stages.carry import Plan, carry_out
from stages.plan import Stage
plan = Plan("cuda", 1, False, None, Path({str(plan.out)!r}), {IDENTITY!r}, 60.0)
carry_out([Stage("waits", "", "", 50.0, (), module="fake_waits")], plan, print)
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    path, end = plan.out / "waits.json", time.monotonic() + 30
    while not (path.is_file() and json.loads(path.read_text())["rows"]):
        assert time.monotonic() < end
        time.sleep(0.05)
    number = int(json.loads(path.read_text())["rows"][0]["value"])
    process.kill()
    process.wait()
    while psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_file_is_written_whole(stages: Any, tmp_path: Path) -> None:
    results = importlib.import_module("stages.results")
    made = results.Results(tmp_path / "x.json", "x", IDENTITY)
    made.begin()
    made.add("a", 1.5, "ms", "one")
    made.add("a", 2.5, "ms", "two", more=[1])
    made.add("b", None, detail="why")
    assert results.read(tmp_path / "x.json") == made.data and not (tmp_path / "x.part").exists()
    assert [row["value"] for row in made.rows] == [2.5, None] and made.has("b") and not made.has("c")
    (tmp_path / "x.json").write_text("{half")
    assert results.Results(tmp_path / "x.json", "x", IDENTITY).rows == []


def test_the_page_says_that_nothing_was_measured_and_what_would_be(stages: Any) -> None:
    page = importlib.import_module("stages.page")
    text = page.render([])
    assert "**Not measured yet.**" in text and text.count("| not measured |") >= len(NAMES)
    for hours in ("51.5", "62.0", "67.6", "79.3"):
        assert f"| not measured | not measured | {hours} |" in text
    assert (ROOT / "docs" / "gpu.md").read_text() == text, "python perf/gpu.py --page-only"


def test_the_page_shows_a_cards_numbers_and_projects_hours(stages: Any, tmp_path: Path) -> None:
    page, results = importlib.import_module("stages.page"), importlib.import_module("stages.results")
    cost = results.Results(tmp_path / "cost.json", "cost", IDENTITY)
    cost.begin()
    cost.add("224 px: byol", 1000.0, "images/s", "a | b", entry="byol", projects=True)
    cost.add("32 px: byol", 9000.0, "images/s", entry="byol", projects=False)
    cost.add("224 px: vicreg", None, detail="out of memory", entry="vicreg", projects=True)
    cost.end("unfinished", "time was up", 61.0)
    text = page.render([page.read_folder(tmp_path)])
    assert "## A card\n" in text and "Not measured yet" not in text and "dry run**" not in text
    assert f"| BYOL | 1,000 | {200 * 126_689 / 1000 / 3600:.1f} | 79.3 |" in text
    assert "| VICReg | not measured | not measured | 67.6 |" in text
    assert r"| 224 px: byol | 1,000 images/s | a \| b |" in text
    assert "| unfinished: time was up | 61 s in 1 stay |" in text and "| Memory | 80 GiB |" in text
    tiny = results.Results(tmp_path / "dry" / "cost.json", "cost", {**IDENTITY, "tiny": True})
    tiny.end("done")
    assert "**A dry run**" in page.render([page.read_folder(tmp_path / "dry")])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "cpu"], "--device cpu is for a dry run alone; add --tiny"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--tiny", "--device", "cpu", "--only", "view"], "--only: no stage 'view'; choices: tests, cost, sparse"),
        (["--tiny", "--device", "cpu", "--data", "nowhere"], "--data is 'nowhere', which is no folder"),
        (["--minutes", "0"], "--minutes is 0; expected more than 0"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, PERF / "gpu.py", "--out", tmp_path, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
