"""Typed configurations, and the recipes: real settings with sources, of which the small ones are the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from methods.config import Config, MethodConfig, OptimizerSpec, nearest, plain
from methods.registry import method_class, own_methods

_FOLDER = Path(__file__).parents[3] / "configs" / "recipes"
_PATHS = sorted(_FOLDER.glob("*/*.yaml"))


def _read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def test_every_method_has_a_small_recipe_and_no_recipe_is_nobodys() -> None:
    for scale in ("small", "imagenet"):
        assert {path.stem for path in _PATHS if path.parent.name == scale} == set(own_methods())
    assert {path.stem for path in _PATHS} == set(own_methods())


@pytest.mark.parametrize("path", _PATHS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recipe_is_valid_and_says_where_it_comes_from(path: Path) -> None:
    recipe = _read(path)
    assert set(recipe) == {"method", "scale", "sources", "settings"}
    assert (recipe["scale"], recipe["method"]) == (path.parent.name, path.stem)
    assert recipe["sources"]
    assert all(isinstance(text, str) and len(text) > 10 for text in recipe["sources"].values())
    cls = method_class(recipe["method"])
    config = cls.config_class.model_validate(recipe["settings"])
    kind, grid = ("vit", (14, 14)) if cls.backbone_kinds == ("vit",) else ("cnn", (7, 7))
    if path.parent.name != "imagenet":
        grid = (8, 8) if kind == "vit" else (4, 4)
    if path.parent.name == "small":
        # One truth: what the file says is what the class has without a file.
        assert config == cls.config_class()
    cls.check(config, grid)


@pytest.mark.parametrize("path", _PATHS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_unknown_setting_is_refused(path: Path) -> None:
    recipe = _read(path)
    with pytest.raises(ValueError, match="temprature"):
        method_class(recipe["method"]).config_class.model_validate({**recipe["settings"], "temprature": 1.0})


def test_the_nearest_choice_comes_first() -> None:
    assert nearest("simclt", ["vicreg", "simclr"]) == "did you mean 'simclr'? choices: simclr, vicreg"
    assert nearest("zzz", ["b", "a"]) == "choices: a, b"


def test_configurations_are_frozen_and_refuse_unknown_keys() -> None:
    with pytest.raises(ValueError, match="frozen"):
        OptimizerSpec().lr = 1.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="Extra inputs"):
        Config.model_validate({"anything": 1})


@pytest.mark.parametrize(
    "settings", [{"lr": 0.0}, {"lr": float("inf")}, {"betas": (0.9, 1.0)}, {"warmup": 1.1}, {"name": "adam"}]
)
def test_an_optimizer_out_of_range_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        OptimizerSpec.model_validate(settings)


def test_plain_data_can_leave_out_defaults() -> None:
    config = MethodConfig(optimizer=OptimizerSpec(lr=0.5))
    assert plain(config, exclude_defaults=True) == {"optimizer": {"lr": 0.5}}
    assert plain(config)["optimizer"]["betas"] == [0.9, 0.999]
    assert MethodConfig.model_validate(plain(config)) == config
