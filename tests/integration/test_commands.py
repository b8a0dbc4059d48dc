"""Every command in README and docs is executed here or, where that takes hours, GPUs or data, read and resolved.

`EXECUTED` runs a command with additional options that make it small: less data, fewer steps, fewer seeds, some of the
entries. `ONLY_READ` says why a command is not run here. A command that is in neither fails the first test.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from commands import PAGES, ROOT, Command, block_commands, config_commands, mentions, options_of, parse
from PIL import Image

from benchmark.cli.lists import LISTS
from benchmark.evaluation.protocols import FURTHER, GROUPS

_SMALL = (
    "--set dataset.shapes_train=200 --set dataset.shapes_test=60 --set batch_size=16 --set backbone.width=8 "
    "--set evaluation.images=100 --set evaluation.points=1"
)
_OWN = "--methods random_init --set batch_size=16 --set backbone.width=8 --set evaluation.images=null"
_TUTORIAL = (
    "--data FOLDER --methods cnn_jepa,simclr,random_init --budget epochs=20 --set batch_size=64 --set name=photos "
    "--on-error skip"
)
_TINY = "--set batch_size=4 --set backbone.width=8 --set evaluation.images=null --set evaluation.points=1"
# A page's commands in order, which run in one folder, and the options that make each small.
EXECUTED: dict[str, dict[str, str]] = {
    "README.md": {
        ".venv/bin/bench run cpu --data FOLDER": _OWN,
        "bench run quickstart --methods simclr,vicreg --seeds 0,1,2": f"{_SMALL} --budget steps=2 --seeds 0",
        "bench run quickstart --budget epochs=2,4,8": f"{_SMALL} --methods random_init",
        "bench plan quickstart --budget epochs=100": f"{_SMALL} --methods simclr,random_init",
        "bench cost quickstart": f"{_SMALL} --methods simclr --rounds 5 --block 0.01",
        "bench report results/quickstart --out reports/mine": "",
        "bench leaderboard results/quickstart --by training_time": "",
    },
    "commands.md": {
        "bench run quickstart --set simclr.temperature=0.5 --set name=warm": f"{_SMALL} --budget steps=2 "
        "--methods simclr,random_init",
        "bench run quickstart --budget calibrated_time=2m": f"{_SMALL} --methods simclr --budget calibrated_time=0.5s",
        "bench compare results/quickstart results/warm": "",
        "bench doctor": "--device cpu",
        "bench list methods": "",
    },
    "imagenet.md": {
        "bench data convert FOLDER imagenet100.h5 --resize 256": "",
        # At 224 px with the published masks; only the network and the batch are smaller.
        "bench plan imagenet100 --data imagenet100.h5": "--methods cnn_jepa,random_init --set backbone.name=resnet18 "
        "--set batch_size=2 --set precision=auto --set evaluation.images=null --set evaluation.points=1 --device cpu",
    },
    "data.md": {
        "bench run cpu --data PATH": _OWN,
        "bench data inspect PATH": "",
        "bench data convert FOLDER photos.h5": "",
        "bench data convert FOLDER small.h5 --resize 256": "",
        "bench data inspect photos-train.h5 --sheet sheet.png": "",
        "bench data verify photos-train.h5": "",
        "bench run cpu --data photos.h5": _OWN,
        "bench data verify FOLDER": "",
        "bench run cpu --data FOLDER --on-error skip": f"{_OWN} --set name=skipped",
    },
    "your-own-images.md": {
        "bench data inspect FOLDER": "",
        "bench data verify FOLDER": "",
        "bench data views --method cnn_jepa --dataset folder --data FOLDER --on-error skip --out views.png": "",
        f"bench plan cpu {_TUTORIAL}": f"{_TINY} --methods simclr,random_init",
        f"bench run cpu {_TUTORIAL}": f"{_TINY} --budget steps=2",
        f"bench run cpu {_TUTORIAL} --seeds 0,1,2": f"{_TINY} --budget steps=2 --methods random_init --seeds 0,1",
        "bench leaderboard results/photos": "",
    },
    "protocols.md": {
        "bench evaluate results/quickstart --protocols lowshot-v1,lowlevel-v1": "",
        "bench evaluate results/quickstart --protocols transfer-v1 --dataset digits": "",
        "bench evaluate results/quickstart --protocols segmentation-v1,segmentation-knn-v1": "",
    },
    "clusters.md": {
        "bench submit quickstart --on local --methods random_init": f"{_SMALL} --device cpu",
        "bench leaderboard results/quickstart": "",
        "bench report results/quickstart --out reports/mine": "",
    },
    "comparing-your-method.md": {
        "bench plan mine.yaml": f"{_SMALL} --methods mine",
        "bench run mine.yaml": f"{_SMALL} --budget steps=2 --methods mine,random_init",
        "bench run mine.yaml --seeds 0,1,2,3,4": f"{_SMALL} --budget steps=2 --methods random_init",
        "bench leaderboard results/mine": "",
    },
}
_HOURS = "takes minutes to hours: the same path runs small in "
_DEVICES = "starts processes, which tests/integration/test_devices.py does (gloo); "
_SWEEP = "trains a whole sweep: tests/integration/test_sweep.py runs a small one, --show and its report included"
_SPREAD = "needs results of several seeds: unit tests of cli make a study and runs"
_CHECKPOINT = "needs somebody's weights and a dataset: tests/integration/test_foreign.py makes small ones"
_EXPORT = "needs the folder of a run: tests/integration/test_export.py has one"
_CLUSTER = "needs a cluster: tests/integration/test_submit_slurm.py starts one, on a small experiment"
_HARDWARE = "another machine's measurement: unit tests of cli and report, with invented ones"
_COST = "minutes of measurement: tests/integration/test_cost.py, on fewer images"
_PAGES = "writes the committed pages: unit tests of report and cli write smaller ones"
_LADDER = "needs a ladder of hours: unit tests of cli and report, with invented records"
_DENSE = "minutes, or data of others: tests/integration/test_dense.py and unit tests of data/annotated"
_SIGNED = "with keys that the tests make: unit tests of records/signature.py, analysis/merge.py and cli"
# What a page's reader has done before.
PREPARED = {
    "protocols.md": ("run quickstart --methods random_init --budget steps=2",),
    "commands.md": (
        "run quickstart --methods random_init --budget steps=2",
        "cost quickstart --methods simclr --rounds 5 --block 0.01",
    ),
}
ONLY_READ: dict[str, str] = {
    "pip install 'cnn-jepa-bench[slurm]'": "installs",
    "bench submit quickstart --cluster site.yaml --on slurm --cost": _CLUSTER,
    "bench plan quickstart --cluster site.yaml --on slurm": _CLUSTER,
    "bench submit quickstart --cluster site.yaml --on slurm --dry-run": _CLUSTER,
    "bench submit quickstart --cluster site.yaml --on slurm": _CLUSTER,
    "bench status results/quickstart": _CLUSTER,
    "bench cancel results/quickstart": _CLUSTER,
    "bench submit --sweep mask_ratio --cluster site.yaml --on slurm": _CLUSTER,
    "bench submit --evaluate results/quickstart --protocols lowshot-v1 --cluster site.yaml --on slurm": _CLUSTER,
    "bench submit quickstart --on ray --address HOST:6379": "needs a cluster: tests/integration/test_submit_ray.py",
    "bench report results/reference/cifar10-jpeg --out reports/cifar10-jpeg": _PAGES,
    "bench report results/reference/quickstart --out reports/quickstart": _PAGES,
    "bench report results/reference/ablations --out reports/ablations": _PAGES,
    "bench data views --method cnn_jepa --dataset shapes --out views.png": "as in your-own-images.md",
    "bench sign results/quickstart --key bench-key": _SIGNED,
    "bench merge theirs/quickstart --signers signers --out results/all": _SIGNED,
    "bench evaluate results/quickstart --protocols dense --dataset shapes-depth": _DENSE,
    "bench evaluate results/quickstart --protocols segmentation-v1 --dataset voc2012 --download": _DENSE,
    "bench evaluate results/quickstart --protocols depth-v1 --dataset annotated --data nyu_depth_v2_labeled.mat": (
        _DENSE
    ),
    "pip install $options pydantic": "installs",
    "pip install $options --no-deps lightly h5py": "installs",
    "make gpu GPU_PYTHON=python3 PACKAGES=gpu-packages": "needs a GPU: tests/unit/perf/test_gpu.py makes a dry run",
    "make demo": "installs an environment and trains for minutes",
    "make test": "runs this test",
    "bench run quickstart --budget wall_clock=10m": f"{_HOURS}test_run.py, with two seconds",
    "bench evaluate results/quickstart --protocols lowshot-v1": "the same as on protocols.md, which is executed",
    "bench report results/quickstart --out reports/mine": "the same as in the README, which is executed",
    "bench report results/quickstart --out reports/mine --watch": "never ends: unit tests of cli",
    "bench report results/cifar10 --out reports/mine --pictures": "needs results of days: unit tests of report",
    "bench report results/cifar10 --out reports/mine --budget epochs=100": "needs results of days: unit tests of cli",
    "bench report results/quickstart --hardware NAME --out mine": _HARDWARE,
    "bench report results/cifar10 --out reports/mine --hardware nvidia-h200-bf16": _HARDWARE,
    "bench report results/cpu --out mine --hardware NAME": _HARDWARE,
    "bench leaderboard results/cpu --hardware NAME": _HARDWARE,
    "bench plan quickstart --from results/quickstart --budget epochs=100": _LADDER,
    "bench run cpu --data FOLDER --budget epochs=1,2,4,8,16 --seeds 0,1,2": f"{_HOURS}test_run.py",
    "bench plan cpu --from results/cpu --budget epochs=64": _LADDER,
    "bench plan cpu --from results/cpu --budget epochs=64 --figure longer.svg": _LADDER,
    "bench plan cpu --from results/cpu --held-out 1": _LADDER,
    "bench report results/cpu --out mine --predict epochs=64": _LADDER,
    "bench report results/cifar10 --out reports/mine --predict epochs=400": _LADDER,
    "bench cost cpu --data FOLDER": _COST,
    "bench cost results/cpu --data FOLDER": _COST,
    "bench cost results/cifar10-jpeg results/tune_learning_rate results/ijepa_small --data FOLDER": _COST,
    "bench cost results/cpu --data FOLDER --against byol": _COST,
    "bench run cpu --data FOLDER --budget calibrated_time=10m": "as the README's, which is executed",
    "bench run quickstart --track tensorboard": "needs an extra: tests/integration/test_track.py, where it is there",
    "bench run quickstart --devices 2": f"{_DEVICES}of slow tests",
    "bench run imagenet100 --data imagenet100.h5 --devices 4": f"{_DEVICES}four GPUs and days",
    "torchrun --nproc-per-node 4 -m benchmark run imagenet100 --data imagenet100.h5": f"{_DEVICES}four GPUs and days",
    "torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29500 -m benchmark run "
    "imagenet100 --data imagenet100.h5": "needs two machines; never run",
    "bench run cpu --data FOLDER --set recipe=small_untuned --set simclr_vit.recipe=null --set name=cifar10-jpeg "
    "--set dataset.train_images=10000 --set batch_size=64 "
    "--set evaluation.points=3 --budget epochs=4 --seeds 0,1,2,3": f"{_HOURS}test_run.py",
    "bench run cpu --data FOLDER --set recipe=small_untuned --set simclr_vit.recipe=null --set name=cifar10-jpeg "
    "--set dataset.train_images=10000 --set batch_size=64 "
    "--set evaluation.points=3 --budget wall_clock=150": f"{_HOURS}test_run.py",
    "bench run cpu --data FOLDER --set recipe=small_untuned --set simclr_vit.recipe=null --set name=cifar10-jpeg "
    "--set dataset.train_images=10000 --set batch_size=64 "
    "--set evaluation.points=3 --budget epochs=2 --seeds 0,1 --methods "
    "cnn_jepa,simclr,ijepa,vicreg,byol,simclr_vit,random_init,random_init_vit": f"{_HOURS}test_run.py",
    "bench run ijepa_small --data FOLDER": f"{_HOURS}test_run.py",
    "bench run ijepa_small --data FOLDER --methods ijepa --budget epochs=16": f"{_HOURS}test_run.py",
    "bench sweep tune_small --data FOLDER": _SWEEP,
    "bench sweep tune_learning_rate --data FOLDER --set dataset.train_images=10000 --set batch_size=64 "
    "--set evaluation.points=1 --set evaluation.images=2000 --budget epochs=2 --workers 2 --share": _SWEEP,
    "bench report results/tune_learning_rate results/cifar10-jpeg --budget epochs=2 "
    "--out reports/tune_learning_rate": _SWEEP,
    "bench sweep mask_ratio --data FOLDER": _SWEEP,
    "bench sweep --show mask_ratio": _SWEEP,
    "bench sweep mask_ratio --detect 1": _SPREAD,
    "bench sweep --show mask_ratio --detect 1": _SPREAD,
    "bench report results/mask_ratio --out reports/mask": _SWEEP,
    "bench evaluate weights.pth --backbone resnet50 --dataset imagenette --data DATA --name theirs": _CHECKPOINT,
    "bench evaluate FOLDER --dataset imagenette --data DATA --size 224": _CHECKPOINT,
    "bench evaluate hf://facebook/dinov2-small --dataset imagenette --data DATA --size 224 --download": _CHECKPOINT,
    "bench export RUN --to timm --out encoder.safetensors": _EXPORT,
    "bench export RUN --to timm --out FOLDER": _EXPORT,
    "bench evaluate results/photos --data FOLDER --protocols lowshot-v1 --on-error skip": "as that of protocols.md",
    "bench export RUN --to torchvision --out encoder.safetensors": _EXPORT,
    "bench export RUN --to onnx --out encoder.onnx": _EXPORT,
    "bench evaluate weights.ckpt --backbone resnet18,stem=small_pad2 --dataset cifar10 --format solo-learn --protocols "
    "lowshot-v1": _CHECKPOINT,
}
# The example's own test installs it and executes its page's commands; here they are only read.
_EXAMPLE = "adding-a-method.md"


def test_every_command_is_executed_or_has_a_reason_why_not() -> None:
    said = {command for command in block_commands() if command.page != _EXAMPLE}
    executed = {Command(page, text) for page, texts in EXECUTED.items() for text in texts}
    assert len(said) > 25
    assert not executed - said, "these stand on no page any more"
    left = {command.text for command in said - executed}
    assert not left - set(ONLY_READ), "neither executed nor listed with a reason"
    assert not set(ONLY_READ) - left, "these stand on no page any more"


def _resolve(name: str, values: dict[str, Any]) -> None:
    """Does what a command does before it reads data, with the shipped files."""
    if name in ("run", "plan"):
        from benchmark.cli.request import RunRequest
        from benchmark.experiment.entries import resolve_entries

        wanted = ("config", "methods", "seeds", "budget", "settings", "data", "device", "share", "download")
        experiment, source = RunRequest(**{key: values[key] for key in wanted}).parse(values["settings"] or [])
        assert len(resolve_entries(experiment, source)) == len(experiment.entries)
    elif name == "sweep" and values["config"] is not None:
        from benchmark.sweep.space import resolve_sweep
        from benchmark.sweep.spec import load_sweep

        spec, path = load_sweep(values["config"], study=values["study"], seeds=None, trials=values["trials"])
        asked = resolve_sweep(spec, path, budget=values["budget"], settings=values["settings"] or [])
        assert len(asked.spaces) == len(spec.entries)
    elif name == "evaluate":
        from benchmark.cli.evaluate import _parsed
        from benchmark.data.registry import dataset_names
        from benchmark.encoders.formats import FORMATS

        assert values["form"] in ("auto", *FORMATS)
        assert set((values["protocols"] or "").split(",")) - {""} <= {*FURTHER, *GROUPS}
        if values["backbone"] is not None:
            _parsed(values["backbone"])
        if values["dataset"] is not None:
            assert values["dataset"] in dataset_names()
    elif name == "list":
        assert values["what"] in LISTS


def _check_other(words: list[str]) -> None:
    """Checks a command of another program: files and targets of this repository that it names exist."""
    if words[0] == "make":
        targets = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
        assert {word for word in words[1:] if "=" not in word} <= set(" ".join(targets).split())
    elif words[0] == "python":
        assert (ROOT / words[1]).is_file()
    elif words[0] == "pip":
        assert words[1] == "install"
    else:
        assert words[0] == "optuna-dashboard"


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", dict.fromkeys([*block_commands(), *config_commands()]), ids=lambda c: f"{c.page}: {c.text}"
)
def test_the_command_line_understands_it(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = command.bench
    if words is None:
        _check_other(shlex.split(command.text))
        return
    name, values = parse(words)
    if values.get("config") == "mine.yaml":
        monkeypatch.chdir(tmp_path)
        Path("mine.yaml").write_text(_own_experiment())
    if command.page != _EXAMPLE:  # there the example has to be installed first
        _resolve(name, values)


@pytest.mark.parametrize("command", dict.fromkeys(mentions()), ids=lambda c: f"{c.page}: {c.text}")
def test_mentioned_commands_and_options_exist(command: Command) -> None:
    words = command.bench
    if words is None:
        _check_other(shlex.split(command.text))
        return
    named, known = options_of(words)
    assert known and named <= known


def test_unknown_commands_and_options_are_noticed() -> None:
    for words in (["rnu"], ["run", "quickstart", "--seed", "0"], ["data", "convrt", "a", "b"], ["compare", "a"]):
        with pytest.raises(Exception, match=r"No such|Missing"):
            parse(words)
    named, known = options_of(["leaderboard", "--cvs"])
    assert not named <= known
    assert parse(["data", "convert", "a", "b.h5"])[0] == "data convert"


def _own_experiment() -> str:
    page = (ROOT / "docs" / "comparing-your-method.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^( *)```yaml\n(.*?)^\1```", page, re.M | re.S)
    text = "\n".join(line.removeprefix(block[0]) for line in block[1].splitlines())
    assert isinstance(yaml.safe_load(text), dict)
    return text


def _photos(folder: Path) -> None:
    draw = np.random.default_rng(0)
    for split, number in (("train", 12), ("test", 3)):
        for name in ("ant", "bee"):
            (folder / split / name).mkdir(parents=True)
            for index in range(number):
                pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{index}.png")


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=() if page == "data.md" else pytest.mark.slow) for page in EXECUTED]
)
def test_it_runs(bench: Any, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FOLDER", "PATH"):
        _photos(tmp_path / name)
    Path("mine.yaml").write_text(_own_experiment())
    damaged = page == "your-own-images.md"  # its folder has an image that cannot be read
    if damaged:
        image = Path("FOLDER/train/ant/0.png")
        image.write_bytes(image.read_bytes()[:500])
    for words in PREPARED.get(page, ()):
        assert bench(*shlex.split(f"{words} {_SMALL}"))[0] == 0
    for text, extra in EXECUTED[page].items():
        words = Command(page, text).bench
        assert words is not None
        code, printed = bench(*words, *shlex.split(extra))
        looks = damaged and words[1] in ("inspect", "verify")
        assert code == int(looks), f"{text} {extra}\n{printed}"
        assert not looks or "1 of 30 images cannot be used" in printed or "bad: train/ant/0.png" in printed
    left = {path.name for path in tmp_path.iterdir()} | {path.name for path in tmp_path.glob("*/*")}
    made = {
        "README.md": {"quickstart", "cpu", "mine"},
        "commands.md": {"quickstart", "warm"},
        "imagenet.md": {"imagenet100-train.h5"},
        "data.md": {"photos-train.h5", "photos-test.h5", "small-train.h5", "sheet.png", "cpu"},
        "your-own-images.md": {"views.png", "photos"},
        "protocols.md": {"quickstart"},
        "comparing-your-method.md": {"mine"},
        "clusters.md": {"quickstart"},
    }
    assert made[page] <= left


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", text):
            assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"
