"""CITATION.cff and docs/citing.md name this version, and the paper of each method."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from benchmark import __version__
from methods.registry import own_methods

ROOT = Path(__file__).parents[3]


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited)  # what the format requires
    assert cited["version"] == __version__
    assert cited["license"] == "Apache-2.0"
    (paper,) = cited["references"]
    assert paper["doi"] == "10.1109/ICMLA61862.2024.00169" and len(paper["authors"]) == 2
    page = (ROOT / "docs" / "citing.md").read_text(encoding="utf-8")
    assert f"version = {{{__version__}}}" in page and cited["title"] in page


def test_every_methods_paper_is_the_readmes() -> None:
    page, readme = ((ROOT / name).read_text(encoding="utf-8") for name in ("docs/citing.md", "README.md"))
    papers = dict(re.findall(r"^\| `(\w+)` \|.*arXiv (\d{4}\.\d{5})", page, flags=re.MULTILINE))
    assert set(papers) == set(own_methods()) - {"supervised", "random_init"}
    rows = {line.split("`")[1]: line for line in readme.splitlines() if line.startswith("| `")}
    shown = set(papers) & set(rows)
    assert len(shown) >= 5 and all(papers[method] in rows[method] for method in shown)
