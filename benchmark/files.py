"""Writing files and reading YAML; the messages where that fails."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import yaml

from benchmark.errors import UserError
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from pathlib import Path


NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}
"""What `flock` answers on disks without file locks, such as some network disks."""


def cannot_be_written(path: Path | str, error: OSError, hint: str = "") -> UserError:
    """The error for a file or folder that cannot be written: path, reason and what to do about it."""
    return UserError(f"{path}: cannot be written ({_reason(error)})" + (f"; {hint}" if hint else ""))


@contextmanager
def writing(path: Path | str, hint: str = "") -> Iterator[None]:
    """While writing to `path`: an `OSError` becomes a `UserError` with path, reason and hint."""
    try:
        yield
    except OSError as error:
        raise cannot_be_written(path, error, hint) from None


def check_writable(folder: Path, hint: str = "") -> None:
    """Raises a `UserError` where a folder could not be written, as far as this can be told without writing."""
    with writing(folder, hint):
        nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "")


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """While reading from `path`: an `OSError` becomes a `UserError` with path and reason."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({_reason(error)})") from None


def read_bytes(path: Path) -> bytes:
    """The file's bytes; a `UserError` names a file that cannot be read."""
    with reading(path):
        return path.read_bytes()


def _reason(error: OSError) -> str:
    # Not `strerror`, which some libraries fill with several lines of their own.
    return os.strerror(error.errno) if error.errno else first_line(error)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file so that either the old or the new content is there, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses a key that appears twice: the first value would be lost silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        first: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key, line = self.construct_object(key_node), key_node.start_mark.line + 1
            if key in first:
                where = f"line {line}" if first[key] == line else f"lines {first[key]} and {line}"
                problem = f"the key '{key}' appears twice, in {where}; keep one of them"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            first[key] = line
        return super().construct_mapping(node, deep)


def load_yaml(text: str) -> Any:
    """The value of a YAML text; raises `yaml.YAMLError`, also where a key appears twice in one mapping."""
    return yaml.load(text, _StrictLoader)


def read_yaml(path: Path) -> Any:
    """The value in a YAML file; raises a `UserError` with path and line where it cannot be read."""
    try:
        with reading(path):
            return load_yaml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{where}: {getattr(error, 'problem', None) or 'not YAML'}") from None
