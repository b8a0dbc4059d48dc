"""Experiments: what is read, what is refused and how, and what a run's key holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from benchmark.errors import UserError
from benchmark.experiment.entries import check_devices, resolve_entries
from benchmark.experiment.files import merge
from benchmark.experiment.run_spec import run_specs
from benchmark.experiment.spec import Experiment, load_experiment

if TYPE_CHECKING:
    from benchmark.experiment.run_spec import RunSpec

TINY: dict[str, Any] = {
    "dataset": {"name": "shapes", "shapes_train": 200, "shapes_test": 40},
    "backbone": {"name": "resnet18", "stem": "small", "width": 8},
    "budget": {"steps": 4},
    "batch_size": 16,
    "entries": ["simclr", {"name": "tuned", "method": "byol", "overrides": {"ema": {"start": 0.9}}}],
}


def _write(folder: Path, **changes: Any) -> str:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**TINY, **changes}))
    return str(path)


def _plans(path: str, manifest: str = "manifest", **options: Any) -> list[RunSpec]:
    experiment, source = load_experiment(path, **options)
    return run_specs(experiment, resolve_entries(experiment, source), 32, manifest)


def test_names_default_to_file_and_method(tmp_path: Path) -> None:
    experiment, _ = load_experiment(_write(tmp_path))
    assert experiment.name == "tiny"
    assert [entry.name for entry in experiment.entries] == ["simclr", "tuned"]


def test_runs_are_interleaved_rung_by_rung(tmp_path: Path) -> None:
    plans = _plans(_write(tmp_path), seeds=[0, 1], budget="steps=8,4")
    order = [(plan.budget.limit, plan.seed, plan.entry.name) for plan in plans]
    assert order == [(b, s, e) for b in (4, 8) for s in (0, 1) for e in ("simclr", "tuned")]


def test_methods_pick_by_entry_and_by_method(tmp_path: Path) -> None:
    path = _write(tmp_path)
    assert [p.entry.name for p in _plans(path, methods=["byol"])] == ["tuned"]
    assert [p.entry.name for p in _plans(path, methods=["tuned"])] == ["tuned"]
    with pytest.raises(UserError, match="did you mean 'simclr'"):
        _plans(path, methods=["simcrl"])
    with pytest.raises(UserError, match="--methods is empty"):
        _plans(path, methods=[])
    twice = _write(tmp_path, entries=["simclr", {"name": "wide", "method": "simclr"}])
    assert [p.entry.name for p in _plans(twice, methods=["simclr"])] == ["simclr"]


def test_setting_one_entry_leaves_what_an_anchor_shares_alone(tmp_path: Path) -> None:
    path = tmp_path / "anchors.yaml"
    path.write_text(
        "budget: {steps: 1}\nentries:\n"
        "  - {name: a, method: simclr, backbone: &vit {name: vit_tiny, patch_size: 4, width: 96},\n"
        "     overrides: &o {temperature: 0.3}}\n"
        "  - {name: b, method: simclr, backbone: *vit, overrides: *o}\n"
    )
    a, b = _plans(str(path), settings=["b.backbone.width=64", "b.temperature=0.4"])
    assert (a.backbone.width, b.backbone.width) == (96, 64)
    assert (a.settings.temperature, b.settings.temperature) == (0.3, 0.4)  # type: ignore[attr-defined]


def test_settings_reach_the_experiment_and_an_entrys_method(tmp_path: Path) -> None:
    plans = _plans(
        _write(tmp_path),
        settings=["batch_size=32", "tuned.ema.end=0.995", "simclr.temperature=0.3", "simclr.backbone.width=16"],
    )
    simclr, tuned = plans
    assert simclr.experiment.batch_size == 32
    assert (tuned.settings.ema.start, tuned.settings.ema.end) == (0.9, 0.995)  # type: ignore[attr-defined]
    assert simclr.settings.temperature == 0.3  # type: ignore[attr-defined]
    assert (simclr.backbone.name, simclr.backbone.stem, simclr.backbone.width) == ("resnet18", "small", 16)
    assert simclr.config()["tags"] == ["different backbone"]
    # A name makes it another network, of which the experiment's says nothing.
    (other,) = _plans(_write(tmp_path), methods=["tuned"], settings=["tuned.backbone.name=resnet50"])
    assert (other.backbone.stem, other.backbone.width) == ("imagenet", None)


def test_keys_that_were_left_empty_can_be_set(tmp_path: Path) -> None:
    path = _write(tmp_path, entries=[{"method": "simclr", "overrides": None}])
    assert _plans(path, settings=["simclr.temperature=0.5"])[0].settings.temperature == 0.5  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="entries is 5"):
        _plans(_write(tmp_path, entries=5), settings=["simclr.temperature=0.5"])


def test_the_reference_is_cnn_jepa_unless_another_entry_is_declared(tmp_path: Path) -> None:
    ours = {"name": "ours", "method": "cnn_jepa"}
    path = _write(tmp_path, entries=["simclr", ours, "cnn_jepa"], targets=[40])
    assert {plan.config()["reference"] for plan in _plans(path)} == {"ours"}
    # Picking entries does not change what the experiment declared.
    (plan,) = _plans(path, methods=["simclr"])
    assert (plan.config()["reference"], plan.config()["targets"]) == ("ours", [40.0])
    assert _plans(path, settings=["reference=simclr"])[0].config()["reference"] == "simclr"
    assert _plans(_write(tmp_path))[0].config()["reference"] is None
    assert _key(path) == _key(path, settings=["reference=simclr", "targets=[50]"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bathc_size": 3}, "unknown key 'bathc_size'; did you mean 'batch_size'"),
        ({"dataset": {"name": "shape"}}, "unknown dataset 'shape'; did you mean 'shapes'"),
        ({"dataset": {"name": "shapes", "sise": 3}}, "unknown key 'dataset.sise'; did you mean 'size'"),
        ({"backbone": {"name": "resnet19"}}, "unknown backbone 'resnet19'; did you mean 'resnet1"),
        ({"backbone": {"name": "resnet18", "patch_size": 4}}, "'patch_size' does not apply to resnet18"),
        ({"entries": ["simlcr"]}, "unknown method 'simlcr'; did you mean 'simclr'"),
        ({"entries": []}, "entries is empty"),
        ({"entries": 5}, "entries is 5"),
        ({"entries": ["byol", "byol"]}, "byol appears twice"),
        ({"batch_size": "many"}, "batch_size is 'many'"),
        ({"seeds": [-1]}, "seeds.0 is -1"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"accumulate": 0}, "accumulate is 0"),
        ({"accumulate": 2}, "entry 'simclr', backbone resnet18: accumulate is 2, but the loss compares all images"),
        ({"accumulate": 2, "entries": [{"method": "cnn_jepa", "overrides": {"variance_weight": 1.0}}]},
         "entry 'cnn_jepa', backbone resnet18: accumulate is 2"),
        ({"budget": {"epochs": 1, "steps": 2}}, "exactly one kind of limit"),
        ({"budget": {"epocs": 1}}, "unknown key 'budget.epocs'; did you mean 'epochs'"),
        ({"name": "../elsewhere"}, "names a folder"),
        ({"reference": "simcrl"}, "reference is 'simcrl', which is no entry; did you mean 'simclr'"),
        ({"targets": [140]}, "targets.0 is 140"),
        ({"recipe": "smal"}, "unknown recipe 'smal'; did you mean 'small'"),
        ({"evaluation": {"protocols": ["linear-v1"]}}, "unknown key 'evaluation.protocols'"),
        ({"name": "report"}, "results folders use themselves"),
        ({"seeds": [0, 0]}, "seeds: 0 appears twice"),
        ({"budget": {"epochs": float("inf")}}, "finite number above 0"),
        ({"budget": {"steps": 4.4}}, "expected whole numbers"),
        ({"entries": [{"method": "simclr", "overrides": {"views": [{"flip": 0.5}]}}]}, "views holds 1; simclr takes 2"),
        ({"entries": [{"method": "cnn_jepa", "overrides": {"views": [{"size": 64}]}}]}, "views.0.size is 64"),
        ({"entries": [{"method": "simclr", "overrides": {"optimizer": {"lr": float("inf")}}}]}, "optimizer.lr is inf"),
        ({"entries": [{"method": "simclr", "overrides": {"optimizer": {"betas": [1.0, 1.0]}}}]}, "optimizer.betas.0"),
        ({"entries": [{"method": "byol", "overrides": {"tempreature": 1}}]}, "unknown key 'tempreature'"),
        ({"entries": [{"method": "byol", "overrides": {"ema": {"strat": 1}}}]}, "unknown key 'ema.strat'"),
        ({"entries": [{"method": "cnn_jepa", "overrides": {"masking": {"num_block": 1}}}]}, "'num_blocks'"),
        ({"entries": [{"method": "cnn_jepa", "overrides": {"masking": {"target_share": 0.9}}}]}, "target_share is 0.9"),
        ({"entries": [{"method": "cnn_jepa", "overrides": {"kernel_size": 4}}]}, "4 is even"),
        ({"entries": ["ijepa"]}, "ijepa needs a ViT"),
        ({"entries": [{"method": "cnn_jepa", "backbone": {"name": "vit_tiny", "patch_size": 4}}]}, "needs a CNN"),
        ({"backbone": {"name": "resnet18"}, "entries": ["cnn_jepa"]}, "on the 1x1 grid"),
        ({"backbone": {"name": "vit_tiny", "patch_size": 5}, "entries": ["simclr"]}, "divisible by the patch size 5"),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        _plans(_write(tmp_path, **changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_experiments_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [1,\nb: 2")
    (tmp_path / "list.yaml").write_text("- 1")
    for name, message in (("broken.yaml", "line 2"), ("list.yaml", "found list"), ("none.yaml", "no such file")):
        with pytest.raises(UserError, match=message):
            load_experiment(str(tmp_path / name))
    with pytest.raises(UserError, match="did you mean 'quickstart'"):
        load_experiment("quikstart")


def _key(path: str, **options: Any) -> str:
    return _plans(path, **options)[0].key


def test_the_key_changes_with_what_changes_the_result_and_with_nothing_else(tmp_path: Path) -> None:
    path = _write(tmp_path)
    same = _key(path)
    assert _key(path, settings=["name=other", "description=words"]) == same
    assert _key(path, settings=["entries=[{name: another, method: simclr}]"]) == same
    assert _key(path, settings=["simclr.temperature=0.2"]) == same  # its default
    assert _key(path, settings=["budget={steps: 4.0}"]) == same
    assert _key(path, settings=["accumulate=1", "simclr.sync_batch_norm=false"]) == same  # their defaults
    assert _key(path, settings=["evaluation.points=4", "evaluation.images=100"]) == same
    others = [
        _key(path, seeds=[1]),
        _key(path, budget="steps=5"),
        _key(path, settings=["simclr.temperature=0.21"]),
        _key(path, settings=["batch_size=32"]),
        _key(path, settings=["precision='32'"]),
        _key(path, settings=["backbone.width=16"]),
        _key(path, settings=["simclr.sync_batch_norm=true"]),
        _key(path, methods=["byol"], settings=["accumulate=2"]),
        _key(path, methods=["byol"]),
        _plans(path, "another manifest")[0].key,
    ]
    assert len({same, *others}) == len(others) + 1


def test_a_key_keeps_its_meaning_where_a_default_changed(tmp_path: Path) -> None:
    """CNN-JEPA's encoder was masked dense before it was sparse: the runs recorded then are masked-dense ones."""
    path = _write(tmp_path, entries=["cnn_jepa"])
    sparse = _key(path)
    dense = _key(path, settings=["cnn_jepa.encoder=masked_dense"])
    assert sparse == _key(path, settings=["cnn_jepa.encoder=sparse"]) != dense
    manifest = "4d7eb4eb8891340c0f4c1e832f87dd306677fd73f352ba0b1d445096cccca79f"
    settings = ["precision=bf16", "cnn_jepa.encoder=masked_dense"]
    (spec,) = _plans("quickstart", manifest, methods=["cnn_jepa"], settings=settings)[:1]
    assert spec.key == "b676c0562c51bed3adf383bd007640c1"  # as recorded then


@pytest.mark.parametrize(
    ("backbone", "setting"),
    [
        ({"name": "vit_tiny", "class_token": "features"}, "class_token"),
        ({"name": "resnet18", "stem": "small_pad2"}, "stem=small_pad2"),
    ],
)
def test_nothing_is_trained_with_what_only_networks_from_elsewhere_have(
    tmp_path: Path, backbone: dict[str, Any], setting: str
) -> None:
    experiment, source = load_experiment(_write(tmp_path, backbone=backbone))
    with pytest.raises(UserError, match=f"{setting} is for encoders trained elsewhere"):
        resolve_entries(experiment, source)


def test_a_batch_has_to_divide_among_devices_and_micro_batches(tmp_path: Path) -> None:
    experiment, source = load_experiment(_write(tmp_path, batch_size=24, accumulate=2, entries=["byol"]))
    entries = resolve_entries(experiment, source)
    check_devices(experiment, entries, "cpu", 4)
    with pytest.raises(UserError, match=r"does not divide into 5 devices x 2 micro-batches; .*: 20 and 30"):
        check_devices(experiment, entries, "cpu", 5)


def test_batch_norm_over_several_devices_needs_gpus(tmp_path: Path) -> None:
    experiment, source = load_experiment(_write(tmp_path), settings=["tuned.sync_batch_norm=true"])
    entries = resolve_entries(experiment, source)
    check_devices(experiment, entries, "cpu", 1)
    check_devices(experiment, entries, "cuda", 2)
    with pytest.raises(UserError, match=r"--set tuned\.sync_batch_norm=false"):
        check_devices(experiment, entries, "cpu", 2)


def test_every_shipped_experiment_plans() -> None:
    from benchmark.experiment.files import shipped_experiments

    for name in shipped_experiments():
        experiment, source = load_experiment(name)
        size = experiment.dataset.size or 32
        assert run_specs(experiment, resolve_entries(experiment, source), size)


def test_every_shipped_experiment_has_its_references_and_a_bridge_between_its_networks() -> None:
    from benchmark.experiment.files import shipped_experiments

    for name in shipped_experiments():
        experiment, _ = load_experiment(name)
        methods = {entry.method for entry in experiment.entries}
        assert {"random_init", "supervised"} <= methods, name  # rule 17
        others = [entry for entry in experiment.entries if entry.backbone not in (None, experiment.backbone)]
        networks = {entry.backbone for entry in others}
        if len(methods - {"random_init", "supervised"}) == 1:  # a method by itself stands on one network
            assert not others, name
            continue
        assert {entry.method for entry in others} >= {"ijepa", "random_init"} and len(networks) == 1, name  # rule 2
        assert {entry.method for entry in others} & {"simclr", "byol", "vicreg"}, name


def test_the_rules_name_tests_that_are_there() -> None:
    root = Path(__file__).parents[4]
    held = re.findall(r"^\|.*\| ([^|]*) \|$", (root / "RULES.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = {
        path for cell in held for path in re.findall(r"`([\w/]+\.py)`", cell) if Path(path).name.startswith("test_")
    }
    assert len(named) > 15
    places = [path.relative_to(root / "tests").as_posix() for path in (root / "tests").rglob("test_*.py")]
    assert not [path for path in named if not any(place.endswith(path) for place in places)]


def test_merge_leaves_its_inputs_alone() -> None:
    base, override = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}}
    assert merge(base, override) == {"a": {"b": 9, "c": 2}, "d": 3}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


def test_experiments_are_frozen(tmp_path: Path) -> None:
    experiment, _ = load_experiment(_write(tmp_path))
    assert isinstance(experiment, Experiment)
    with pytest.raises(ValueError, match="frozen"):
        experiment.batch_size = 3  # type: ignore[misc]
