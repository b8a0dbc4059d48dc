"""A report in a browser: opens from disk, sorts, filters, links, and stays inside the window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_records import make_record, store
from studies import make_front_study, make_study

from benchmark.files.disk import write_atomically
from benchmark.records.folder import find_records
from benchmark.records.study import find_studies
from benchmark.report.page import write_report

NAME = "<script>document.title = 'taken'</script>"
LEADERBOARD = '[aria-label^="Leaderboard"]'
SHOWN = (
    f"[...document.querySelectorAll('{LEADERBOARD} tbody tr')].filter(r => !r.hidden).map(r => r.cells[0].innerText)"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything in it: seeds, a failure, views, parts of a step, studies, a name that is markup."""
    folder = tmp_path_factory.mktemp("browser")
    config = {"reference": "cnn_jepa", "method": {"encoder": "sparse"}}
    pixels = np.zeros((8, 8, 8, 3), dtype=np.uint8)
    scores = {"cnn_jepa": 42.0, "byol": 44.0, "simclr": 51.0, "vicreg": 50.0, "random_init": 33.0, "supervised": 66.0}
    for entry, top1 in scores.items():
        for seed in range(3):
            record = make_record(
                entry,
                seed,
                top1=top1 + seed * (1 + top1 / 100),
                seconds=100.0 + top1,
                config=config,
                dataset={"name": "shapes"},
            )
            path = store(folder / "results", record)
            np.savez(path.with_name("glimpse.npz"), images=pixels, view_0=pixels)
            path.with_name("breakdown.json").write_text('{"parts": {"forward": 0.01, "backward": 0.02}}')
    store(folder / "results", make_record(NAME, method="byol", message=NAME, config=config, dataset={"name": "shapes"}))
    found, problems = find_records([folder / "results"])
    assert problems == []
    for study in (make_study(description=NAME), make_front_study()):
        write_atomically(folder / "results" / study.name / "study.json", study.model_dump_json())
    studies, problems = find_studies([folder / "results"])
    assert problems == [] and len(studies) == 2
    return write_report(found, [], folder / "report", studies=studies)


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
    assert browser.run("document.title") == "cifar10, depth and front"
    assert browser.run("document.querySelectorAll('script').length") == 1
    assert NAME in browser.run("document.body.innerText")


@pytest.mark.parametrize("width", [390, 1440])
def test_no_page_is_wider_than_the_window_and_nothing_is_cut_off(browser: Any, page: Path, width: int) -> None:
    browser.open(page, width=width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    # What is wider than the window scrolls inside a frame of its own.
    outside = browser.run(
        "[...document.querySelectorAll('main p, h1, h2, h3, h4, main li, figure, figcaption, .scroll, nav.bar')]"
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


FILTER = "document.querySelector('nav.bar input')"
COUNT = "document.querySelector('nav.bar [role=status]').innerText"


def write(browser: Any, text: str) -> list[str]:
    """Writes into the page's filter; the leaderboard's rows that are left."""
    browser.run(f"{{ const i = {FILTER}; i.value = {text!r}; i.dispatchEvent(new Event('input')); }}")
    return list(browser.run(SHOWN))


def test_one_filter_shows_rows_with_all_words_and_says_how_many_are_hidden(browser: Any, page: Path) -> None:
    browser.open(page)
    every = browser.run("document.querySelectorAll('thead + tbody tr').length")
    assert write(browser, "BYOL") == ["BYOL"]
    left = browser.run("[...document.querySelectorAll('thead + tbody tr')].filter(r => !r.hidden).length")
    assert 1 < left < every  # rows of other tables, too
    assert browser.run(COUNT) == f"{left} of {every} rows shown; sentences and figures are of all"
    assert write(browser, "clr sampling") == [] and write(browser, "clr") == ["SimCLR"]
    assert write(browser, "random INIT") == ["random init"]
    assert len(write(browser, "")) == 7 and browser.run(COUNT) == ""
    assert browser.errors == []


def test_the_leaderboard_fits_and_its_details_open(browser: Any, page: Path) -> None:
    browser.open(page)
    inside, width = browser.run(f"(s => [s.scrollWidth, s.clientWidth])(document.querySelector('{LEADERBOARD}'))")
    assert inside == width <= 1140
    widths = browser.run(
        "[...document.querySelectorAll('.answer, .answers, .paper, .scroll')]"
        ".map(e => Math.round(e.getBoundingClientRect().width))"
    )
    assert len(set(widths)) == 1  # text, figures and tables
    row = f"[...document.querySelectorAll('{LEADERBOARD} tbody tr')].find(r => r.innerText.includes('script'))"
    assert browser.run(f"[...{row}.querySelectorAll('.badge')].map(b => b.innerText)")[0] == "preliminary"
    browser.run(f"{row}.querySelector('summary').click()")
    opened = browser.run(f"{row}.querySelector('dl').innerText")
    assert "preliminary" in opened and "fewer than 3 completed seeds" in opened and "Backbone" in opened


def test_captions_have_at_most_two_lines(browser: Any, page: Path) -> None:
    browser.open(page)
    lines = browser.run(
        "[...document.querySelectorAll('figcaption > p:first-child')]"
        ".map(p => p.getBoundingClientRect().height / parseFloat(getComputedStyle(p).lineHeight))"
    )
    assert len(lines) > 8 and max(lines) < 2.5


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_accessible(browser: Any, page: Path, dark: bool) -> None:
    axe = pytest.importorskip("axe_core_python")
    browser.open(page, dark=dark)
    browser.run(Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8") + "; 0")
    found = browser.run(
        "axe.run({exclude: [['.paper']]}, {resultTypes: ['violations']})"
        ".then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 120))]))"
    )
    assert found == []
    # Charts are one picture each, with words of their own; what is inside is not read out.
    pictures = (
        "[...document.querySelectorAll('.paper svg')].map(s => [s.getAttribute('role'), s.getAttribute('aria-label')])"
    )
    assert all(role == "img" and len(label) > 20 for role, label in browser.run(pictures))


def test_the_dark_page_has_no_white_boxes(browser: Any, page: Path) -> None:
    browser.open(page, dark=True)
    grounds = browser.run("[...document.querySelectorAll('.paper')].map(p => getComputedStyle(p).backgroundColor)")
    assert set(grounds) == {"rgba(0, 0, 0, 0)"}
    photographs = "[...document.querySelectorAll('.images svg')]"
    assert browser.run(f"{photographs}.length") > 0
    assert set(browser.run(f"{photographs}.map(s => getComputedStyle(s).filter)")) == {"none"}  # colours as they are
    fills = browser.run(
        f"{photographs}.flatMap(s => [...s.querySelectorAll('[id$=patch_1] path')]).map(p => getComputedStyle(p).fill)"
    )
    assert set(fills) == {"none"}


def test_an_entry_leads_to_its_runs_and_marks_them_even_behind_a_filter(browser: Any, page: Path) -> None:
    browser.open(page)
    write(browser, "nowhere")
    assert browser.run("[...document.querySelectorAll('tr[data-group]')].every(r => r.hidden)")
    link = f"[...document.querySelectorAll('{LEADERBOARD} a.within')].find(a => a.innerText === 'BYOL')"
    browser.run(
        f"new Promise(done => {{ addEventListener('hashchange', () => setTimeout(done, 50)); {link}.click(); }})"
    )
    shown = "[...document.querySelectorAll('tr[data-group]')].filter(r => !r.hidden)"
    assert browser.run(f"{shown}.map(r => r.cells[0].innerText)") == ["BYOL"] * 3
    assert browser.run(f"{shown}.every(r => r.classList.contains('marked'))")
    top, bottom = browser.run("(r => [r.top, r.bottom])(document.querySelector('tr.marked').getBoundingClientRect())")
    assert 0 <= top < bottom <= 900
    assert {url.split("#")[0] for url in browser.requests if not url.startswith("data:")} == {page.as_uri()}
    assert browser.errors == []


def test_a_studys_trials_sort_and_its_tables_stay_inside_a_phone(browser: Any, page: Path) -> None:
    browser.open(page, width=390)
    assert browser.run("document.documentElement.scrollWidth") <= 390
    assert browser.run("document.body.scrollWidth") <= 390
    trials = "#study1 [aria-label^=Trials]"
    column = f"[...document.querySelectorAll('{trials} th')].findIndex(h => h.innerText.startsWith('Linear'))"
    values = f"[...document.querySelectorAll('{trials} tbody tr')].map(r => r.cells[{column}].innerText)"
    head = f"document.querySelectorAll('{trials} th')[{column}].querySelector('button')"
    browser.run(f"{head}.click()")
    falling = [float(text) for text in browser.run(values) if text]
    assert len(falling) == 8 and falling == sorted(falling, reverse=True)
    browser.run(f"{head}.click()")
    assert [float(text) for text in browser.run(values) if text] == falling[::-1]
    assert browser.run(values)[-1] == ""  # the one that was given up, either way round
    links = f"[...document.querySelectorAll('{trials} tbody tr')].map(r => r.querySelectorAll('a').length)"
    assert sorted(browser.run(links)) == [1, 3, 3, 3, 3, 3, 3, 3, 3]
    captions = browser.run("[...document.querySelectorAll('#study2 figcaption')].map(f => f.textContent)")
    assert captions[0].startswith("Accuracy and cost, CNN-JEPA.")
    assert browser.errors == []


def test_small_figures_are_not_blown_up(browser: Any, page: Path) -> None:
    browser.open(page)
    # Pixels on the screen for a point of the figure: the same in all of them, so that their letters are of one size.
    scales = browser.run(
        "[...document.querySelectorAll('.wide svg')]"
        ".map(s => s.getBoundingClientRect().width / s.viewBox.baseVal.width)"
    )
    assert len(scales) > 8 and max(scales) / min(scales) < 1.05
    widths = browser.run("[...document.querySelectorAll('.wide svg')].map(s => s.getBoundingClientRect().width)")
    assert min(widths) < 400 and 900 < max(widths) < 960
