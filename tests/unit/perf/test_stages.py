"""The stages of `perf/gpu.py`: a dry run, what each needs, and that a measurement that fails ends no other."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
import time
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
PERF = ROOT / "perf"
NAMES = ("tests", "cost", "sparse", "views", "scaling", "compare")
OURS = [PERF, ROOT, ROOT / "tests"]


@pytest.fixture
def make_context(stages: Any, tmp_path: Path) -> Callable[..., Any]:
    """Makes what a stage is given, in a dry run on a CPU."""
    plan, results = importlib.import_module("stages.plan"), importlib.import_module("stages.results")

    def make(name: str, *, seconds: float = 60.0, tiny: bool = True) -> Any:
        made = results.Results(tmp_path / f"{name}.json", name, {})
        return plan.Context("cpu", tiny, None, tmp_path / name, made, time.monotonic() + seconds)

    return make


def _packages(paths: list[Path]) -> set[str]:
    """What is imported at the top of some files and of our own modules that they import, beside torch."""
    found: set[str] = set()
    seen: set[Path] = set()
    while paths:
        path = paths.pop()
        if path in seen:
            continue
        seen.add(path)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.module and not node.level, path
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                parts = name.split(".")
                places = [place.joinpath(*parts[:depth]) for place in OURS for depth in range(1, len(parts) + 1)]
                files = [file for p in places for file in (p.with_suffix(".py"), p / "__init__.py") if file.is_file()]
                paths += files
                if not files and not any((place / parts[0]).is_dir() for place in OURS):
                    found.add(parts[0])
    return found - {"torch", *sys.stdlib_module_names}


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_imports_nothing_but_what_it_declares(name: str, stages: Any) -> None:
    module = importlib.import_module("stages.tests")
    folders = {path.parent for path in module.files()}
    conftests = [file for folder in folders for place in [folder, *folder.parents]
                 if (file := place / "conftest.py").is_file()]  # fmt: skip
    paths = [PERF / "stages" / f"{name}.py", *([*module.files(), *conftests] if name == "tests" else [])]
    declared = next(stage for stage in importlib.import_module("stages.plan").STAGES if stage.name == name).packages
    needed = _packages(paths)
    assert needed and needed <= {*declared, "triton"}, needed  # tests of the kernel are skipped without


DRY_RUN = """
import sys
from importlib.machinery import PathFinder
perf, absent, *arguments = sys.argv[1:]
class Others(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in absent.split(",") else PathFinder.find_spec(name, path, target)
sys.meta_path = [Others if finder is PathFinder else finder for finder in sys.meta_path]
sys.path.insert(0, perf)
import gpu
for more in ([], ["--only", "sparse,views,compare"]):
    sys.argv = ["gpu.py", *arguments, *more]
    try:
        gpu.main()
    except SystemExit as end:
        print("exit code", end.code)
"""


@pytest.mark.slow
def test_a_dry_run_of_every_stage_and_again(tmp_path: Path, stages: Any) -> None:
    """Twice in one process, in which the project's other packages are absent: the second adds a seed."""
    declared = {package for stage in importlib.import_module("stages.plan").STAGES for package in stage.packages}
    ours = {line.split(";")[0].split(">")[0].strip() for line in requires("cnn-jepa-bench") or () if ";" not in line}
    owners = packages_distributions().items()
    absent = {top for top, names in owners if ours & {name.lower().replace("_", "-") for name in names}}
    absent -= {*declared, "torch", "torchgen", "functorch"}
    assert {"optuna", "pandas", "seaborn"} <= absent and "h5py" not in absent
    command = [sys.executable, "-c", DRY_RUN, PERF, ",".join(absent)]
    command += ["--device", "cpu", "--tiny", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.count("exit code 0") == 2, done.stdout[-2000:] + done.stderr[-2000:]
    for name in NAMES:
        data = json.loads((tmp_path / f"{name}.json").read_text())
        assert data["status"] == "done" and data["rows"], (name, data["reason"])
        assert all(row["value"] is not None for row in data["rows"])
        assert data["stays"] == 1 + (name == "compare")
    text = (tmp_path / "gpu.md").read_text()
    assert "**A dry run**" in text and "### Several devices" in text
    assert done.stdout.count("measured already") == 2  # sparse, views
    rows = json.loads((tmp_path / "compare.json").read_text())["rows"]
    assert {row["name"]: row["seeds"] for row in rows} == {"simclr": 2, "random_init": 2}  # the second stay's is added
    assert len(list(tmp_path.rglob("record.json"))) == 4


def test_views_that_do_not_compile_end_no_other(make_context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    views, context = importlib.import_module("stages.views"), make_context("views", tiny=False)

    def seconds(context: Any, case: Any, backend: str | None) -> float:
        if backend and case.size == 32:
            raise RuntimeError("no C compiler\nmore")
        return 0.5

    monkeypatch.setattr(views, "_seconds", seconds)
    assert views.run(context) is None
    assert len(context.results.rows) == 6 and len(context.failed) == 2
    assert context.failed[0] == "32 -> 32 px, blur 0.0, batch 512, compiled: RuntimeError: no C compiler"
    assert [row["name"].endswith("compiled") for row in context.results.rows] == [False] * 4 + [True] * 2


def test_a_kernel_that_does_not_compile_ends_no_other(make_context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse, context = importlib.import_module("stages.sparse"), make_context("sparse", tiny=False)

    def side(context: Any, case: Any, side: str) -> tuple[float, int | None]:
        if side == "sparse triton" or case.name == "slim":
            raise RuntimeError("no")
        return (0.5 if side == "sparse" else 1.0), 7

    monkeypatch.setattr(sparse, "_side", side)
    monkeypatch.setattr(sparse, "find_spec", lambda name: name)
    monkeypatch.setattr(sparse, "reset_peak", lambda device: None)
    monkeypatch.setattr(sparse.torch.backends.cudnn, "allow_tf32", True)
    object.__setattr__(context, "device", "cuda")
    assert sparse.run(context) is None
    assert not sparse.torch.backends.cudnn.allow_tf32
    rows = {row["name"].split(",")[0]: row for row in context.results.rows}
    assert set(rows) == {case.name for case in sparse.cases(tiny=False)} - {"slim"}
    assert rows["step"]["detail"] == "masked 2.00 x, masked channels_last 2.00 x" and rows["step"]["value"] == 500
    assert rows["resnet50"]["peak_bytes"] == {"sparse": 7, "masked": 7, "dense channels_last": 7}
    assert "slim, 32 px, batch 512, bf16: RuntimeError: no" in context.failed and len(context.failed) == len(rows)


@pytest.mark.slow
def test_a_case_that_cannot_be_measured_is_not_done(make_context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cost, context = importlib.import_module("stages.cost"), make_context("cost", tiny=False)
    tried: list[str] = []

    def measure(context: Any, case: Any) -> None:
        tried.append(case.name)
        if case.projects:
            raise cost.Interrupted
        raise ValueError("no entry could be measured")

    monkeypatch.setattr(cost, "_measure", measure)
    reason = cost.run(context)
    names = [case.name for case in cost.cases(tiny=False)]
    assert tried == names and reason == f"time was up for: {'; '.join(names)}" and not context.results.rows
    assert [line.split(": ")[0] for line in context.failed] == names[1:]
    compiled = [name.endswith(("graphs", "compiled")) for name in names]
    assert compiled == sorted(compiled) and any(compiled)  # last: compiling may take all the time that is left


@pytest.mark.slow
def test_devices_that_take_too_long_are_no_failure(make_context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scaling, context = importlib.import_module("stages.scaling"), make_context("scaling")
    alone = {"simclr": {"seconds": 2.0, "loss": 1.0, "gradient": [3.0, 4.0]}}

    def measured(context: Any, count: int, methods: Any) -> Any:
        if count > 1:
            raise TimeoutError
        return alone

    monkeypatch.setattr(scaling, "_measured", measured)
    assert scaling.run(context) == "time was up before 2 devices had finished"
    assert [row["name"] for row in context.results.rows] == ["simclr, 1 device"]
    apart = {"simclr": {"seconds": 1.0, "loss": 1.0, "gradient": [3.0, 4.5]}}
    monkeypatch.setattr(scaling, "_measured", lambda *_: apart)
    with pytest.raises(RuntimeError, match=r"simclr, 2 devices: norms of gradients are 1.0e-01 away"):
        scaling.run(context)
    monkeypatch.setattr(scaling.subprocess.Popen, "wait", _never)
    with pytest.raises(TimeoutError):
        scaling.launch(1, "cpu", ("simclr",), tiny=True, seconds=0.0)


def _never(self: Any, timeout: float | None = None) -> int:
    self.kill()
    raise subprocess.TimeoutExpired("", timeout or 0.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def test_a(): pass\ndef test_b(): assert False", r"1 failed, 1 passed; test_x::test_b"),
        ("def test_a(): pass\nimport no_such_package", r"no test was found; pytest ended with code 2"),
    ],
)
def test_tests_that_fail_are_named(
    body: str, message: str, make_context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, context = importlib.import_module("stages.tests"), make_context("tests", tiny=False)
    (tmp_path / "test_x.py").write_text(f"import pytest\npytestmark = pytest.mark.cuda\n{body}\n")
    monkeypatch.setattr(module, "files", lambda: [tmp_path / "test_x.py"])
    monkeypatch.setenv("PYTHONPATH", str(PERF))
    context.results.write()
    with pytest.raises(RuntimeError, match=message):
        module.run(context)
    if "test_b" in body:  # mended: what passed is not repeated
        (tmp_path / "test_x.py").write_text("import pytest\n@pytest.mark.cuda\ndef test_b(): pass\n")
        assert module.run(context) is None
        assert [row["detail"] for row in context.results.rows] == ["passed", "passed"]


@pytest.mark.slow
def test_what_is_measured_on_a_card_is_what_the_experiments_have(stages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run measures less: names, settings and sizes of the rest are checked here."""
    from benchmark.experiment.entries import check_sizes, resolve_entries
    from benchmark.experiment.spec import load_experiment
    from methods.registry import method_class, own_methods

    cost, sparse = importlib.import_module("stages.cost"), importlib.import_module("stages.sparse")
    measured, batches = set(), set()
    for memory in (24 * 2**30, 140 * 2**30):
        for case in cost.cases(tiny=False, memory=memory):
            settings = [*case.settings, "precision=auto", "dataset.name=folder"]
            experiment, source = load_experiment(case.config, methods=list(case.entries), settings=settings)
            entries = resolve_entries(experiment, source)
            check_sizes(entries, 224 if case.large else 32)
            assert {entry.entry.name for entry in entries} == set(case.entries)
            compiled = case.name.endswith(("compiled", "graphs", "triton"))
            assert (experiment.acceleration != type(experiment.acceleration)()) == compiled
            measured |= {entry.entry.method for entry in entries}
            batches.add((case.large, experiment.batch_size))
    assert batches == {(True, 64), (True, 256), (False, 512)}
    assert measured == {name for name in own_methods() if method_class(name).trainable}
    assert {"byol", "simclr", "vicreg", "cnn_jepa", "cnn_jepa_dense"} <= set(cost.cases(tiny=False)[0].entries)
    assert {case.name for case in sparse.cases(tiny=False)} >= {"resnet50", "resnet50-bf16", "slim", "step"}
