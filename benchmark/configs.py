"""Finds the configurations that come with the package, and reads YAML files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmark.errors import UserError
from methods.config import nearest


def config_root() -> Path:
    """The folder of the shipped configurations: inside the installed package, or the source tree's `configs/`."""
    installed = Path(__file__).parent / "_configs"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "configs"


def shipped_experiments() -> list[str]:
    """Names that `bench run NAME` understands anywhere."""
    return sorted(path.stem for path in config_root().glob("*.yaml"))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""  # type: ignore[attr-defined]
        problem = getattr(error, "problem", None) or "not YAML"
        raise UserError(f"{path}{where}: {problem}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected a mapping of keys to values, found {type(data).__name__}")
    copied: dict[str, Any] = _without_aliases(data)
    return copied


def _without_aliases(value: Any) -> Any:
    """A copy in which what YAML's anchors share is there twice, so that setting one leaves the other alone."""
    if isinstance(value, dict):
        return {key: _without_aliases(item) for key, item in value.items()}
    return [_without_aliases(item) for item in value] if isinstance(value, list) else value


def find_experiment(config: str) -> Path:
    """The file of an experiment: a path, or the name of a shipped one.

    Raises:
        UserError: there is neither.
    """
    path = Path(config)
    if path.suffix in (".yaml", ".yml") or path.exists():
        if not path.is_file():
            raise UserError(f"{config}: no such file; shipped experiments: {', '.join(shipped_experiments())}")
        return path
    shipped = config_root() / f"{config}.yaml"
    if not shipped.is_file():
        raise UserError(
            f"unknown experiment '{config}'; {nearest(config, shipped_experiments())}, or the path of a YAML file"
        )
    return shipped


def find_recipe(recipe: str, method: str, beside: Path | None) -> Path | None:
    """The file of a recipe: `<scale>` means the shipped `recipes/<scale>/<method>.yaml`; else a path.

    Returns None where a scale has no recipe of this method (a third party's method brings its defaults).

    Raises:
        UserError: there is no such scale or file.
    """
    if recipe.endswith((".yaml", ".yml")):
        candidates = [Path(recipe)] + ([beside / recipe] if beside else [])
        for candidate in candidates:
            if candidate.is_file():
                return candidate
        raise UserError(f"recipe '{recipe}': no such file")
    folder = config_root() / "recipes" / recipe
    if not folder.is_dir():
        scales = [path.name for path in (config_root() / "recipes").iterdir() if path.is_dir()]
        raise UserError(f"unknown recipe '{recipe}'; {nearest(recipe, scales)}, or the path of a YAML file")
    path = folder / f"{method}.yaml"
    return path if path.is_file() else None
