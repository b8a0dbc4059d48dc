"""Exit codes and messages; that mistakes and lists are answered without importing torch."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import typer
import yaml

from benchmark import __version__
from benchmark.cli import results
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.records.schema import Record

# One process runs all command lines, since starting Python takes longer than most of the answers.
_PROGRAM = """
import contextlib, io, json, sys
from benchmark.cli.main import main
answers = []
for line in json.load(sys.stdin):
    sys.argv, before, printed, code = ["bench", *line], "torch" in sys.modules, io.StringIO(), 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
    answers.append([code, printed.getvalue(), "torch" in sys.modules and not before])
print(json.dumps(answers))
"""

_EXPERIMENT = """
dataset: {name: shapes}
backbone: {name: resnet18, stem: small, width: 8}
budget: {steps: 2}
batch_size: 16
entries: [simclr, {name: sparse, method: cnn_jepa}]
"""

_SWEEP: dict[str, Any] = {
    "experiment": "tiny.yaml",
    "entries": ["sparse"],
    "parameters": {"sparse.optimizer.lr": {"values": [0.1, 0.2]}},
    "seeds": [0],
}

REFUSED = {
    # commands and their words
    "rnu": "No such command 'rnu'. Did you mean 'run'?",
    "list": "say what to list: backbones, datasets",
    "list method": "cannot list 'method'; did you mean 'methods'",
    "run --sed 0": "No such option: --sed",
    "run tiny.yaml --seeds a": "--seeds: 'a' is not a seed",
    "run tiny.yaml --seeds \u00b2": "is not a seed",
    "run tiny.yaml --device tpu": "--device is 'tpu'; choices: auto, cpu, cuda, cuda:N",
    "run tiny.yaml --devices 0": "--devices is 0; expected at least 1",
    "run tiny.yaml --budget epoch=3": "--budget: unknown kind 'epoch'; did you mean 'epochs'",
    "run tiny.yaml --track tensorbord": "--track: unknown tracker 'tensorbord'; did you mean 'tensorboard'",
    "run tiny.yaml --out tiny.yaml": "tiny.yaml/tiny: cannot be written (Not a directory); choose another --out",
    "doctor --device gpu": "choices: auto, cpu, cuda, cuda:N",
    # files, names and keys of an experiment
    "run quikstart": "unknown experiment 'quikstart'; did you mean 'quickstart'",
    "run none.yaml": "none.yaml: no such file; shipped experiments: ablation, check, cifar10",
    "run broken.yaml": "broken.yaml, line 2",
    "run tiny.yaml --methods simcrl": "--methods: unknown method or entry 'simcrl'; did you mean 'simclr'",
    "run tiny.yaml --set batchsize=3": "error: --set: unknown key 'batchsize'; did you mean 'batch_size'",
    "run tiny.yaml --set batch_size": "--set is 'batch_size'; expected KEY=VALUE",
    "run tiny.yaml --set simclr=3": "'simclr' is an entry; expected one of its settings, such as simclr.optimizer.lr",
    "run tiny.yaml --set entries=[simlcr]": "unknown method 'simlcr'; did you mean 'simclr'",
    "run tiny.yaml --set dataset.name=shaps": "unknown dataset 'shaps'; did you mean 'shapes'",
    "run tiny.yaml --set backbone.name=resnet51": "unknown backbone 'resnet51'; did you mean 'resnet",
    "run tiny.yaml --set recipe=smal": "error: --set: unknown recipe 'smal'; did you mean 'small'",
    "run tiny.yaml --set recipe=mine.yaml": "recipe 'mine.yaml': no such file",
    "run tiny.yaml --set recipe=other.yaml": "other.yaml: is a recipe of method 'byol', wanted for 'simclr'",
    "run tiny.yaml --set evaluation.further=[lowshots]": "unknown protocol 'lowshots'; did you mean 'lowshot-v1'",
    "run tiny.yaml --data .": "--data does not apply to the embedded dataset 'shapes'",
    "plan tiny.yaml --set dataset.name=folder": "dataset 'folder' needs --data PATH",
    "plan tiny.yaml --set dataset.name=folder --data none": "none: no such folder or file",
    "plan tiny.yaml --from rnus": "rnus: no such folder; did you mean 'runs'",
    "plan tiny.yaml --figure x.svg": "--figure is for predictions; it needs --from RESULTS",
    "check --methods simcrl": "unknown method or entry 'simcrl'; did you mean 'simclr'",
    # sweeps
    "sweep": "a sweep is missing; `bench list sweeps` names the shipped ones",
    "sweep mask_rato": "unknown sweep 'mask_rato'; did you mean 'mask_ratio'",
    "sweep --show none": "--show: no study 'none'; results holds none",
    "sweep sweep.yaml --set batchsize=3": "error: --set: unknown key 'batchsize'",
    "sweep sweep.yaml --device tpu": "--device is 'tpu'",
    "sweep sweep.yaml --storage nonsense": "--storage: not the address of a storage",
    "sweep sweep.yaml --storage journal:none/x.log": "none/x.log: cannot be written (No such file or directory)",
    "sweep sweep.yaml --out tiny.yaml": "cannot be written (Not a directory); choose another --out",
    "sweep unknown-entry.yaml": "entries: no entry 'byol' in tiny.yaml; choices: simclr, sparse",
    "sweep unknown-key.yaml": "parameters: unknown key 'sparce.optimizer.lr'; did you mean 'sparse'",
    # finished runs and checkpoints
    "evaluate runs": "--protocols is missing; see bench list protocols",
    "evaluate runs --protocols lowshot": "unknown protocol 'lowshot'; did you mean 'lowshot-v1'",
    "evaluate runs --protocols transfer-v1": "transfer-v1 needs --dataset NAME",
    "evaluate runs --protocols lowshot-v1 --dataset digit": "unknown dataset 'digit'; did you mean 'digits'",
    "evaluate runs --protocols lowshot-v1 --size 32 --name x": "--name and --size: for one checkpoint file, not for",
    "evaluate rnus --protocols lowshot-v1": "rnus: no such folder; did you mean 'runs'",
    "evaluate w.pth --backbone resnet18 --dataset shapes": "w.pth: no such file",
    "evaluate tiny.yaml --dataset shapes": "tiny.yaml: is a file; a checkpoint needs --backbone NAME",
    "evaluate tiny.yaml --backbone resnet18": "a checkpoint needs --dataset NAME to be probed on",
    "evaluate tiny.yaml --backbone resnet81 --dataset shapes": "unknown backbone 'resnet81'; did you mean 'resnet18'",
    "evaluate tiny.yaml --backbone resnet18,stam=small --dataset shapes": "did you mean 'stem'",
    "evaluate tiny.yaml --backbone resnet18,small --dataset shapes": "--backbone: 'small' is no setting",
    "evaluate tiny.yaml --backbone resnet18 --dataset shapes --format mocko": "'mocko'; did you mean 'moco'",
    "evaluate tiny.yaml --backbone resnet18 --dataset shapes --name a/b": "--name: 'a/b' names a folder",
    "export runs --to timm --out x": "runs: is not a run's folder; expected one with record.json in it",
    "export runs --to tim --out x": "--to is 'tim'; did you mean 'timm'",
    "export runs --to timm --out tiny.yaml/x": "tiny.yaml: cannot be written (Not a directory)",
    # results
    "report rnus --out x": "rnus: no such folder; did you mean 'runs'",
    "report runs --out x --budget epoch=2": "unknown kind 'epoch'; did you mean 'epochs'",
    "leaderboard rnus": "rnus: no such folder; did you mean 'runs'",
    "compare runs rnus": "rnus: no such folder; did you mean 'runs'",
    "merge rnus --out x": "rnus: no such folder; did you mean 'runs'",
    # images
    "data convert none x.h5": "none: no such folder",
    "data convert digits x.png": "x.png: the file's name has to end in .h5 or .hdf5",
    "data convert digits x.h5 --resize 64": "--resize is for image folders",
    "data convert digits x.h5 --on-error ignore": "--on-error is 'ignore'; choices: fail, skip",
    "data convert digits x.h5 --quality 90": "it needs --resize",
    "data inspect none.h5": "none.h5: no such file",
    "data verify runs": "runs: has cifar10/; expected images in one of these layouts",
    "data views --method simcl --out x.png": "unknown method 'simcl'; did you mean 'simclr'",
    "data views --method simclr --recipe smal --out x.png": "unknown recipe 'smal'; did you mean 'small'",
    "data views --method simclr --dataset shape --out x.png": "unknown dataset 'shape'; did you mean 'shapes'",
    "data views --method simclr --out tiny.yaml/x.png": "tiny.yaml: cannot be written (Not a directory)",
}  # fmt: skip

ANSWERED = {
    "--version": f"{__version__}\n",
    "version": f"{__version__}\n",
    "--help": "Compare self-supervised methods on images",
    "list methods": "ijepa              [vit] I-JEPA: predict the features of hidden blocks",
    "list datasets": "shapes             embedded: ten procedural shapes",
    "list backbones": "resnet50           [cnn] total stride 32\n",
    "list protocols": "linear-v1          ",
    "list formats": "moco               a checkpoint of MoCo's repositories",
    "list experiments": "quickstart         ",
    "list sweeps": "mask_ratio         ",
}


@pytest.fixture(scope="module")
def answers(
    tmp_path_factory: pytest.TempPathFactory, make_record: Callable[..., Record], store: Callable[..., Path]
) -> dict[str, tuple[int, str, bool]]:
    """Exit code, output and whether torch was imported, for each command line of `REFUSED` and `ANSWERED`."""
    folder = tmp_path_factory.mktemp("answers")
    (folder / "tiny.yaml").write_text(_EXPERIMENT)
    (folder / "broken.yaml").write_text("a: [1,\nb: 2")
    (folder / "other.yaml").write_text("method: byol\nsettings: {}\n")
    unknown_key = {"parameters": {"sparce.optimizer.lr": {"values": [0.1]}}}
    for name, changes in (("sweep", {}), ("unknown-entry", {"entries": ["byol"]}), ("unknown-key", unknown_key)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**_SWEEP, **changes}))
    store(folder / "runs", make_record())
    lines = [*REFUSED, *ANSWERED]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps([shlex.split(line) for line in lines]),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"COLUMNS": "400", "PATH": "", "PYTHONPATH": ":".join(path for path in sys.path if path)},
    )
    assert done.returncode == 0, done.stderr
    return {line: tuple(answer) for line, answer in zip(lines, json.loads(done.stdout), strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("line", REFUSED)
def test_a_mistake_is_refused_without_torch(answers: dict[str, tuple[int, str, bool]], line: str) -> None:
    code, printed, torch_was_imported = answers[line]
    assert REFUSED[line] in printed
    assert code == 2
    assert "Traceback" not in printed
    assert not torch_was_imported


@pytest.mark.parametrize("line", ANSWERED)
def test_lists_help_and_version_need_no_torch(answers: dict[str, tuple[int, str, bool]], line: str) -> None:
    code, printed, torch_was_imported = answers[line]
    assert ANSWERED[line] in printed
    assert code == 0
    assert not torch_was_imported


def _raise(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_debug_shows_the_traceback_of_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--debug", "list", "method"])
    from benchmark.cli.main import main

    with pytest.raises(UserError, match="cannot list"):
        main()


def test_ctrl_c_is_exit_code_130(bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "write_pages", _raise(KeyboardInterrupt()))
    assert bench("report", tmp_path, "--out", tmp_path / "report") == (130, "interrupted\n")


def test_failed_runs_are_exit_code_1(bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "write_pages", _raise(typer.Exit(1)))
    assert bench("report", tmp_path, "--out", tmp_path / "report") == (1, "")


def test_of_several_processes_the_first_prints_the_message(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_PORT", "29500")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert bench("list", "method") == (0, "")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert bench("list", "method")[0] == 2
