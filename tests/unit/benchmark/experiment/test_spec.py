"""Experiments: what is read, what is refused and how, and what a run's key holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmark.errors import UserError
from benchmark.experiment.files import merge
from benchmark.experiment.spec import Experiment, check_name, load_experiment, validate_experiment

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.experiment.run_spec import RunSpec


def test_names_default_to_file_and_method(write: Callable[..., str]) -> None:
    experiment, _ = load_experiment(write())
    assert experiment.name == "tiny"
    assert [entry.name for entry in experiment.entries] == ["simclr", "tuned"]


def test_methods_pick_by_entry_and_by_method(write: Callable[..., str], specs: Callable[..., list[RunSpec]]) -> None:
    path = write()
    assert [p.entry.name for p in specs(path, methods=["byol"])] == ["tuned"]
    assert [p.entry.name for p in specs(path, methods=["tuned"])] == ["tuned"]
    with pytest.raises(UserError, match="did you mean 'simclr'"):
        specs(path, methods=["simcrl"])
    with pytest.raises(UserError, match="--methods is empty"):
        specs(path, methods=[])
    twice = write(entries=["simclr", {"name": "wide", "method": "simclr"}])
    assert [p.entry.name for p in specs(twice, methods=["simclr"])] == ["simclr"]


def test_setting_one_entry_leaves_what_an_anchor_shares_alone(
    specs: Callable[..., list[RunSpec]], tmp_path: Path
) -> None:
    path = tmp_path / "anchors.yaml"
    path.write_text(
        "budget: {steps: 1}\nentries:\n"
        "  - {name: a, method: simclr, backbone: &vit {name: vit_tiny, patch_size: 4, width: 96},\n"
        "     overrides: &o {temperature: 0.3}}\n"
        "  - {name: b, method: simclr, backbone: *vit, overrides: *o}\n"
    )
    a, b = specs(str(path), settings=["b.backbone.width=64", "b.temperature=0.4"])
    assert (a.backbone.width, b.backbone.width) == (96, 64)
    assert (a.settings.temperature, b.settings.temperature) == (0.3, 0.4)  # type: ignore[attr-defined]


def test_settings_reach_the_experiment_and_an_entrys_method(
    write: Callable[..., str], specs: Callable[..., list[RunSpec]]
) -> None:
    plans = specs(
        write(),
        settings=["batch_size=32", "tuned.ema.end=0.995", "simclr.temperature=0.3", "simclr.backbone.width=16"],
    )
    simclr, tuned = plans
    assert simclr.experiment.batch_size == 32
    assert (tuned.settings.ema.start, tuned.settings.ema.end) == (0.9, 0.995)  # type: ignore[attr-defined]
    assert simclr.settings.temperature == 0.3  # type: ignore[attr-defined]
    assert (simclr.backbone.name, simclr.backbone.stem, simclr.backbone.width) == ("resnet18", "small", 16)
    assert simclr.config()["tags"] == ["different backbone"]
    # A name makes it another network, of which the experiment's says nothing.
    (other,) = specs(write(), methods=["tuned"], settings=["tuned.backbone.name=resnet50"])
    assert (other.backbone.stem, other.backbone.width) == ("imagenet", None)


def test_keys_that_were_left_empty_can_be_set(write: Callable[..., str], specs: Callable[..., list[RunSpec]]) -> None:
    path = write(entries=[{"method": "simclr", "overrides": None}])
    assert specs(path, settings=["simclr.temperature=0.5"])[0].settings.temperature == 0.5  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="entries is 5"):
        specs(write(entries=5), settings=["simclr.temperature=0.5"])


def test_the_reference_is_cnn_jepa_unless_another_entry_is_declared(
    write: Callable[..., str], specs: Callable[..., list[RunSpec]]
) -> None:
    ours = {"name": "ours", "method": "cnn_jepa"}
    path = write(entries=["simclr", ours, "cnn_jepa"], targets=[40])
    assert {plan.config()["reference"] for plan in specs(path)} == {"ours"}
    # Picking entries does not change what the experiment declared.
    (plan,) = specs(path, methods=["simclr"])
    assert (plan.config()["reference"], plan.config()["targets"]) == ("ours", [40.0])
    assert specs(path, settings=["reference=simclr"])[0].config()["reference"] == "simclr"
    assert specs(write())[0].config()["reference"] is None
    assert specs(path)[0].key == specs(path, settings=["reference=simclr", "targets=[50]"])[0].key


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
        ({"accumulate": 3}, "batch_size is 16, which does not divide into 3 micro-batches; the nearest: 15 and 18"),
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
        ({"budget": {"epochs": float("inf")}}, "finite numbers of at least 1e-06"),
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
def test_mistakes_are_named(
    write: Callable[..., str], specs: Callable[..., list[RunSpec]], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        specs(write(**changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_experiments_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [1,\nb: 2")
    (tmp_path / "list.yaml").write_text("- 1")
    for name, message in (("broken.yaml", "line 2"), ("list.yaml", "found a list"), ("none.yaml", "no such file")):
        with pytest.raises(UserError, match=message):
            load_experiment(str(tmp_path / name))
    with pytest.raises(UserError, match="did you mean 'quickstart'"):
        load_experiment("quikstart")


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


def test_experiments_are_frozen(write: Callable[..., str]) -> None:
    experiment, _ = load_experiment(write())
    assert isinstance(experiment, Experiment)
    with pytest.raises(ValueError, match="frozen"):
        experiment.batch_size = 3  # type: ignore[misc]


_WINDOWS = ("con", "prn", "aux", "nul", "com1", "lpt9")


@given(
    st.sampled_from([form.format(name) for name in _WINDOWS for form in ("{}", "{}.x", "{}.a.b")]).map(str.title)
    | st.text("abc.-_", min_size=1, max_size=5).map(lambda name: f"{name}.")
    | st.integers(101, 5000).map("n".__mul__)
    | st.text("/\\\0\n é", min_size=1, max_size=5)
    | st.sampled_from(["Report", "COSTS", "report", "Study.json"])
)
def test_a_name_is_one_that_every_file_system_takes(name: str) -> None:
    with pytest.raises(ValueError, match=r"names a folder|use themselves") as refused:
        check_name(name)
    assert len(str(refused.value)) < 250


def test_names_that_differ_in_case_alone_are_one_folder_on_some_disks() -> None:
    entries = [{"method": "simclr", "name": "Mine"}, {"method": "byol", "name": "mine"}]
    with pytest.raises(UserError, match="entries: 'Mine' and 'mine' differ in case alone"):
        validate_experiment({"name": "x", "budget": {"steps": 1}, "entries": entries}, "x.yaml")


def test_nothing_is_trained_on_images_without_classes() -> None:
    with pytest.raises(ValidationError, match="'voc2012' has no classes to train on or to probe"):
        Experiment.model_validate(
            {"name": "a", "budget": {"epochs": 1}, "entries": ["byol"], "dataset": {"name": "voc2012"}}
        )
