from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from made_records import forge

from benchmark.analysis import merge as merging
from benchmark.analysis.merge import merge
from benchmark.errors import UserError
from benchmark.files.disk import cannot_be_written
from benchmark.records.folder import find_records, run_files
from benchmark.records.keys import run_key, weights_key
from benchmark.records.schema import KeySettings
from benchmark.records.signature import sign
from benchmark.training.checkpoint import export_encoder
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
from methods.base import Encoder, EncoderInfo

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def two(make_record: Any, store: Any, tmp_path: Path) -> tuple[Path, Path]:
    """Two machines' results, with one run in common."""
    for machine, seeds in (("a", (0, 1)), ("b", (1, 2))):
        for seed in seeds:
            record = make_record("byol", seed, config={"seed": seed}, top1=45.0 + seed / 7, seconds=100.0 + seed / 7)
            path = store(tmp_path / machine, record)
            (path.parent / "config.yaml").write_text(yaml.safe_dump(record.config))
            (path.parent / "probes").mkdir()
            (path.parent / "probes" / "lowshot-v1.json").write_text("{}")
    return tmp_path / "a", tmp_path / "b"


def test_runs_come_together_once_each(two: tuple[Path, Path], tmp_path: Path) -> None:
    merged = merge(two, tmp_path / "all")
    assert (len(merged.taken), merged.there, merged.refused) == (3, 1, [])
    found, problems = find_records([tmp_path / "all"])
    assert [record.seed for _, record in found] == [0, 1, 2] and not problems
    assert all((path.parent / "probes" / "lowshot-v1.json").is_file() for path, _ in found)
    again = merge([*two, tmp_path / "all"], tmp_path / "all")
    assert (len(again.taken), again.there, again.refused) == (0, 7, [])


def test_scores_that_a_run_lacks_are_added_to_it(two: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "all"
    merge(two, out)
    later = next((tmp_path / "b").rglob("seed-1*")) / "probes" / "transfer-v1.json"
    later.write_text("[]")
    merged = merge(two, out)
    assert (len(merged.taken), merged.added, merged.refused) == (0, 1, [])
    (copied,) = out.rglob("transfer-v1.json")
    assert copied.read_text() == "[]" and sorted(p.name for p in copied.parent.iterdir()) == [
        "lowshot-v1.json",
        "transfer-v1.json",
    ]
    assert merge(two, out).added == 0


def _changed(path: Path, **changes: Any) -> None:
    data = json.loads(path.read_text())
    for name, value in changes.items():
        target = data
        *keys, last = name.split("__")
        for key in keys:
            target = target[key]
        target[last] = value
    forge(path, data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 99}, "schema_version is 99"),
        ({"metrics__encoders__online__linear_top1": 140.0}, "is 140.0; expected at most 100"),
        ({"metrics__encoders__online__linear_top1": 99.0}, "higher top-1 than top-5"),
        ({"seed": 7}, "lies in cifar10/byol/seed-0"),
        ({"config__batch_size": 1}, "not that of config.yaml"),
        ({"metrics": None}, "its status is completed, but it has no scores"),
        ({"cause": "exception"}, "its status is completed, its cause exception"),
        ({"ledger__total_time": 10.0}, "its phases sum to"),
        ({"ledger__device_hours": 0.5}, "its device-hours are 0.5000"),
        ({"ledger__data_wait": 1e4}, "waited longer for data"),
    ],
)
def test_records_that_contradict_themselves_are_refused_by_name(
    two: tuple[Path, Path], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (path,) = two[0].glob("*/byol/seed-0-*/record.json")
    _changed(path, **changes)
    merged = merge(two, tmp_path / "all")
    assert len(merged.taken) == 2 and len(merged.refused) == 1
    assert message in merged.refused[0] and str(path) in merged.refused[0]


def test_two_different_records_of_one_run_are_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    (path,) = two[1].glob("*/byol/seed-1-*/record.json")
    _changed(path, metrics__encoders__online__linear_top1=46.0)
    merged = merge(two, tmp_path / "all")
    assert len(merged.taken) == 3 and "another record of the same run" in merged.refused[0]


def _renamed(path: Path, seed: int, key: str = "0123456789abcdef", **changes: Any) -> Path:
    """Copies a run's folder as that of another seed, with all that says so put right."""
    folder = path.parents[1] / f"seed-{seed}-{key[:8]}"
    shutil.copytree(path.parent, folder)
    _changed(folder / "record.json", seed=seed, key=key, config__seed=seed, **changes)
    config = json.loads((folder / "record.json").read_text())["config"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "record.json"


def test_one_run_under_two_seeds_is_refused_under_both(two: tuple[Path, Path], tmp_path: Path) -> None:
    (path,) = two[0].glob("*/byol/seed-0-*/record.json")
    copy = _renamed(path, 5)
    merged = merge(two, tmp_path / "all")
    assert len(merged.taken) == 2 and len(merged.refused) == 2
    for line, one, other in zip(merged.refused, (path, copy), (copy, path), strict=True):
        assert line.startswith(f"{one}: ") and f"those of {other}, which has another seed" in line
        assert "scores and ledger are to the last digit" in line


def test_one_run_under_two_keys_is_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    (path,) = two[0].glob("*/byol/seed-0-*/record.json")
    _renamed(path, 0)
    merged = merge(two, tmp_path / "all")
    assert len(merged.taken) == 2 and len(merged.refused) == 2
    assert all("which has another key; one of the two is a copy" in line for line in merged.refused)


def test_scores_under_another_seed_are_refused_though_the_ledger_was_changed(
    two: tuple[Path, Path], tmp_path: Path
) -> None:
    (path,) = two[0].glob("*/byol/seed-0-*/record.json")
    _renamed(path, 5, ledger__total_time=115.71)
    merged = merge(two, tmp_path / "all")
    assert len(merged.refused) == 2
    assert all("final loss and scores are to the last digit" in line for line in merged.refused)


def test_the_same_scores_under_other_settings_are_no_copy(make_record: Any, store: Any, tmp_path: Path) -> None:
    for batch_size, seconds in ((256, 100.0), (512, 101.0)):
        config = {"seed": 0, "batch_size": batch_size}
        store(tmp_path / "a", make_record("byol", 0, config=config, seconds=seconds))
    assert len(merge([tmp_path / "a"], tmp_path / "all").taken) == 2


def test_a_copy_of_what_is_there_is_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    merge(two, tmp_path / "all")
    (path,) = two[0].glob("*/byol/seed-0-*/record.json")
    copy = _renamed(path, 5)
    shutil.rmtree(path.parent)
    merged = merge(two, tmp_path / "all")
    assert merged.taken == [] and len(merged.refused) == 1 and merged.refused[0].startswith(f"{copy}: ")


@pytest.fixture
def keyed(make_record: Any, store: Any, tmp_path: Path) -> Path:
    """A record that says what its key was made from."""
    config = {"seed": 0, "accumulate": 2, "dataset": {"pretrain": "train"}}
    record = make_record("byol", 0, config=config)
    made_from: dict[str, Any] = {"settings": {"optimizer": {"lr": 0.001}}, "backbone": {"name": "resnet18-w16"}}
    key = run_key(
        rules=record.rules_version,
        manifest=record.dataset.manifest,
        config=record.config,
        method="byol",
        protocols=["knn-v1", "linear-v1"],
        seed=0,
        **made_from,
    )
    path: Path = store(tmp_path / "a", record.model_copy(update={"key": key, "key_settings": KeySettings(**made_from)}))
    return path


def test_a_key_is_computed_again(keyed: Path, tmp_path: Path) -> None:
    merged = merge([tmp_path / "a"], tmp_path / "all")
    assert (len(merged.taken), merged.refused, merged.unverifiable) == (1, [], 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config__batch_size": 512}, "but its settings give"),
        ({"config__accumulate": 1}, "its settings give"),
        ({"config__budget": {"epochs": 100}}, "its settings give"),
        ({"dataset__manifest": "cd" * 32}, "its settings give"),
        ({"method": "simclr"}, "its settings give"),
        ({"config__method__optimizer__lr": 0.01}, "made from other settings of its method"),
        ({"config__backbone__name": "resnet50"}, "made from other settings of its backbone"),
        ({"key_settings__settings": {}}, "its settings give"),
        ({"config__budget": {}}, "its configuration lacks what its key was made from"),
    ],
)
def test_a_configuration_that_does_not_hash_to_its_key_is_refused(
    keyed: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    _changed(keyed, **changes)
    merged = merge([tmp_path / "a"], tmp_path / "all")
    assert merged.taken == [] and message in merged.refused[0] and str(keyed) in merged.refused[0]


def test_the_key_of_an_encoder_from_elsewhere_is_that_of_its_weights(
    make_record: Any, store: Any, tmp_path: Path
) -> None:
    network = build_backbone(BackboneSpec(name="resnet18", width=8), 32)
    config = {"seed": 0, "experiment": "evaluated"}
    record = make_record("theirs", 0, method="external", experiment="evaluated", config=config)
    weights = [(name, value.numpy().tobytes()) for name, value in sorted(network.net.state_dict().items())]
    key = weights_key(weights, record.config, record.rules_version, record.dataset.manifest)
    path = store(tmp_path / "a", record.model_copy(update={"key": key}))
    assert merge([tmp_path / "a"], tmp_path / "one").unverifiable == 1
    export_encoder(path.parent, Encoder(network, EncoderInfo("online", network.pooling, network.dimension)))
    merged = merge([tmp_path / "a"], tmp_path / "all")
    assert (len(merged.taken), merged.refused, merged.unverifiable) == (1, [], 0)
    encoder = path.with_name("encoder.safetensors")
    content = bytearray(encoder.read_bytes())
    content[-1] ^= 1
    encoder.write_bytes(content)
    (line,) = merge([tmp_path / "a"], tmp_path / "other").refused
    assert "but its settings give" in line
    encoder.write_bytes(content[:50])
    (line,) = merge([tmp_path / "a"], tmp_path / "other").refused
    assert "cannot be made from its configuration and encoder.safetensors" in line


def test_keys_that_cannot_be_computed_again_are_counted(two: tuple[Path, Path], tmp_path: Path) -> None:
    assert merge(two, tmp_path / "all").unverifiable == 4  # three taken, one there twice


def test_links_are_not_followed(two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("no result")
    (path,) = two[0].glob("*/byol/seed-0-*/record.json")
    (path.parent / "link.txt").symlink_to(tmp_path / "secret")
    os.mkfifo(path.parent / "pipe")
    assert merge(two, tmp_path / "all").left_behind == [path.parent / "link.txt", path.parent / "pipe"]
    assert not list((tmp_path / "all").rglob("link.txt"))


def test_a_run_that_is_under_way_is_left_alone_and_the_others_are_taken(two: tuple[Path, Path], tmp_path: Path) -> None:
    (path, _), *_ = find_records([two[0]])[0]
    place = tmp_path / "all" / path.parent.relative_to(two[0])
    place.mkdir(parents=True)
    (place / "state.pt").write_text("half a run")
    merged = merge(two, tmp_path / "all")
    assert (len(merged.taken), merged.there) == (2, 1)
    (refused,) = merged.refused
    assert "this run is unfinished in" in refused
    assert [found.name for found in place.iterdir()] == ["state.pt"]


def _break(path: Path, how: str) -> None:
    history = path.with_name("history.jsonl")
    if how == "link in a circle":
        path.unlink()
        path.symlink_to(path)
    elif how == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif how == "folder":
        path.unlink()
        path.mkdir()
    elif how == "edited":
        path.write_text(path.read_text().replace('"linear_top1": 45.0', '"linear_top1": 45.1'))
    elif how == "edited history":
        history.write_text(history.read_text().replace("0.2", "0.3"))
    elif how == "configuration":
        path.with_name("config.yaml").write_text("a: &a [*a]")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("link in a circle", r"record\.json: cannot be read \(Too many levels of symbolic links\)"),
        ("pipe", r"record\.json: cannot be read \(it is no regular file\)"),
        ("folder", r"record\.json: cannot be read \(Is a directory\)"),
        ("edited", r"record\.json: was changed after it was written"),
        ("edited history", r"history\.jsonl beside it was changed after it was written"),
        ("configuration", r"config\.yaml, line 1: a value that refers to itself"),
    ],
)
def test_a_run_that_cannot_be_read_costs_itself_alone(
    two: tuple[Path, Path], tmp_path: Path, how: str, message: str
) -> None:
    (path,) = two[0].glob("*/byol/seed-0-*/record.json")
    _break(path, how)
    merged = merge(two, tmp_path / "all")
    assert len(merged.taken) == 2
    (line,) = merged.refused
    assert line.startswith(str(path)) and re.search(message, line) and "Errno" not in line, line


def test_a_disk_that_becomes_full_says_what_was_taken(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []
    copy = merging._copy

    def full(source: Path, place: Path) -> None:
        if taken:
            raise cannot_be_written(place, OSError(errno.ENOSPC, ""))
        taken.append(place)
        copy(source, place)

    monkeypatch.setattr(merging, "_copy", full)
    with pytest.raises(UserError, match=r"No space left on device\); 1 of 4 runs were taken, and the same command"):
        merge(two, tmp_path / "all")
    assert not list((tmp_path / "all").rglob("*.tmp"))


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_of_a_signed_folder_only_what_was_signed_is_taken(two: tuple[Path, Path], tmp_path: Path) -> None:
    key, signers = tmp_path / "key", tmp_path / "signers"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    signers.write_text(f"lab {key.with_suffix('.pub').read_text()}")
    first, second = two
    (path, _), (changed, _) = find_records([first])[0]
    sign(first, [file for found in (path, changed) for file in run_files(found.parent)], key)
    (changed.parent / "probes" / "lowshot-v1.json").write_text("[]")
    merged = merge([first], tmp_path / "all", signers)
    assert [len(merged.taken), merged.signed] == [1, {first: "lab"}]
    assert merged.refused == [f"{changed}: lowshot-v1.json was changed after lab signed it"]
    with pytest.raises(UserError, match="b: is not signed"):
        merge([first, second], tmp_path / "all", signers)
    (path.parent / "config.yaml").unlink()
    left_out = merge([first], tmp_path / "fewer", signers)
    assert not left_out.taken
    assert f"{(path.parent / 'config.yaml').resolve()}: is missing, and lab signed it" in left_out.refused
    assert f"{path}: signed files beside it are missing" in left_out.refused
    assert len(merge([second], tmp_path / "all").taken) == 2  # what is not signed is taken where nothing asks for it


def test_an_experiments_own_folder_takes_no_others(two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("")
    with pytest.raises(UserError, match=r"--out is .*, an experiment's folder; expected one that holds such folders"):
        merge(two, tmp_path)
