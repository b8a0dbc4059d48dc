from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError, field_validator

from benchmark.errors import UserError
from benchmark.experiment.explain import explain, misread, validate, with_settings
from benchmark.experiment.spec import Experiment
from methods.config import Config, Count

if TYPE_CHECKING:
    from collections.abc import Sequence


class Part(Config):
    depth: Count = 1
    kind: Literal["cnn", "vit"] = "cnn"


class Whole(Config):
    name: str
    part: Part = Part()
    parts: tuple[Part, ...] = ()
    width: Count | None = None

    @field_validator("name")
    @classmethod
    def _lower(cls, value: str) -> str:
        if value.lower() != value:
            raise ValueError(f"'{value}' has capitals")
        return value


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "x.yaml: name: is missing"),
        ({"name": "A"}, "x.yaml: name: 'A' has capitals"),
        ({"name": "a", "prat": {}}, "x.yaml: unknown key 'prat'; did you mean 'part'? choices: name, part, "),
        ({"name": "a", "part": {"dept": 1}}, "x.yaml: unknown key 'part.dept'; did you mean 'depth'? choices: depth, "),
        ({"name": "a", "parts": [{}, {"dept": 1}]}, "x.yaml: unknown key 'parts.1.dept'; did you mean 'depth'?"),
        ({"name": "a", "part": 3}, "x.yaml: part is 3; expected keys and values: depth, kind"),
        ({"name": "a", "parts": 3}, "x.yaml: parts is 3; expected a list"),
        ({"name": "a", "part": {"kind": "cn"}}, "x.yaml: part.kind is 'cn'; did you mean 'cnn'? choices: cnn, vit"),
        ({"name": "a", "width": 0}, "x.yaml: width is 0; expected at least 1"),
    ],
)
def test_an_invalid_configuration_in_one_message(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(data)
    assert explain(caught.value, Whole, "x.yaml").startswith(message)


FILE = Path("x.yaml")


def _read(settings: Sequence[str], broken: bool = False) -> list[str]:
    for setting in (*settings, *(["file"] if broken else [])):
        if setting in ("bad", "file"):
            raise UserError(f"x.yaml: {setting} is wrong")
        if setting == "--set":
            raise UserError("--set is '--set'; expected KEY=VALUE")
    return list(settings)


def test_an_error_of_the_settings_names_them() -> None:
    assert with_settings(_read, ["good"], FILE) == ["good"]
    with pytest.raises(UserError, match=r"^--set: bad is wrong$"):
        with_settings(_read, ["good", "bad"], FILE)
    with pytest.raises(UserError, match=r"^--set is '--set'; expected"):
        with_settings(_read, ["--set"], FILE)


def test_an_error_of_the_file_names_the_file() -> None:
    with pytest.raises(UserError, match=r"^x\.yaml: file is wrong$"):
        with_settings(lambda settings: _read(settings, broken=True), ["good"], FILE)


PLAIN: dict[str, Any] = {
    "name": "x",
    "dataset": {"size": 32, "validation_share": 0.25, "split_seed": 3, "shapes_train": 200},
    "backbone": {"name": "vit_tiny", "patch_size": 4, "depth": 1},
    "budget": {"steps": [2, 4]},
    "batch_size": 16,
    "accumulate": 2,
    "precision": 32,
    "seeds": [3, 5],
    "entries": ["simclr", {"method": "byol", "backbone": {"name": "resnet18", "width": 8}}],
    "evaluation": {"points": 2, "images": 100},
    "targets": [50.0, 60],
}


def _numbers(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [found for key, item in items for found in _numbers(item, (*path, key))]
    return [path] if isinstance(value, (int, float)) and path != ("precision",) else []


def _with(path: tuple[Any, ...], change: Any) -> dict[str, Any]:
    data = copy.deepcopy(PLAIN)
    target: Any = data
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = change(target[path[-1]])
    return data


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(_numbers(PLAIN)),
    st.sampled_from([str, lambda _: True, lambda _: False, "{} ".format, lambda v: str(v).replace("0", "\u0660")]),
)
def test_no_number_of_an_experiment_may_be_a_text_or_a_truth(path: tuple[Any, ...], change: Any) -> None:
    assert validate(Experiment, PLAIN, "x.yaml").batch_size == 16
    with pytest.raises(UserError, match=r"^x\.yaml: [a-z]"):
        validate(Experiment, _with(path, change), "x.yaml")


@pytest.mark.parametrize("path", [("batch_size",), ("seeds", 1), ("dataset", "size"), ("evaluation", "points")])
def test_a_whole_number_has_no_point(path: tuple[Any, ...]) -> None:
    with pytest.raises(UserError, match=r"is \d+\.0; expected a whole number, such as \d+$"):
        validate(Experiment, _with(path, float), "x.yaml")


@pytest.mark.parametrize(
    ("given_", "understood", "clause"),
    [
        ({"a": {"b": [1, True]}}, {"a": {"b": (1, 1)}}, "a.b.1 is true; expected a number"),
        ({"a": "1"}, {"a": 1}, "a is '1', a text; expected a number, such as 1 without quotes"),
        ({"a": 1}, {"a": True}, "a is 1; expected true or false"),
        ({"a": "yes"}, {"a": True}, "a is 'yes'; expected true or false"),
        ({"a": True}, {"a": (1.0,)}, "a is true; expected a number"),
        ({"a": 1}, {"a": 1.0}, None),
        ({"a": "10m"}, {"a": (600.0,)}, None),
        ({"a": 32}, {"a": "32"}, None),
        (["simclr"], ({"method": "simclr", "seed": 0},), None),
    ],
)
def test_what_is_understood_otherwise_is_named(given_: Any, understood: Any, clause: str | None) -> None:
    assert misread(given_, understood) == clause
