from __future__ import annotations

from typing import Any

import pytest

from benchmark.cli.lists import LISTS
from methods import registry


def test_a_broken_package_hides_no_other_method(monkeypatch: pytest.MonkeyPatch) -> None:
    describe = registry.describe_method

    def fail_for_byol(name: str) -> Any:
        if name == "byol":
            raise ValueError("cannot be loaded")
        return describe(name)

    monkeypatch.setattr(registry, "describe_method", fail_for_byol)
    lines = dict(LISTS["methods"]())
    assert lines["byol"] == "unusable: cannot be loaded"
    assert lines["ijepa"].startswith("[vit] I-JEPA: predict the features")


def test_a_method_of_a_package_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "method_names", lambda: ("mine",))
    monkeypatch.setattr(
        registry, "describe_method", lambda _: registry.MethodSummary(("cnn", "vit"), "Mine.", "my-ssl")
    )
    assert list(LISTS["methods"]()) == [("mine", "[cnn/vit] Mine. (from package my-ssl)")]


@pytest.mark.parametrize("what", LISTS)
def test_every_line_of_a_list_says_something(what: str) -> None:
    lines = list(LISTS[what]())
    assert len({name for name, _ in lines}) == len(lines) > 2
    assert all(text and "\n" not in text for _, text in lines)


def test_trackers_that_are_not_installed_name_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.runs.tracking._is_installed", lambda module: module != "mlflow")
    lines = dict(LISTS["trackers"]())
    assert lines["mlflow"].endswith("(not installed: pip install 'cnn-jepa-bench[mlflow]')")
    assert "not installed" not in lines["wandb"]
