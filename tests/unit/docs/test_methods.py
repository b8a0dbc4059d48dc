"""The table of methods is current, and every deviation in it is one that the test allows."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

from methods.registry import own_methods

PAGE = Path(__file__).parents[3] / "docs" / "methods.md"


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("make_methods", PAGE.with_name("make_methods.py"))
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_the_table_is_current() -> None:
    script, page = _script(), PAGE.read_text(encoding="utf-8")
    assert script.is_current(page), "make docs"
    assert not script.is_current(page.replace("| BYOL |", "| another |"))


def test_every_method_that_trains_has_its_deviations() -> None:
    rows = re.findall(r"^\| `(\w+)` .*\|([^|]*)\|([^|]*)\|$", PAGE.read_text(encoding="utf-8"), re.M)
    assert [name for name, *_ in rows] == list(own_methods())
    measured = {name: values for name, *values in rows if name != "random_init"}
    assert all(0 < float(value) <= 1e-5 for values in measured.values() for value in values)
