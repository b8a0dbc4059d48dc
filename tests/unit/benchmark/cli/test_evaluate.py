from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmark.cli import evaluate
from benchmark.encoders.formats import Foreign
from benchmark.evaluation.protocols import GROUPS
from methods.backbone_spec import BackboneSpec

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The arguments that checkpoints and runs are scored with; nothing is scored."""
    seen: dict[str, Any] = {}

    def score_checkpoint(self: object, foreign: Foreign, spec: Any, out: Path) -> Path:
        seen.update(foreign=foreign, spec=spec)
        return tmp_path / "evaluated"

    def score_runs(
        self: object, results: list[Path], protocols: tuple[str, ...], dataset: str | None, optional: frozenset[str]
    ) -> None:
        seen.update(results=results, protocols=protocols, dataset=dataset, optional=optional)

    monkeypatch.setattr(evaluate._Evaluation, "score_checkpoint", score_checkpoint)
    monkeypatch.setattr(evaluate._Evaluation, "score_runs", score_runs)
    return seen


def test_a_checkpoint_is_described_by_the_options(bench: Any, scored: dict[str, Any], tmp_path: Path) -> None:
    weights = tmp_path / "theirs.pth"
    weights.touch()
    options = ("--backbone", "resnet18,stem=small,width=16", "--dataset", "shapes", "--size", "48", "--prefix", "net.")
    assert bench("evaluate", weights, *options, "--format", "moco", "--allow-partial") == (0, "")
    backbone = BackboneSpec(name="resnet18", stem="small", width=16)
    assert scored["foreign"] == Foreign(weights, backbone, "theirs", "moco", "net.", True)
    assert (scored["spec"].name, scored["spec"].size) == ("shapes", 48)
    assert "protocols" not in scored


def test_further_protocols_of_a_checkpoint_use_its_own_dataset(
    bench: Any, scored: dict[str, Any], tmp_path: Path
) -> None:
    weights = tmp_path / "theirs.pth"
    weights.touch()
    options = ("--backbone", "resnet18", "--dataset", "digits", "--protocols")
    assert bench("evaluate", weights, *options, "lowshot-v1")[0] == 0
    assert (scored["results"], scored["protocols"], scored["dataset"]) == (
        [tmp_path / "evaluated"],
        ("lowshot-v1",),
        None,
    )
    code, printed = bench("evaluate", weights, *options, "transfer-v1")
    assert code == 2 and "transfer-v1 needs --dataset NAME, the dataset to transfer to" in printed


def test_runs_are_probed_on_another_dataset(bench: Any, scored: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "record.json").touch()
    options = ("--protocols", "transfer-v1, lowshot-v1", "--dataset", "digits")
    assert bench("evaluate", tmp_path, *options)[0] == 0
    assert (scored["protocols"], scored["dataset"]) == (("transfer-v1", "lowshot-v1"), "digits")
    assert "foreign" not in scored


@pytest.mark.parametrize(("dataset", "asked"), [("digits", False), ("imagenette", True)])
def test_download_is_for_the_model_where_the_dataset_has_nothing_to_fetch(
    bench: Any,
    scored: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dataset: str,
    asked: bool,
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    seen = []

    def fetched(address: str, *, download: bool) -> Path:
        seen.append((address, download))
        return tmp_path

    monkeypatch.setattr(evaluate, "fetched", fetched)
    monkeypatch.setattr(
        evaluate, "named_dataset", lambda *_, download, **__: seen.append(("dataset", download)) or scored
    )
    assert bench("evaluate", "hf://org/net@main", "--dataset", dataset, "--download") == (0, "")
    assert seen == [("hf://org/net@main", True), ("dataset", asked)]
    assert scored["foreign"] == Foreign(tmp_path, BackboneSpec(name="resnet50"), "net")


def test_a_models_folder_is_no_results_folder(bench: Any, scored: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "swin"}')
    (tmp_path / "model.safetensors").touch()
    code, printed = bench("evaluate", tmp_path, "--dataset", "digits")
    assert code == 2 and "config.json: describes swin, which is none of" in printed
    assert bench("evaluate", tmp_path, "--dataset", "digits", "--backbone", "resnet18") == (0, "")
    assert scored["foreign"].name == tmp_path.name


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "holds neither runs (record.json) nor a model (config.json with model.safetensors or pytorch_model.bin)"),
        (["w.pth"], "holds neither runs"),
        (["model.safetensors"], "holds model.safetensors without config.json; give the file itself with --backbone"),
        (["pytorch_model.bin.index.json"], "holds pytorch_model.bin without config.json"),
        (["config.json"], "holds config.json with none of model.safetensors, pytorch_model.bin"),
    ],
)
@pytest.mark.parametrize("options", [("--dataset", "digits", "--size", "32"), ("--protocols", "lowshot-v1")])
def test_a_folder_of_neither_runs_nor_a_model_is_refused(
    bench: Any, tmp_path: Path, files: list[str], message: str, options: tuple[str, ...]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in files:
        (folder / name).touch()
    code, printed = bench("evaluate", folder, *options)
    assert code == 2 and f"{folder}: {message}" in printed, printed


def test_a_group_of_protocols_is_scored_where_it_applies(bench: Any, scored: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "record.json").touch()
    assert bench("evaluate", tmp_path, "--protocols", "depth-v1,dense")[0] == 0
    assert set(scored["protocols"]) == set(GROUPS["dense"])
    assert scored["optional"] == set(GROUPS["dense"]) - {"depth-v1"}


def test_a_checkpoint_needs_a_dataset_with_classes(bench: Any, scored: dict[str, Any], tmp_path: Path) -> None:
    weights = tmp_path / "theirs.pth"
    weights.touch()
    words = ("--backbone", "resnet18", "--dataset", "voc2012", "--data", tmp_path)
    code, printed = bench("evaluate", weights, *words)
    assert code == 2 and "'voc2012' has no classes to train on or to probe" in printed
    assert not scored
