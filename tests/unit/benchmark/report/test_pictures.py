from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.report.pictures import inline_svg

if TYPE_CHECKING:
    from pathlib import Path


def test_inlined_svg_carries_its_files_name_in_ids_and_their_uses(tmp_path: Path) -> None:
    path = tmp_path / "a b.svg"
    path.write_text(
        '<?xml version="1.0"?><!DOCTYPE svg><svg xmlns:xlink="http://x" width="10pt" height="5pt" viewBox="0 0 10 5">'
        '<metadata>m</metadata><path id="p"/><use xlink:href="#p" clip-path="url(#c)"/></svg>',
        encoding="utf-8",
    )
    assert inline_svg(path) == (
        '<svg viewBox="0 0 10 5" role="img"><path id="a-b-p"/><use xlink:href="#a-b-p" clip-path="url(#a-b-c)"/></svg>'
    )
