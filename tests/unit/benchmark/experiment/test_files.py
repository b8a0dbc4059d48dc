from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmark.errors import UserError
from benchmark.experiment import files
from benchmark.experiment.files import (
    apply_setting,
    find_experiment,
    find_recipe,
    find_sweep,
    merge,
    read_recipe,
    read_yaml,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1,\nb: 2", r"x\.yaml, line 2: "),
        ("- 1", "expected keys and values, found a list"),
        ("", "found nothing"),
        ("a: 1\nb: {c: 1,\n    c: 2}\n", r"x\.yaml, line 3: the key 'c' appears twice, in lines 2 and 3"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_file_that_holds_no_mapping_is_named(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        read_yaml(path)


def test_aliases_share_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: &shared {list: [{k: 1}]}\nb: *shared\n")
    data = read_yaml(path)
    data["a"]["list"][0]["k"] = 2
    assert data["b"] == {"list": [{"k": 1}]}


def test_an_experiment_is_a_path_or_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_experiment("quickstart") == files.config_root() / "quickstart.yaml"
    assert find_sweep("mask_ratio").parent.name == "sweeps"
    own = tmp_path / "own.yaml"
    own.touch()
    assert find_experiment(str(own)) == own
    assert find_experiment("own.yaml", beside=tmp_path) == own
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").touch()  # a file takes precedence over a shipped name
    assert str(find_experiment("quickstart")) == "quickstart"
    with pytest.raises(UserError, match=r"own\.yml: no such file; shipped experiments: ablation, check, cifar10"):
        find_experiment("own.yml")
    with pytest.raises(UserError, match="unknown sweep 'mask_rato'; did you mean 'mask_ratio'"):
        find_sweep("mask_rato")


def test_a_recipe_is_a_scale_or_a_path(tmp_path: Path) -> None:
    path = find_recipe("small", "byol", None)
    assert path is not None and path.parts[-2:] == ("small", "byol.yaml")
    assert find_recipe("small", "somebodys", None) is None
    (tmp_path / "mine.yaml").touch()
    assert find_recipe("mine.yaml", "byol", tmp_path) == tmp_path / "mine.yaml"
    with pytest.raises(UserError, match=r"recipe 'other\.yaml': no such file"):
        find_recipe("other.yaml", "byol", tmp_path)
    with pytest.raises(UserError, match="unknown recipe 'smal'; did you mean 'small'"):
        find_recipe("smal", "byol", None)
    with pytest.raises(UserError, match="recipe 'small_vit' has none of 'byol'; scales that have: imagenet, small,"):
        find_recipe("small_vit", "byol", None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("method: simclr", "is a recipe of method 'simclr', wanted for 'byol'"),
        ("method: byol\nsetings: {}", "unknown key 'setings'; did you mean 'settings'"),
        ("method: byol\nsettings: [1]", "settings: expected keys and values, found a list"),
    ],
)
def test_a_file_that_is_not_the_methods_recipe(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_recipe(path, "byol")
    path.write_text("method: byol\nsettings:\n")
    assert read_recipe(path, "byol") == {}


def test_an_average_has_the_start_or_the_half_life_that_was_said_last() -> None:
    assert merge({"half_life": 0.01, "end": 1.0}, {"start": 0.9}) == {"start": 0.9, "end": 1.0}
    assert merge({"ema": {"start": 0.9}}, {"ema": {"half_life": 0.01}}) == {"ema": {"half_life": 0.01}}
    assert merge({"start": 0.9}, {"end": 0.99}) == {"start": 0.9, "end": 0.99}


def test_settings_reach_the_experiment_an_entrys_method_and_its_backbone() -> None:
    data: dict[str, Any] = {"entries": ["byol", {"name": "wide", "method": "byol"}], "budget": None}
    apply_setting(data, "budget.steps=3")
    apply_setting(data, "byol.ema.start=0.9")
    apply_setting(data, "wide.backbone.width=32")
    apply_setting(data, "wide.recipe=imagenet")
    for setting in (
        "wide.ema.half_life=0.02",
        "wide.ema.start=0.99",
        "byol.ema.half_life=null",
    ):  # a start ends the other
        apply_setting(data, setting)
    assert data == {
        "budget": {"steps": 3},
        "entries": [
            {"method": "byol", "overrides": {"ema": {"start": 0.9, "half_life": None}}},
            {
                "name": "wide",
                "method": "byol",
                "backbone": {"width": 32},
                "recipe": "imagenet",
                "overrides": {"ema": {"start": 0.99}},
            },
        ],
    }


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("batch_size", "--set is 'batch_size'; expected KEY=VALUE"),
        ("a..b=1", "expected KEY=VALUE"),
        ("a=[1", r"--set a: '\[1' is not a value"),
        ("byol=1", "--set byol: 'byol' is an entry; expected one of its settings, such as byol.optimizer.lr"),
        ("name.x=1", "--set name.x: 'name' holds no keys"),
        ("byol.depth.x=1", "--set byol.depth.x: 'depth' holds no keys"),
    ],
)
def test_a_setting_that_cannot_be_applied(setting: str, message: str) -> None:
    data = {"name": "tiny", "entries": [{"method": "byol", "overrides": {"depth": 1}}]}
    with pytest.raises(UserError, match=message):
        apply_setting(data, setting)


def test_merge_goes_into_mappings_and_leaves_its_inputs_alone() -> None:
    base, override = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "d": {"e": 1}}
    assert merge(base, override) == {"a": {"b": 9, "c": 2}, "d": {"e": 1}}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}
    assert override == {"a": {"b": 9}, "d": {"e": 1}}
