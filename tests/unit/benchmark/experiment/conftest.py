"""A tiny experiment, as its YAML file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.run_spec import RunSpec, run_specs
from benchmark.experiment.spec import load_experiment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TINY: dict[str, Any] = {
    "dataset": {"name": "shapes", "shapes_train": 200, "shapes_test": 40},
    "backbone": {"name": "resnet18", "stem": "small", "width": 8},
    "budget": {"steps": 4},
    "batch_size": 16,
    "entries": ["simclr", {"name": "tuned", "method": "byol", "overrides": {"ema": {"start": 0.9}}}],
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes the tiny experiment with some keys changed; its path."""

    def write(**changes: Any) -> str:
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump({**TINY, **changes}))
        return str(path)

    return write


@pytest.fixture
def specs() -> Callable[..., list[RunSpec]]:
    """The runs of an experiment at 32 px."""

    def specs(path: str, manifest: str = "manifest", **options: Any) -> list[RunSpec]:
        experiment, source = load_experiment(path, **options)
        return run_specs(experiment, resolve_entries(experiment, source), 32, manifest)

    return specs
