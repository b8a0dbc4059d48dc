"""Bad input on the command line: one message, exit code 2, no traceback, nothing lost."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torchvision.io import write_jpeg

if TYPE_CHECKING:
    from pathlib import Path


def _folder(root: Path, classes: int = 2, images: int = 12, size: int = 32) -> Path:
    """An image folder with train/ and test/."""
    generator = torch.Generator().manual_seed(0)
    for split, count in (("train", images), ("test", 3)):
        for label in range(classes):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = torch.randint(256, (3, size, size), dtype=torch.uint8, generator=generator)
                write_jpeg(pixels, str(folder / f"{number}.jpg"))
    return root


def _refused(bench: Any, *arguments: object) -> str:
    code, printed = bench("run", *arguments)
    assert code == 2, printed
    assert "Traceback" not in printed
    assert printed.count("error:") == 1
    return str(printed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "simcrl"], "unknown method or entry 'simcrl'; did you mean 'simclr'"),
        (["--set", "dataset.name=shaps"], "unknown dataset 'shaps'; did you mean 'shapes'"),
        (["--set", "backbone.name=resnet51"], "unknown backbone 'resnet51'; did you mean 'resnet"),
        (["--set", "batchsize=3"], "error: --set: unknown key 'batchsize'; did you mean 'batch_size'"),
        (["--set", "simclr.temperatur=3"], "error: --set: entry 'simclr': unknown key 'temperatur'"),
        (["--set", "simclr=3"], "'simclr' is an entry; expected one of its settings, such as simclr.optimizer.lr"),
        (["--set", "dataset.test_images=9"], "is 9; expected 10 (one of each class) to 60 (all there are)"),
        (["--set", "batch_size=lots"], "error: --set: batch_size is 'lots'"),
        (["--set", "batch_size"], "expected KEY=VALUE"),
        (["--seeds", "a"], "'a' is not a seed"),
        (["--seeds", "\u00b2"], "is not a seed"),
        (["--methods", ""], "--methods is empty"),
        (["--data", "/tmp"], "--data does not apply to the embedded dataset 'shapes'"),
        (["--download"], "--download does not apply to the embedded dataset 'shapes'"),
        (["--budget", "epoch=3"], "did you mean 'epochs'"),
        (["--device", "tpu"], "--device is 'tpu'; choices: auto, cpu, cuda"),
        (["--devices", "0"], "--devices is 0; expected at least 1"),
        (["--devices", "3"], "batch_size is 16, which does not divide into 3 devices"),
        (["--set", "accumulate=2", "--methods", "vicreg"], "accumulate is 2, but the loss compares all images"),
        (["--device", "cpu", "--devices", "2", "--set", "byol.sync_batch_norm=true"], "batch norm on GPUs alone"),
        (["--set", "entries=[{method: ijepa, backbone: {name: resnet18}}]"], "ijepa needs a ViT"),
        (["--set", "entries=[{method: cnn_jepa, backbone: {name: vit_tiny}}]"], "cnn_jepa needs a CNN"),
        (["--set", "backbone.name=vit_tiny", "--set", "backbone.patch_size=5", "--set", "backbone.stem=imagenet",
          "--set", "backbone.width=32", "--methods", "simclr"], "image size 32 is not divisible by the patch size 5"),
        (["--set", "dataset.size=36", "--methods", "simclr"], "not divisible by the total stride 8"),
        (["--set", "cnn_jepa.masking.block_sizes=[[5, 5]]"], "on the 4x4 grid"),
        (["--set", "batch_size=1000"], "batch_size is 1000, but the training split of shapes has at most 200 images"),
    ],
)  # fmt: skip
def test_configuration(bench: Any, tmp_path: Path, options: list[str], message: str) -> None:
    out = tmp_path / "out"
    assert message in _refused(bench, bench.config(), "--out", out, *options)
    assert not list(out.rglob("record.json"))


@pytest.mark.slow
def test_data_folders(bench: Any, tmp_path: Path) -> None:
    config = bench.config(dataset={"name": "folder"}, batch_size=8)
    run = (config, "--out", tmp_path / "out", "--methods", "simclr")
    assert "needs --data PATH" in _refused(bench, *run)
    assert "no-such" in _refused(bench, *run, "--data", tmp_path / "no-such")
    (tmp_path / "empty").mkdir()
    assert "train" in _refused(bench, *run, "--data", tmp_path / "empty")
    data = _folder(tmp_path / "data")
    (data / "train" / "void").mkdir()
    (data / "test" / "void").mkdir()
    assert "void" in _refused(bench, *run, "--data", data)
    (data / "train" / "void").rmdir()
    (data / "test" / "void").rmdir()
    broken = data / "train" / "class1" / "3.jpg"
    content = broken.read_bytes()
    broken.write_bytes(b"this is no image")
    assert "  train/class1/3.jpg: not a readable image" in _refused(bench, *run, "--data", data)
    broken.write_bytes(content[: len(content) // 3])
    assert "  train/class1/3.jpg: not a readable image" in _refused(bench, *run, "--data", data)
    broken.write_bytes(content)
    code, printed = bench("run", *run, "--data", data)
    assert code == 0, printed
    assert bench.records(tmp_path / "out")["simclr"].dataset.name == "data"


def test_a_missing_dataset_is_not_downloaded(bench: Any, tmp_path: Path) -> None:
    config = bench.config(dataset={"name": "cifar10"})
    message = _refused(bench, config, "--out", tmp_path / "out", "--data", tmp_path / "none")
    assert "--download" in message and str(tmp_path / "none") in message


@pytest.mark.slow
def test_an_output_folder_of_another_experiment(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = bench.config()
    bench.finished(out, "random_init")
    message = _refused(bench, config, "--out", out, "--methods", "random_init", "--set", "batch_size=8")
    assert "holds another experiment: batch_size is 16 there and 8 here" in message
    message = _refused(bench, config, "--out", out, "--methods", "random_init", "--set", "dataset.shapes_seed=1")
    assert "was begun with other images: dataset.manifest is" in message
    message = _refused(bench, config, "--out", out, "--methods", "random_init", "--set", "backbone.width=16")
    assert "entries.random_init.backbone.width is 8 there and 16 here" in message


@pytest.mark.slow
def test_a_refused_run_does_not_claim_its_folder(bench: Any, tmp_path: Path) -> None:
    run = (bench.config(), "--out", tmp_path / "out", "--methods", "random_init,simclr")
    _refused(bench, *run, "--set", "batch_size=1000")
    assert bench("run", *run, "--budget", "steps=1")[0] == 0


def test_an_output_folder_that_cannot_be_written(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    message = _refused(bench, bench.config(), "--out", tmp_path / "file", "--methods", "random_init")
    assert "cannot be written" in message


@pytest.mark.slow
def test_a_full_disk_ends_the_run_and_keeps_the_last_state(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    real, saves = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal saves
        if os.fstat(descriptor).st_size > 100_000:  # a state, not a small file
            saves += 1
            if saves > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        message = _refused(bench, bench.config(), "--out", out, "--methods", "simclr")
    assert "No space left on device" in message
    (state,) = out.rglob("state.pt")
    assert not [path for path in state.parent.iterdir() if path.name.endswith(".tmp")]
    code, printed = bench("run", bench.config(), "--out", out, "--methods", "simclr")
    assert code == 0
    assert "from 50%" in printed


def test_missing_and_foreign_results(bench: Any, tmp_path: Path) -> None:
    code, printed = bench("report", tmp_path / "none", "--out", tmp_path / "page")
    assert (code, "no such folder" in printed) == (2, True)
    bench.finished(tmp_path / "good", "random_init")
    (tmp_path / "file").write_text("in the way")
    code, printed = bench("report", tmp_path / "good", "--out", tmp_path / "file")
    assert (code, "cannot be written" in printed) == (2, True)
    code, printed = bench("leaderboard", tmp_path / "good", "--csv", tmp_path / "good")
    assert (code, "cannot be written" in printed) == (2, True)
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "record.json").write_text("{")
    code, printed = bench("report", tmp_path / "r", "--out", tmp_path / "page")
    assert code == 2
    assert "no record of a run" in printed and "record.json: not a JSON file" in printed


@pytest.mark.slow
def test_help_answers_without_torch() -> None:
    program = "import sys; sys.argv=['bench','--help']\nfrom benchmark.cli.main import main\n"
    check = program + (
        "try: main()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules), 'heavy imports'"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout


@pytest.mark.parametrize("what", ["methods", "datasets", "backbones", "protocols", "experiments", "sweeps"])
def test_lists(bench: Any, what: str) -> None:
    code, printed = bench("list", what)
    known = {"methods": "cnn_jepa", "datasets": "shapes", "backbones": "resnet50", "protocols": "linear-v1",
             "experiments": "quickstart", "sweeps": "mask_ratio"}  # fmt: skip
    assert code == 0
    assert known[what] in printed
    code, printed = bench("list", "method")
    assert (code, "did you mean 'methods'" in printed) == (2, True)


@pytest.mark.slow
def test_a_folder_written_before_an_option_existed_is_still_accepted(bench: Any, tmp_path: Path) -> None:
    arguments = ("run", bench.config(), "--out", tmp_path, "--methods", "random_init")
    bench.finished(tmp_path, "random_init")
    path = tmp_path / "tiny" / "experiment.yaml"
    written = path.read_text()
    assert "sync_batch_norm: false" in written
    path.write_text("".join(line for line in written.splitlines(True) if "sync_batch_norm" not in line))
    code, printed = bench(*arguments, "--seeds", "0,1")
    assert code == 0, printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list"], "say what to list: backbones, datasets"),
        (["list", "method"], "cannot list 'method'; did you mean 'methods'"),
        (["report", "{}/resluts", "--out", "x"], "resluts: no such folder; did you mean 'results'"),
        (["evaluate", "{}/none.pth", "--backbone", "resnet18", "--dataset", "shapes"], "none.pth: no such file"),
    ],
)
def test_other_commands(bench: Any, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "results").mkdir()
    code, printed = bench(*(word.format(tmp_path) for word in arguments))
    assert code == 2 and message in printed, printed
