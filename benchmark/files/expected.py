"""What pydantic expected where it refuses a value, in the words of files: `a whole number`, `at most 5`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.files.parse import shortened

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_WHOLE, _NUMBER, _BOOL, _TEXT, _LIST, _MAPPING = (
    "a whole number",
    "a number",
    "true or false",
    "a text",
    "a list",
    "keys and values",
)
_KINDS = {
    "int": _WHOLE,
    "float": _NUMBER,
    "finite": "a finite number",
    "bool": _BOOL,
    "string": _TEXT,
    "list": _LIST,
    "tuple": _LIST,
    "dict": _MAPPING,
    "model": _MAPPING,
    "dataclass": _MAPPING,
    "none": "null",
}
_REASONS = ("type", "parsing", "parsing_size", "from_float", "number", "required")
_LIMITS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_YAML = {True: "true", False: "false", None: "null"}


def expected(problem: ErrorDetails) -> str | None:
    """What was expected in place of the value, or None if only pydantic's own message says it."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        limit = context[name]
        return f"{words} {limit:,}" if isinstance(limit, int) else f"{words} {limit:g}"
    if kind in ("too_short", "too_long"):
        least = kind == "too_short"
        return f"at {'least' if least else 'most'} {context['min_length' if least else 'max_length']} of them"
    if kind == "literal_error":
        return f"one of {context.get('expected', '')}"
    name, _, reason = kind.partition("_")  # such as int_parsing
    return _KINDS.get(name) if reason in _REASONS else None


def shown(value: Any) -> str:
    """A value as it stands in a file, short enough for a message."""
    return _YAML[value] if value is None or isinstance(value, bool) else shortened(repr(value))


def kind_of(value: Any) -> str:
    """The kind of a value in the words of files, such as `a list`."""
    if value is None:
        return "nothing"
    kinds = {bool: _BOOL, int: _NUMBER, float: _NUMBER, str: _TEXT, list: _LIST, tuple: _LIST, dict: _MAPPING}
    return kinds.get(type(value), type(value).__name__)


def refusal(problem: ErrorDetails) -> str:
    """A clause about a value: `is 'x'; expected a number`, or the message of the validator that refused it."""
    if problem["type"] == "missing":
        return "is missing"
    if problem["type"] == "extra_forbidden":
        return "is not a known key"
    if problem["type"] in ("value_error", "assertion_error"):
        return problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    words = expected(problem)
    if words is None:
        message = problem["msg"]
        return f"is {shown(problem['input'])}: {message[0].lower()}{message[1:]}"
    return f"is {shown(problem['input'])}; expected {words}"
