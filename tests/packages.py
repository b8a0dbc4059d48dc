"""Installs a made-up package with entry points, as an installer would."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def install_package(site: Path, package: str, group: str, points: str, code: str) -> None:
    """Writes the package's module (named after it), its metadata (version 1.2) and its entry points."""
    (site / f"{package}.py").write_text(code)
    folder = site / f"{package}-1.2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (folder / "entry_points.txt").write_text(f"[{group}]\n{points}\n")
