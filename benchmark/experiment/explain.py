"""One clear message for an invalid configuration."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from benchmark.errors import UserError
from benchmark.files.expected import refusal, shown
from methods.config import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ReadT = TypeVar("ReadT")
ModelT = TypeVar("ModelT", bound=BaseModel)

_BRANCH = re.compile(r"function-|.*\[|(int|float)$")  # names of types and validators in pydantic's locations


def validate(model: type[ModelT], data: object, where: str) -> ModelT:
    """The configuration that plain data describe.

    Raises:
        UserError: names `where`, the key, the value, what was expected and the nearest valid choice.
    """
    try:
        valid = model.model_validate(data)
    except ValidationError as error:
        raise UserError(explain(error, model, where)) from None
    if wrong := misread(data, valid.model_dump()):
        raise UserError(f"{where}: {wrong}")
    return valid


def misread(given: Any, understood: Any, key: str = "") -> str | None:
    """The first value that was understood as another one than what was written, as a clause; None where there is none.

    Pydantic takes `true` and `"1"` for 1, `1.0` for the whole number 1, and 1 and `"yes"` for `true`. Texts that are no
    numbers by themselves, such as the duration `10m`, are meant to be converted.
    """
    if isinstance(given, dict) and isinstance(understood, dict):
        names = [name for name in given if name in understood]
        wrong = (misread(given[name], understood[name], f"{key}.{name}".lstrip(".")) for name in names)
        return next(filter(None, wrong), None)
    if isinstance(understood, (list, tuple)):
        items = given if isinstance(given, (list, tuple)) else [given]
        several = len(understood) > 1 or isinstance(given, (list, tuple))
        pairs = enumerate(zip(items, understood, strict=False))
        found = (misread(one, other, f"{key}.{place}" if several else key) for place, (one, other) in pairs)
        return next(filter(None, found), None)
    if isinstance(understood, bool):
        return None if isinstance(given, bool) else f"{key} is {shown(given)}; expected true or false"
    if not isinstance(understood, (int, float)) or isinstance(given, dict):
        return None
    if isinstance(given, bool):
        return f"{key} is {shown(given)}; expected a number"
    if isinstance(given, float) and isinstance(understood, int):
        return f"{key} is {given!r}; expected a whole number, such as {understood}"
    if isinstance(given, str) and _is_number(given):
        return f"{key} is {shown(given)}, a text; expected a number, such as {understood} without quotes"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def explain(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """The first problem of a validation: file, key, value, what was expected, the nearest valid choice."""
    # Every branch of a union reports a problem; the deepest one belongs to the branch that was meant.
    problem = max(error.errors(), key=lambda item: len(item["loc"]))
    location = [part for part in problem["loc"] if isinstance(part, int) or not _BRANCH.match(part)]
    key = ".".join(map(str, location))
    prefix = f"{where}: {key}" if key else where
    kind, value = problem["type"], problem["input"]
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{where}: unknown key '{key}'; {nearest(str(location[-1]), _keys_at(model, location[:-1]))}"
    if kind == "literal_error":
        expected = problem.get("ctx", {}).get("expected", "")
        choices = [part.strip(" '") for part in expected.replace(" or ", ", ").split(",")]
        return f"{prefix} is {shown(value)}; {nearest(str(value), choices)}"
    known = _keys_at(model, location) if kind == "model_type" else []
    clause = refusal(problem) + (f": {', '.join(known)}" if known else "")
    return f"{prefix} {clause}" if clause.startswith("is ") and kind != "missing" else f"{prefix}: {clause}"


def with_settings(read: Callable[[Sequence[str]], ReadT], settings: Sequence[str], *files: Path) -> ReadT:
    """Reads a file with the settings of `--set` (`a.b=value` each).

    Raises:
        UserError: that of `read`; where the settings cause it, it names `--set` in place of any of `files`.
    """
    try:
        return read(settings)
    except UserError as error:
        try:
            read(())
        except UserError:  # the file itself is wrong
            raise error from None
        text = str(error)
        for file in files:
            text = text.replace(f"{file}: ", "", 1)
        raise UserError(text if text.startswith("--set") else f"--set: {text}") from None


def _keys_at(model: Any, location: Sequence[int | str]) -> list[str]:
    """The known keys at a location of a configuration."""
    for part in location:
        if part not in _fields(model):  # a place in a list, a key of a mapping
            continue
        model = _nested(_fields(model)[str(part)])
    return list(_fields(model))


def _fields(model: Any) -> dict[str, Any]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        return {name: field.annotation for name, field in model.model_fields.items()}
    if dataclasses.is_dataclass(model):
        return {field.name: field.type for field in dataclasses.fields(model)}
    return {}


def _nested(annotation: Any) -> Any:
    """The configuration class inside an annotation such as `X | None` or `tuple[X, ...]`."""
    if _fields(annotation):
        return annotation
    for inner in get_args(annotation):
        model = _nested(inner)
        if model is not None:
            return model
    return None
