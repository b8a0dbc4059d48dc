"""The shared harness: everything that is the same for every method."""

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    __version__ = version("cnn-jepa-bench")
except PackageNotFoundError:  # pragma: no cover - a source tree that was never installed
    __version__ = "0+unknown"


def import_methods(root: Path) -> None:
    """Imports the package `methods` in folder `root`, even where Python would find another of that name first.

    Raises:
        ImportError: another `methods` was imported before.
    """
    sys.path.insert(0, str(root))
    try:
        package = import_module("methods")
    finally:
        sys.path.remove(str(root))
    folders = [Path(folder).resolve() for folder in package.__path__]
    if folders != [(root / "methods").resolve()]:
        raise ImportError(
            f"another package named 'methods' ({', '.join(map(str, folders))}) was imported before this suite's; "
            "rename it, remove its folder from PYTHONPATH, or install cnn-jepa-bench into an environment of its own"
        )


import_methods(Path(__file__).parents[1])
