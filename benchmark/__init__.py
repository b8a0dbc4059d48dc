"""The shared harness: everything that is the same for every method."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("cnn-jepa-bench")
except PackageNotFoundError:  # pragma: no cover - a source tree that was never installed
    __version__ = "0+unknown"
