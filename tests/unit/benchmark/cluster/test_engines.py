"""Engines by name, and what is said where one is missing."""

from __future__ import annotations

import sys

import pytest

from benchmark.cluster.engines import check_engine, open_engine
from benchmark.errors import UserError


def test_an_unknown_engine_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="--on is 'slrum'; did you mean 'slurm'"):
        check_engine("slrum")


@pytest.mark.parametrize(("name", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_missing_package_is_named_in_a_line(monkeypatch: pytest.MonkeyPatch, name: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"benchmark.cluster.{name}", raising=False)
    with pytest.raises(
        UserError, match=rf"--on {name} needs the package {package}: pip install 'cnn-jepa-bench\[{name}\]'"
    ):
        open_engine(name)


def test_an_address_is_of_ray_alone() -> None:
    with pytest.raises(UserError, match="--address is of a Ray cluster"):
        open_engine("local", "auto")
