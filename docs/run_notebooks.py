"""Executes the notebooks of docs/notebooks, and keeps what their cells print.

Usage: python docs/run_notebooks.py

A cell is Python; its lines that begin with `!bench` are commands, and `%pip install FOLDER` makes a package of the
folder known, as a notebook server does it. Everything runs in this process, in a folder of its own.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmark.machine.locks import FOLDER_VARIABLE

NOTEBOOKS = Path(__file__).parent / "notebooks"
_GROUP = re.compile(r'\[project\.entry-points\."([\w.]+)"\]\n((?:[\w-]+ = "[^"]+"\n)+)')


def main() -> None:
    """Executes all notebooks and writes what they printed."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            os.environ[FOLDER_VARIABLE] = folder  # locks of its own: nothing here needs a quiet machine
            printed = iter(run(path, Path(folder)))
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                text = next(printed)
                cell["outputs"] = (
                    [{"name": "stdout", "output_type": "stream", "text": text.splitlines(True)}] if text else []
                )
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def run(notebook: Path, folder: Path) -> list[str]:
    """What each code cell of a notebook prints, executed in a folder.

    Raises:
        Exception: whatever a cell raises; a command that fails raises SystemExit.
    """
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {"_bench": _bench, "_install": _install}
    printed = []
    with contextlib.chdir(folder) if sys.version_info >= (3, 11) else _chdir(folder):
        for cell in cells:
            if cell["cell_type"] == "code":
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    exec(compile(_python("".join(cell["source"])), notebook.name, "exec"), names)
                printed.append(out.getvalue())
    return printed


def _python(source: str) -> str:
    """A cell's source with its commands as calls."""
    source = re.sub(r"^!bench (.*)$", lambda line: f"_bench({line[1]!r})", source, flags=re.M)
    return re.sub(r"^%pip install (\S+)$", lambda line: f"_install({line[1]!r})", source, flags=re.M)


def _bench(command: str) -> None:
    from benchmark.cli import main as cli

    before, sys.argv = sys.argv, ["bench", *shlex.split(command)]
    try:
        cli.main()
    except SystemExit as stop:
        if stop.code:
            raise
    finally:
        sys.argv = before


def _install(folder: str) -> None:
    """Makes a package's modules importable, and its entry points known."""
    text = (Path(folder) / "pyproject.toml").read_text(encoding="utf-8")
    site = Path(f"site-{Path(folder).name}").resolve()
    metadata = site / f"{Path(folder).name}-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {Path(folder).name}\nVersion: 0.1.0\n")
    groups = [f"[{group}]\n{points}".replace('"', "") for group, points in _GROUP.findall(text)]
    (metadata / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
    for module in Path(folder).glob("*.py"):
        (site / module.name).write_text(module.read_text(encoding="utf-8"), encoding="utf-8")
    sys.path.append(str(site))


@contextlib.contextmanager
def _chdir(folder: Path) -> Any:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


if __name__ == "__main__":
    main()
