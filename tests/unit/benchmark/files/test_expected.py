"""What pydantic expected, in the words of files."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from benchmark.files.expected import kind_of, refusal, shown


def _even(value: int) -> int:
    if value % 2:
        raise ValueError(f"{value} is odd")
    return value


class Inner(BaseModel):
    depth: int = 1


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")

    whole: int = 1
    number: Annotated[float, Field(ge=0.5, lt=1000, allow_inf_nan=False)] = 0.5
    large: Annotated[int, Field(gt=0, le=2**63 - 1)] = 1
    flag: bool = True
    text: str = ""
    pair: Annotated[tuple[int, ...], Field(min_length=1, max_length=2)] = (1,)
    names: dict[str, int] = {}
    inner: Inner = Inner()
    choice: Literal["a", "b"] = "a"
    even: Annotated[int, AfterValidator(_even)] = 0
    pattern: Annotated[str, Field(pattern="^a$")] = "a"


@pytest.mark.parametrize(
    ("name", "value", "clause"),
    [
        ("whole", "abc", "is 'abc'; expected a whole number"),
        ("whole", 1.5, "is 1.5; expected a whole number"),
        ("whole", None, "is null; expected a whole number"),
        ("whole", [], "is []; expected a whole number"),
        ("number", "x" * 200, f"is '{'x' * 29}...xxxxxxx' (202 characters); expected a number"),
        ("number", float("nan"), "is nan; expected a finite number"),
        ("number", 0.25, "is 0.25; expected at least 0.5"),
        ("number", 1000, "is 1000; expected less than 1000"),
        ("large", 0, "is 0; expected more than 0"),
        ("large", 2**64, "is 18446744073709551616; expected at most 9,223,372,036,854,775,807"),
        ("flag", "maybe", "is 'maybe'; expected true or false"),
        ("text", False, "is false; expected a text"),
        ("pair", 3, "is 3; expected a list"),
        ("pair", [], "is []; expected at least 1 of them"),
        ("pair", [1, 2, 3], "is [1, 2, 3]; expected at most 2 of them"),
        ("names", True, "is true; expected keys and values"),
        ("inner", "x", "is 'x'; expected keys and values"),
        ("choice", "c", "is 'c'; expected one of 'a' or 'b'"),
        ("even", 3, "3 is odd"),
        ("pattern", "b", "is 'b': string should match pattern '^a$'"),
        ("other", 1, "is not a known key"),
    ],
)
def test_a_refused_value_in_one_clause(name: str, value: Any, clause: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Model.model_validate({name: value})
    assert refusal(caught.value.errors()[0]) == clause


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "nothing"),
        (True, "true or false"),
        (1, "a number"),
        (0.5, "a number"),
        ("a", "a text"),
        ([], "a list"),
        ({}, "keys and values"),
        (b"", "bytes"),
    ],
)
def test_kinds_have_names(value: Any, kind: str) -> None:
    assert kind_of(value) == kind


def test_values_are_shown_as_files_have_them() -> None:
    assert [shown(value) for value in (None, True, 1, "a")] == ["null", "true", "1", "'a'"]
