"""Writes docs/configuration.md: every key of an experiment, a recipe and a sweep, from the models that read them.

Usage: python docs/make_configuration.py [--check]

Types, bounds and defaults come from the models, meanings from their docstrings. `--check` writes nothing and fails
where the page is not what it would write.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter

from benchmark.cost.budget import BudgetSpec
from benchmark.data.spec import DatasetSpec
from benchmark.experiment.acceleration_spec import AccelerationSpec
from benchmark.experiment.cluster_spec import ClusterSpec
from benchmark.experiment.files import config_root, read_yaml, shipped_experiments, shipped_sweeps
from benchmark.experiment.spec import EntrySpec, EvaluationSpec, Experiment
from benchmark.sweep.spec import ParameterSpec, PublishedSpec, SweepSpec
from cnn_jepa import MaskSpec
from methods.backbone_spec import BACKBONES, BackboneSpec
from methods.config import OptimizerSpec
from methods.ema import EMASpec
from methods.registry import method_class, method_names
from methods.views import ViewSpec

PAGE = Path(__file__).parent / "configuration.md"
INTRO = """# Configuration

Made by `make docs` from the models that read the files; a test holds it to them.

An experiment is one YAML file, shipped (`bench list experiments`) or your own. A key that does not exist is answered
with the nearest one that does. Any key can be set from the command line: `--set batch_size=128` sets a key of the
experiment, `--set byol.ema.start=0.99` one of an entry's method, `--set byol.backbone.width=32` an entry's backbone.

An entry's settings come from three places, the later ones first: its `overrides`, its recipe
(`configs/recipes/<scale>/<method>.yaml`, where each setting has its source), the defaults below, which are those of the
recipes for small images.
"""
PARTS: tuple[tuple[str, str, type[Any]], ...] = (
    ("Experiment", "One file. `name` defaults to the file's.", Experiment),
    ("dataset", "`dataset:` of an experiment.", DatasetSpec),
    ("backbone", "`backbone:` of an experiment or of an entry. Names: " + ", ".join(BACKBONES) + ".", BackboneSpec),
    ("budget", "`budget:` of an experiment, for instance `{epochs: 100}` or `{wall_clock: 2h30m}`.", BudgetSpec),
    ("entries", "Each of an experiment's `entries:`; a method's name alone will do.", EntrySpec),
    ("evaluation", "`evaluation:` of an experiment. Protocols: [protocols.md](protocols.md).", EvaluationSpec),
    ("cluster", "`cluster:` of an experiment, or of a file of its own: [clusters.md](clusters.md).", ClusterSpec),
    ("acceleration", "`acceleration:` of an experiment.", AccelerationSpec),
)
SHARED: tuple[tuple[str, str, type[Any]], ...] = (
    ("optimizer", "`optimizer:` of a method.", OptimizerSpec),
    ("views", "Each of a method's `views:`.", ViewSpec),
    ("ema", "`ema:` of a method with a target network.", EMASpec),
    ("masking", "`masking:` of CNN-JEPA and I-JEPA.", MaskSpec),
)
SWEEPS: tuple[tuple[str, str, type[Any]], ...] = (
    ("Sweep", "A file for `bench sweep`; see [sweeps.md](sweeps.md).", SweepSpec),
    ("parameters", "Each of a sweep's `parameters:`.", ParameterSpec),
    ("published", "Each of a sweep's `published:`.", PublishedSpec),
)
ANCHORS = {cls.__name__: title for title, _, cls in (*PARTS, *SHARED, *SWEEPS)}
# What a docstring calls by its name in the code.
WORDS = {
    r"\bNone\b": "`null`",
    r"`dataset_names\(\)`": "`bench list datasets`",
    r"`BACKBONES`": "`bench list backbones`",
}
TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}


def main() -> None:
    """Writes the page, or checks it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    text = render()
    if options.check and (not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text):
        sys.exit(f"{PAGE.name} is not current; make docs")
    if not options.check:
        PAGE.write_text(text, encoding="utf-8")


def render() -> str:
    """The page."""
    blocks = [INTRO]
    blocks += [_section("##", title, lead, cls) for title, lead, cls in PARTS]
    blocks.append("## Method settings\n\nKeys of `settings:` in a recipe, and of an entry's `overrides:`.\n")
    blocks += [_section("###", title, lead, cls) for title, lead, cls in SHARED]
    for name in method_names():
        method = method_class(name)
        if method.__module__.startswith("methods."):  # other packages' methods have pages of their own
            blocks.append(_section("###", name, "", method.config_class))
    blocks += [_section("##", title, lead, cls) for title, lead, cls in SWEEPS]
    blocks.append(_shipped("Shipped experiments", config_root(), shipped_experiments()))
    blocks.append(_shipped("Shipped sweeps", config_root() / "sweeps", shipped_sweeps()))
    return "\n".join(blocks)


def _section(level: str, title: str, lead: str, cls: type[Any]) -> str:
    schema = TypeAdapter(cls).json_schema()
    meanings = _meanings(cls)
    rows = [
        f"| `{key}` | {_kind(field)} | {_default(cls, key, field, key in schema.get('required', ()))} "
        f"| {meanings.get(key, '')} |"
        for key, field in schema["properties"].items()
    ]
    summary = _escape((inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " "))
    lines = [f"{level} {title}", "", " ".join(part for part in (lead, summary) if part), ""]
    return "\n".join([*lines, "| key | value | default | meaning |", "| --- | --- | --- | --- |", *rows, ""])


def _meanings(cls: type[Any]) -> dict[str, str]:
    """What the docstrings of a class and its bases say of their attributes."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        _, _, attributes = (inspect.cleandoc(base.__dict__.get("__doc__") or "")).partition("Attributes:\n")
        for match in re.finditer(r"^    (\w+): (.*(?:\n {8,}.*)*)", attributes, flags=re.MULTILINE):
            text = " ".join(match[2].split())
            for pattern, word in WORDS.items():
                text = re.sub(pattern, word, text)
            found[match[1]] = _escape(text)
    return found


def _kind(schema: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        title = ANCHORS[schema["$ref"].rpartition("/")[2]]
        return f"[{title}](#{title.lower()})"
    if "anyOf" in schema:
        return " or ".join("null" if one.get("type") == "null" else _kind(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return "[" + ", ".join(_kind(item) for item in schema["prefixItems"]) + "]"
        return f"list of: {_kind(schema.get('items', {}))}"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return "keys and values" if not isinstance(values, dict) else f"keys, each with: {_kind(values)}"
    return TYPES.get(schema.get("type", ""), "anything") + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    words = {
        "minimum": "at least {}",
        "exclusiveMinimum": "above {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "below {}",
    }
    said = [text.format(f"{schema[key]:g}") for key, text in words.items() if key in schema]
    return f" ({', '.join(said)})" if said else ""


def _default(cls: type[Any], key: str, schema: dict[str, Any], required: bool) -> str:
    if required:
        return "required"
    if issubclass(cls, BaseModel):
        field = cls.model_fields[key]
        value = field.get_default(call_default_factory=True)
    else:
        value = schema.get("default")
    plain = _plain(value)
    if plain in ({}, []) and isinstance(value, BaseModel):
        return "its defaults"
    text = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=10**6)
    return f"`{text.removesuffix(chr(10)).removesuffix('...').strip()}`"


def _plain(value: Any) -> Any:
    """Plain data, in which nested models hold what differs from their own defaults."""
    if isinstance(value, BaseModel):
        return {key: _plain(getattr(value, key)) for key in type(value).model_fields if key in value.model_fields_set}
    if dataclasses.is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if getattr(value, field.name) != field.default
        }
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _shipped(title: str, folder: Path, names: list[str]) -> str:
    rows = [
        f"| `{name}` | {_escape(str(read_yaml(folder / f'{name}.yaml').get('description', '')))} |" for name in names
    ]
    return "\n".join([f"## {title}", "", "| name | what |", "| --- | --- |", *rows, ""])


def _escape(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    main()
