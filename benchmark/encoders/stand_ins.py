"""Stand-ins for the classes that a checkpoint's settings refer to, so that weights are read without importing them."""

from __future__ import annotations

import pickletools
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from torch.serialization import safe_globals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

# What settings have no reason to refer to: a file that does is refused. `os` and `sys` are, by torch.
_REFUSED_MODULES = frozenset({"importlib", "runpy", "shutil", "socket", "subprocess", "webbrowser"})
_REFUSED = frozenset(f"builtins.{name}" for name in ("eval", "exec", "compile", "__import__", "open"))
# A legacy file is a row of pickles: magic number, protocol, system, content, keys of storages; then the storages.
_LEGACY_PICKLES = 5


class _LikeDict(type):
    """Makes a class equal to `dict`, the only type for which torch's restricted unpickler sets items."""

    def __eq__(cls, other: object) -> bool:
        return other is dict or other is cls

    def __hash__(cls) -> int:
        return type.__hash__(cls)


class Unread(list[Any], metaclass=_LikeDict):
    """Replaces an object that is not read: takes any arguments, items and state, and keeps none."""

    def __new__(cls, *_: Any) -> Unread:  # noqa: D102
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, *_: Any) -> None: ...

    def append(self, _: Any) -> None:
        """Keeps nothing."""

    def extend(self, _: Any) -> None:
        """Keeps nothing."""


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """Replaces a defaultdict, which OmegaConf uses; its factory is not kept."""
    return {}


@contextmanager
def stand_ins(path: Path) -> Iterator[None]:
    """While it is open, `torch.load(path, weights_only=True)` replaces every class that torch does not know.

    Nothing is imported and nothing of the file is called: each name that the file refers to, found without unpickling
    it, stands for `Unread`. What torch knows (tensors, storages, OrderedDict) stays its own. Names that only an attack
    needs (`os.system`, `eval`) have no stand-in, so that torch refuses the file.
    """
    names = [name for name in _globals(path) - _REFUSED if name.split(".")[0] not in _REFUSED_MODULES]
    with safe_globals(
        [
            (_plain_dict, "collections.defaultdict"),
            *((Unread, name) for name in names if name != "collections.defaultdict"),
        ]
    ):
        yield


def _globals(path: Path) -> set[str]:
    """The names of classes and functions in a checkpoint's pickles."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return _names(file, _LEGACY_PICKLES)
    with zipfile.ZipFile(path) as archive:
        content = next(name for name in archive.namelist() if name.rsplit("/", 1)[-1] == "data.pkl")
        with archive.open(content) as file:
            return _names(file, 1)


def _names(file: IO[bytes], pickles: int) -> set[str]:
    found: set[str] = set()
    try:
        for _ in range(pickles):
            for code, argument, _ in pickletools.genops(file):
                if code.name == "GLOBAL":
                    module, _, name = str(argument).partition(" ")
                    # Pickles of protocol 2 keep names of Python 2.
                    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
                    found.add(f"{module}.{name}")
    except (ValueError, EOFError, UnpicklingError):
        pass  # not a pickle, or a damaged one: `torch.load` refuses it
    return found
