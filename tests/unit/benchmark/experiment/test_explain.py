from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from pydantic import ValidationError, field_validator

from benchmark.errors import UserError
from benchmark.experiment.explain import explain, with_settings
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
        ({"name": "a", "width": 0}, "x.yaml: width is 0: input should be greater than or equal to 1"),
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
