"""`make docs` builds a site without the network; pages load nothing from elsewhere, and links lead somewhere."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
LOADED = re.compile(r'<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)="((?:https?:)?//[^"]+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("material", "mkdocstrings_handlers.python"):
        pytest.importorskip(package)
    from mkdocs.commands.build import build
    from mkdocs.config import load_config
    from mkdocs.utils import CountHandler

    # As `mkdocs build --strict`: a link or an anchor that leads nowhere, or a page that is in no menu, is a warning.
    out = tmp_path_factory.mktemp("site")
    counter = CountHandler()
    counter.setLevel(logging.WARNING)
    logging.getLogger("mkdocs").addHandler(counter)
    try:
        config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(out), strict=True)
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
    finally:
        logging.getLogger("mkdocs").removeHandler(counter)
    assert counter.get_counts() == []
    return out


@pytest.mark.slow
def test_every_page_is_built_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    ours = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    notebooks = {f"notebooks/{path.stem}" for path in (ROOT / "docs" / "notebooks").glob("*.ipynb")}
    assert len(notebooks) == 2 and ours | notebooks | {"index", "RULES", "CHANGELOG"} <= pages
    loaded = {url for path in site.rglob("*.html") for url in LOADED.findall(path.read_text(encoding="utf-8"))}
    assert loaded == set()


@pytest.mark.slow
def test_the_reference_is_made_from_docstrings_and_files_outside_docs_are_copied(site: Path) -> None:
    library = (site / "api" / "cnn_jepa.html").read_text(encoding="utf-8")
    assert 'id="cnn_jepa.SparseEncoder"' in library and 'id="cnn_jepa.sample_masks"' in library
    assert 'id="methods.base.Method.loss"' in (site / "api" / "contract.html").read_text(encoding="utf-8")
    home = (site / "index.html").read_text(encoding="utf-8")
    figure = "repository/reports/quickstart/figures/seen-cnn_jepa.png"
    assert f'src="{figure}"' in home and (site / figure).is_file()
    assert 'href="RULES.html"' in home and "results/reference)" not in home


def test_the_menu_has_the_four_kinds_of_pages() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    parts = [next(iter(part)) for part in yaml.safe_load(text)["nav"]]
    assert parts == ["Home", "Tutorials", "How to", "Reference", "Explanation", "Gallery"]
