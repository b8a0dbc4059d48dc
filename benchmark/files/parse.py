"""Reads JSON, YAML and numbers that others wrote, within stated limits of size, depth and range."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Hashable

MOST_DEPTH = 64
"""Levels of lists and mappings inside each other."""

MOST_JSON_BYTES = 256 * 2**20
MOST_YAML_BYTES = 2**20

MOST_YAML_VALUES = 20_000
"""Values in a YAML text, those behind aliases (`*name`) counted each time."""

LARGEST_WHOLE = 2**63 - 1
_MOST_DIGITS = 40  # of what is shown or converted; Python refuses to convert thousands
_LONG_WORD = re.compile(r"\S{400,}")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]*)", re.ASCII)
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class ParseError(ValueError):
    """A text that cannot be read; `line` is where, if known."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line


def shortened(text: str, most: int = 60) -> str:
    """A text for messages, its middle left out if it is long."""
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-8:]} ({len(text):,} characters)"


def short_words(text: str) -> str:
    """A message in which words of hundreds of characters are shortened: names and values that it repeats."""
    return _LONG_WORD.sub(lambda word: shortened(word[0], 120), text)


def whole_number(text: str) -> int:
    """A whole number in plain decimal digits; a `ParseError` for other texts and for more than 64 bits hold."""
    if not _WHOLE.fullmatch(text):
        raise ParseError(f"'{shortened(text)}' is not a whole number{_in_digits(text)}")
    value = int(text) if len(text) <= _MOST_DIGITS else LARGEST_WHOLE + 1
    if abs(value) > LARGEST_WHOLE:
        raise ParseError(f"{shortened(text)} is out of range; expected at most {LARGEST_WHOLE:,}")
    return value


def real_number(text: str) -> float:
    """A finite number in plain decimal digits, such as `0.5` or `1e-3`; a `ParseError` for other texts."""
    if not _REAL.fullmatch(text):
        raise ParseError(f"'{shortened(text)}' is not a number{_in_digits(text)}")
    value = float(text)
    if not math.isfinite(value):
        raise ParseError(f"{shortened(text)} is out of range; expected at most 1.8e308")
    return value


def _in_digits(text: str) -> str:
    """A clause for what Python takes for a number, such as `1_000` and Arabic digits."""
    try:
        float(text)
    except ValueError:
        return ""
    return " in plain digits"


def load_json(text: str) -> Any:
    """The value of a JSON text; a `ParseError` where it is none, is nested too deeply, or holds what nothing can show.

    NaN and infinities are read, since logs of diverged runs hold them; whoever expects numbers refuses them.
    """
    too_deep = ParseError(f"lists and mappings are nested more than {MOST_DEPTH} levels deep")
    try:
        value = json.loads(text, parse_int=whole_number, parse_float=real_number, object_pairs_hook=_mapping)
    except RecursionError:
        raise too_deep from None
    except ParseError:
        raise
    except json.JSONDecodeError as error:
        raise ParseError(str(error), error.lineno) from None
    if text.count("[") + text.count("{") > MOST_DEPTH and _depth_exceeds(value, MOST_DEPTH):
        raise too_deep
    if _SURROGATE.search(text):
        check_encodable(json.dumps(value, ensure_ascii=False))
    return value


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of a JSON text; a `ParseError` names a key that appears twice."""
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ParseError(f"the key '{shortened(twice)}' appears twice")
    return mapping


def check_encodable(text: str) -> None:
    """Refuses (`ParseError`) a text with half a character (a lone surrogate), which no file and no screen can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ParseError(f"holds \\u{ord(text[error.start]):04x}, which is half a character (a surrogate)") from None


def _depth_exceeds(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        if not inner:
            return False
        level = [item for item in inner if isinstance(item, (dict, list))]
    return bool(level)


_CORE = ("null", "bool", "int", "float", "str", "seq", "map")
_FLOAT = "tag:yaml.org,2002:float"


class _Loader(yaml.SafeLoader):
    """YAML's safe loader within limits. What could be mistaken for something else is refused.

    A key that appears twice would lose its first value; `1_000`, `010`, `0x10` and `1:30` would become other numbers
    than they look like. Dates stay texts, and `1e-3` is a number, as in YAML 1.2.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0
        self._values = 0
        self._below: dict[int, tuple[int, int]] = {}  # by `id` of a complete node: its values and its levels

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._below:
                raise yaml.composer.ComposerError(None, None, "a value that refers to itself", mark)
            values, levels = self._below[id(node)]
        else:
            own = 0 if self.check_event(yaml.ScalarEvent) else 1  # only lists and mappings are levels
            before, self._level = self._values, self._level + own
            values, levels = 1, 0
            self._check(values, levels, mark)
            node = super().compose_node(parent, index)
            self._level -= own
            children = _children(node)
            levels = own + max((self._below[id(child)][1] for child in children), default=0)
            self._below[id(node)] = (1 + self._values - before, levels)
        self._check(values, levels, mark)
        self._values += values
        return node

    def _check(self, values: int, levels: int, mark: yaml.Mark) -> None:
        problem = None
        if self._level + levels > MOST_DEPTH:
            problem = f"lists and mappings are nested more than {MOST_DEPTH} levels deep"
        elif self._values + values > MOST_YAML_VALUES:
            problem = f"holds more than {MOST_YAML_VALUES:,} values"
        if problem:
            raise yaml.composer.ComposerError(None, None, problem, mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        first: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                problem = "a key is a list or a mapping; expected a text or a number"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            merges = key_node.tag == "tag:yaml.org,2002:merge"
            key, line = "<<" if merges else self.construct_object(key_node), key_node.start_mark.line + 1
            if key in first:
                where = f"line {line}" if first[key] == line else f"lines {first[key]} and {line}"
                problem = f"the key '{key}' appears twice, in {where}; keep one of them"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            first[key] = line
        return super().construct_mapping(node, deep)

    def _unknown(self, node: yaml.Node) -> None:
        tag = str(node.tag).replace("tag:yaml.org,2002:", "!!")
        problem = f"has the tag '{shortened(tag)}'; expected none, or one of YAML's core tags"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)

    def _whole(self, node: yaml.ScalarNode) -> int:
        value: int = self._number(node, whole_number)
        return value

    def _real(self, node: yaml.ScalarNode) -> float:
        if _NOT_FINITE.fullmatch(node.value):
            return super().construct_yaml_float(node)
        value: float = self._number(node, real_number)
        return value

    def _number(self, node: yaml.ScalarNode, read: Any) -> Any:
        try:
            return read(node.value)
        except ParseError as error:
            hint = "" if "range" in str(error) else "; a text that looks like a number needs quotes"
            raise yaml.constructor.ConstructorError(None, None, f"{error}{hint}", node.start_mark) from None


class _Dumper(yaml.SafeDumper):
    """Quotes texts that `_Loader` would take for something else."""


def _children(node: yaml.Node | None) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


_Loader.yaml_constructors = {
    tag: build
    for tag, build in yaml.SafeLoader.yaml_constructors.items()
    if tag is not None and tag.rpartition(":")[2] in _CORE
}
_Loader.add_constructor(None, _Loader._unknown)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader._whole)
_Loader.add_constructor(_FLOAT, _Loader._real)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for kind in (_Loader, _Dumper):
    kind.add_implicit_resolver(_FLOAT, re.compile(rf"(?:{_REAL.pattern})$"), list("+-.0123456789"))


def load_yaml(text: str) -> Any:
    """The value of a YAML text; a `ParseError` where it is none, is too large or nested, or is not what it looks like.

    Refused are a key that appears twice in one mapping, aliases that refer to themselves or unfold to very many
    values, numbers in other than plain digits or beyond 64 bits, and tags other than YAML's core ones.
    """
    if len(text) > MOST_YAML_BYTES:
        raise ParseError(f"is longer than {MOST_YAML_BYTES:,} characters")
    try:
        value = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark, problem = error.problem_mark, error.problem or "no reason known"
        own = isinstance(error, (yaml.composer.ComposerError, yaml.constructor.ConstructorError))
        raise ParseError(problem if own else f"not YAML ({problem})", mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        raise ParseError(f"not YAML (the character U+{error.character:04X} is not allowed)") from None
    except (ValueError, RecursionError, TypeError) as error:
        raise ParseError(f"not YAML ({error})") from None
    if _SURROGATE.search(text):
        check_encodable(json.dumps(value, ensure_ascii=False, default=str))
    return value


def dump_yaml(value: Any) -> str:
    """Plain data as YAML that `load_yaml` reads as the same data."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False)
    return text
