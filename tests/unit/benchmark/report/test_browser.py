from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmark.records import find_records
from benchmark.report.page import write_report

if TYPE_CHECKING:
    from pathlib import Path

NAME = "<script>document.title = 'taken'</script>"
LEADERBOARD = '[aria-label^="Leaderboard"]'
SHOWN = (
    f"[...document.querySelectorAll('{LEADERBOARD} tbody tr')].filter(r => !r.hidden).map(r => r.cells[0].innerText)"
)


@pytest.fixture(scope="module")
def page(make_record: Any, store: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything in it: seeds, a failure, views, parts of a step, a name that is markup."""
    folder = tmp_path_factory.mktemp("browser")
    config = {"reference": "cnn_jepa", "method": {"encoder": "sparse"}}
    pixels = np.zeros((8, 8, 8, 3), dtype=np.uint8)
    scores = {"cnn_jepa": 42.0, "byol": 44.0, "simclr": 51.0, "vicreg": 50.0, "random_init": 33.0, "supervised": 66.0}
    for entry, top1 in scores.items():
        for seed in range(2):
            record = make_record(
                entry, seed, top1=top1 + seed, seconds=100.0 + top1, config=config, dataset={"name": "shapes"}
            )
            path = store(folder / "results", record)
            np.savez(path.with_name("glimpse.npz"), images=pixels, view_0=pixels)
            path.with_name("breakdown.json").write_text('{"parts": {"forward": 0.01, "backward": 0.02}}')
    store(folder / "results", make_record(NAME, method="byol", message=NAME, config=config, dataset={"name": "shapes"}))
    found, problems = find_records([folder / "results"])
    assert problems == []
    return write_report(found, [], folder / "report")


@pytest.mark.parametrize("dark", [False, True])
def test_opens_from_disk_without_network_or_script_errors(browser: Any, page: Path, dark: bool) -> None:
    browser.open(page, dark=dark)
    assert [url for url in browser.requests if not url.startswith("data:")] == [page.as_uri()]
    assert browser.errors == []
    ground, ink = browser.run(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        ".map(c => c.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0))"
    )
    assert (ground < 200 and ink > 550) if dark else (ground > 700 and ink < 200)


def test_markup_in_names_stays_text(browser: Any, page: Path) -> None:
    browser.open(page)
    assert browser.run("document.title") == "cifar10"
    assert browser.run("document.querySelectorAll('script').length") == 1
    assert NAME in browser.run("document.body.innerText")


@pytest.mark.parametrize("width", [390, 1440])
def test_no_page_is_wider_than_the_window_and_nothing_is_cut_off(browser: Any, page: Path, width: int) -> None:
    browser.open(page, width=width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    # What is wider than the window scrolls inside a frame of its own.
    outside = browser.run(
        "[...document.querySelectorAll('p, h1, h2, h3, h4, li, figure, figcaption, .scroll, .paper, .filter')]"
        ".map(e => [e.getBoundingClientRect(), e.outerHTML.slice(0, 80)])"
        ".filter(([r, text]) => r.width && (r.right > innerWidth + 1 || r.left < 0)).map(([r, text]) => text)"
    )
    assert outside == []
    figures = browser.run(
        "[...document.querySelectorAll('.paper')].map(p => [...p.children].filter(c => c.offsetParent).length)"
    )
    assert figures and set(figures) == {1}  # the wide one or the narrow one
    letters = browser.run(
        "Math.min(...[...document.querySelectorAll('.paper > div')].filter(d => d.offsetParent)"
        ".flatMap(d => [...d.querySelectorAll('svg text')]).map(t => t.getBoundingClientRect().height))"
    )
    assert letters >= 7  # pixels, from top to bottom


def test_tables_sort_by_value_in_both_directions(browser: Any, page: Path) -> None:
    browser.open(page)
    head = f"[...document.querySelectorAll('{LEADERBOARD} th')].find(h => h.innerText.startsWith('Linear'))"
    assert browser.run(SHOWN)[0] == "supervised"
    browser.run(f"{head}.querySelector('button').click()")
    best_first = browser.run(SHOWN)
    assert browser.run(f"{head}.getAttribute('aria-sort')") == "descending"
    assert best_first[:3] == ["supervised", "SimCLR", "VICReg"] and best_first[-1] == "random init"
    browser.run(f"{head}.querySelector('button').click()")
    assert browser.run(SHOWN) == best_first[::-1]
    browser.run(f"document.querySelector('{LEADERBOARD} th button').click()")
    names = browser.run(SHOWN)
    assert names == browser.run(f"{SHOWN}.sort((a, b) => a.localeCompare(b))") and browser.errors == []


def test_tables_filter_by_all_words(browser: Any, page: Path) -> None:
    browser.open(page)
    field = f"document.querySelector('{LEADERBOARD}').previousElementSibling"

    def write(text: str) -> list[str]:
        browser.run(
            f"{{ const i = {field}.querySelector('input'); i.value = {text!r}; i.dispatchEvent(new Event('input')); }}"
        )
        return list(browser.run(SHOWN))

    assert write("BYOL") == ["BYOL"]
    assert browser.run(f"{field}.innerText.trim()") == "1 of 7"
    assert write("clr completed") == ["SimCLR"]
    assert write("clr diverged") == []
    assert write("random INIT") == ["random init"]
    assert len(write("")) == 7 and browser.run(f"{field}.innerText.trim()") == ""
    assert browser.errors == []
