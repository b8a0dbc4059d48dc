"""What is refused before the first image is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.cli.request import RunRequest
from benchmark.errors import UserError
from benchmark.machine.locks import DeviceInUseError

if TYPE_CHECKING:
    from collections.abc import Callable

    Tiny = Callable[..., Path]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["simclr.temperatur=3"], "--set: entry 'simclr': unknown key 'temperatur'; did you mean 'temperature'"),
        (["batch_size=300"], "batch_size is 300, but the training split of shapes has at most 200 images"),
        (["dataset.train_images=20", "batch_size=21"], "the training split of shapes has at most 20 images"),
        (["dataset.size=36"], "entry 'simclr', backbone resnet18: .*not divisible by the total stride 8"),
        (["accumulate=2"], "accumulate is 2, but the loss compares all images"),
    ],
)
def test_a_setting_that_no_run_can_have(tiny: Tiny, settings: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RunRequest(str(tiny()), settings=settings).read()


def test_a_setting_of_the_file_is_reported_as_the_files(tiny: Tiny) -> None:
    path = tiny(entries=[{"method": "simclr", "overrides": {"temperatur": 3}}])
    with pytest.raises(UserError, match=f"^{path}: entry 'simclr': unknown key 'temperatur'"):
        RunRequest(str(path), settings=["batch_size=8"]).read()


def test_a_batch_is_compared_with_the_files_of_a_folder_without_opening_them(tiny: Tiny, tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "data" / split / "ant").mkdir(parents=True)
        for number in range(3):
            (tmp_path / "data" / split / "ant" / f"{number}.png").write_text("not an image")
    request = RunRequest(str(tiny(dataset={"name": "folder"}, batch_size=4)), data=tmp_path / "data")
    with pytest.raises(UserError, match="batch_size is 4, but the training split of folder has at most 3 images"):
        request.read()
    experiment, _ = RunRequest(str(tiny(dataset={"name": "folder"}, batch_size=3)), data=tmp_path / "data").read()
    assert experiment.batch_size == 3


def test_entries_that_train_nothing_take_any_batch(tiny: Tiny) -> None:
    experiment, entries = RunRequest(str(tiny()), methods="random_init", settings=["batch_size=300"]).read()
    assert experiment.batch_size == 300
    assert [entry.entry.name for entry in entries] == ["random_init"]


def test_a_device_in_use_is_refused_unless_it_is_shared_or_not_needed(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_use(name: str) -> None:
        raise DeviceInUseError(f"device {name} is in use by another bench")

    monkeypatch.setattr("benchmark.cli.request.check_device_free", in_use)
    request: dict[str, Any] = {"config": str(tiny()), "device": "cpu", "out": tmp_path}
    with pytest.raises(DeviceInUseError):
        RunRequest(**request).read()
    RunRequest(**request, share=True).read()
    for entry in ("simclr", "random_init"):
        folder = tmp_path / "tiny" / entry / "seed-0-0123abcd"
        folder.mkdir(parents=True)
        (folder / "record.json").touch()
    RunRequest(**request).read()
    with pytest.raises(DeviceInUseError):  # another seed has to be run
        RunRequest(**request, seeds="0,1").read()


def test_where_prices_are_missing_the_command_has_the_users_options(tiny: Tiny, tmp_path: Path) -> None:
    path = tiny()
    plain = RunRequest(str(path))
    source = plain.cost_source(plain.experiment(), Path("results"))
    assert source.path == Path("results/tiny/costs")
    assert source.advice == f"measure it with: bench cost {path}"
    request = RunRequest(
        str(path), methods="simclr", seeds="3", budget="epochs=1", settings=["batch_size=8", "description=two words"],
        data=Path("images"), device="cpu", costs=tmp_path,
    )  # fmt: skip
    source = request.cost_source(plain.experiment(), Path("out"), devices=2)
    assert source.path == tmp_path
    assert source.advice.endswith(
        "tiny.yaml --methods simclr --data images --set batch_size=8 --set 'description=two words' --device cpu "
        "--devices 2 --out out"
    )


def test_options_reach_the_experiment(tiny: Tiny) -> None:
    request = RunRequest(str(tiny()), methods="simclr", seeds="3,4", budget="epochs=1,2", settings=["batch_size=8"])
    experiment = request.experiment()
    assert [entry.name for entry in experiment.entries] == ["simclr"]
    assert (experiment.seeds, experiment.budget.epochs, experiment.batch_size) == ((3, 4), (1.0, 2.0), 8)
