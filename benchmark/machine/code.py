"""Which code runs here, and how another process runs the same. No torch here."""

from __future__ import annotations

import hashlib
import os
import subprocess
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_WRITTEN = ("docs", "reports", "results")
_PACKAGES = ("cnn-jepa-bench", "torch")


@lru_cache
def commit_here() -> tuple[str | None, bool | None]:
    """The commit of the source tree that this code runs from, and whether files differ from it; None outside of git."""
    if not (_ROOT / ".git").exists():
        return None, None
    commit = output(["git", "-C", str(_ROOT), "rev-parse", "HEAD"])
    status = output(["git", "-C", str(_ROOT), "status", "--porcelain", "--untracked-files=no"])
    return commit, None if status is None else bool(status)


@lru_cache
def code_state() -> str:
    """The commit of the source tree, with a digest of what differs from it; empty outside of git."""
    commit, dirty = commit_here()
    if not dirty:
        return commit or ""
    # Pages and results are no code, and commands write some of them.
    changes = output(["git", "-C", str(_ROOT), "diff", "HEAD", "--", ".", *(f":!{name}" for name in _WRITTEN)])
    if changes == "":
        return commit or ""
    return f"{commit}+{hashlib.blake2b((changes or '').encode(), digest_size=8).hexdigest()}"


def versions_here() -> dict[str, str]:
    """What has to be the same on all machines of an experiment: this package and torch."""
    versions = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


def own_code() -> dict[str, str]:
    """The environment of a process that runs this very code, whatever else is installed or is in the folder."""
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def output(command: list[str]) -> str | None:
    """What a command prints; None where it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
