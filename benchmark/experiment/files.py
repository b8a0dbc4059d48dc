"""Raw configurations: finding the files, reading YAML, applying overrides; the keys are not checked here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.files import disk as files
from benchmark.files.expected import kind_of
from benchmark.files.parse import ParseError, load_yaml, shortened
from methods.config import nearest
from methods.registry import own_methods

_EMA_STARTS = (("start", "half_life"), ("half_life", "start"))  # of which a moving average has one


def config_root() -> Path:
    """The folder of the shipped configurations: inside the installed package, or the source tree's `configs/`."""
    installed = Path(__file__).parents[1] / "_configs"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "configs"


def shipped_experiments() -> list[str]:
    """Names that `bench run NAME` understands anywhere."""
    return sorted(path.stem for path in config_root().glob("*.yaml"))


def shipped_sweeps() -> list[str]:
    """Names that `bench sweep NAME` understands anywhere."""
    return sorted(path.stem for path in (config_root() / "sweeps").glob("*.yaml"))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises a `UserError` where it cannot be read, or holds something else."""
    data = files.read_yaml(path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected keys and values, found {kind_of(data)}")
    copied: dict[str, Any] = _without_aliases(data)
    return copied


def _without_aliases(value: Any) -> Any:
    """A copy that shares nothing: setting a key below one YAML alias does not change the others."""
    if isinstance(value, dict):
        return {key: _without_aliases(item) for key, item in value.items()}
    return [_without_aliases(item) for item in value] if isinstance(value, list) else value


def find_experiment(config: str, beside: Path | None = None) -> Path:
    """The file of an experiment, as `find_sweep`; a path may also be relative to the folder `beside`."""
    if beside is not None and config.endswith((".yaml", ".yml")) and (beside / config).is_file():
        return beside / config
    return _find(config, "experiment", config_root(), shipped_experiments())


def find_sweep(config: str) -> Path:
    """The file of a sweep: a path, or a shipped one's name; raises a `UserError` where there is neither."""
    return _find(config, "sweep", config_root() / "sweeps", shipped_sweeps())


def _find(config: str, kind: str, folder: Path, names: list[str]) -> Path:
    path = Path(config)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise UserError(f"{config}: no such file; shipped {kind}s: {', '.join(names)}")
        return path
    shipped = folder / f"{config}.yaml"
    if not shipped.is_file():
        raise UserError(f"unknown {kind} '{config}'; {nearest(config, names)}, or the path of a YAML file")
    return shipped


def find_recipe(recipe: str, method: str, beside: Path | None) -> Path | None:
    """The file of a recipe: a path, or a scale's `recipes/<scale>/<method>.yaml`; None for a plug-in's method.

    Raises:
        UserError: there is no such scale or file, or the scale lacks one of the suite's own methods.
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
    if path.is_file():
        return path
    if method in own_methods():
        scales = sorted(path.parent.name for path in config_root().glob(f"recipes/*/{method}.yaml"))
        raise UserError(f"recipe '{recipe}' has none of '{method}'; scales that have: {', '.join(scales)}")
    return None


def read_recipe(path: Path, method: str) -> dict[str, Any]:
    """The settings of a recipe file; raises a `UserError` where it is not a recipe, or another method's."""
    data = read_yaml(path)
    known = ["method", "scale", "sources", "settings"]
    if unknown := sorted(set(data) - set(known)):
        raise UserError(f"{path}: unknown key '{unknown[0]}'; {nearest(unknown[0], known)}")
    if data.get("method") != method:
        raise UserError(f"{path}: is a recipe of method '{data.get('method')}', wanted for '{method}'")
    settings = data.get("settings") or {}
    if not isinstance(settings, dict):
        raise UserError(f"{path}: settings: expected keys and values, found {kind_of(settings)}")
    return settings


def apply_setting(data: dict[str, Any], setting: str) -> None:
    """Applies `KEY=VALUE` (a key as in `set_key`, a value in YAML) to an experiment's raw data, in place.

    Raises:
        UserError: it is not of this form, or `set_key` refuses it.
    """
    path, separator, text = setting.partition("=")
    if not separator or not all(path.strip().split(".")):
        raise UserError(f"--set is '{setting}'; expected KEY=VALUE, for instance batch_size=128 or byol.ema.start=0.99")
    try:
        value = load_yaml(text)
    except ParseError as error:
        raise UserError(f"--set {shortened(path)}: '{shortened(text)}' is not a value ({error})") from None
    set_key(data, path.strip(), value, f"--set {path}")


def set_key(data: dict[str, Any], path: str, value: Any, where: str) -> None:
    """Sets a key of an experiment's raw data, in place: `a.b.c`, or `ENTRY.key` for an override of an entry's method.

    Raises:
        UserError: the path leads through a value that holds no keys, or is an entry's name.
    """
    keys = path.split(".")
    target = data
    entries: list[Any] = data["entries"] if isinstance(data.get("entries"), list) else []
    entries[:] = [{"method": entry} if isinstance(entry, str) else entry for entry in entries]
    for entry in entries:
        if isinstance(entry, dict) and (entry.get("name") or entry.get("method")) == keys[0]:
            if len(keys) == 1:
                raise UserError(
                    f"{where}: '{path}' is an entry; expected one of its settings, such as {path}.optimizer.lr"
                )
            # `byol.backbone.width` is the entry's own backbone; every other key is one of its method's.
            target, keys = entry, keys[1:] if keys[1] in ("backbone", "recipe") else ["overrides", *keys[1:]]
            break
    for position, key in enumerate(keys[:-1]):
        if target.get(key) is None:  # absent, or a key that was left empty
            target[key] = {}
        target = target[key]
        if not isinstance(target, dict):
            named = ".".join(keys[: position + 1]).removeprefix("overrides.")
            raise UserError(f"{where}: '{named}' holds no keys")
    target[keys[-1]] = value
    for given, other in _EMA_STARTS:
        if keys[-1] == given and value is not None and target.get(other) is not None:
            del target[other]


def merge(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """`base` updated by `override`, key by key in nested mappings; neither is changed.

    A moving average has a start or a half-life: the one that `override` gives ends the other of `base`.
    """
    merged = dict(base)
    for given, other in _EMA_STARTS:
        if override.get(given) is not None:
            merged.pop(other, None)
    for key, value in override.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged
