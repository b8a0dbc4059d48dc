"""The explorer and the cost chart of a report in a browser: values, filters, keys, names for screen readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_glimpses import make_masks, write_glimpses
from made_records import make_record, store

from benchmark.records.folder import find_records
from benchmark.report import section_figures
from benchmark.report.page import write_report

READY = (
    "new Promise(done => { const wait = () => document.querySelector('.explorer:not([hidden])')"
    " ? done(true) : setTimeout(wait, 20); wait(); })"
)
SET = (
    "(e => {{ e.value = {value}; e.dispatchEvent(new Event('{event}', {{ bubbles: true }})); }})"
    "(document.querySelector('{selector}'))"
)
CAPTIONS = (
    "Object.fromEntries([...document.querySelectorAll('.card')]"
    ".map(c => [c.ariaLabel, [...c.querySelectorAll('figcaption')].map(f => f.textContent)]))"
)
STATEMENT = "document.querySelector('.statement').textContent"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A report of a JEPA, of SimCLR on another grid and network, and of a failed run; and what runs kept."""
    folder = tmp_path_factory.mktemp("explorer")
    kept = {}
    scores = {"cnn_jepa": 42.0, "byol": 44.0, "simclr": 41.0, "simclr_vit": 51.0, "random_init": 33.0}
    for entry, top1 in scores.items():
        backbone = "vit_tiny" if entry.endswith("vit") else "resnet18-w16"
        for seed in range(3):
            seconds = {"cnn_jepa": 100.0, "byol": 220.0, "simclr": 150.0}.get(entry, 180.0) + seed
            options: dict[str, Any] = {"top1": top1 + seed, "seconds": seconds, "dataset": {"name": "shapes"}}
            record = make_record(entry, seed, backbone=backbone, method=entry.removesuffix("_vit"), **options)
            path = store(folder / "results", record)
            if seed == 0 and entry in ("cnn_jepa", "simclr_vit"):
                grid = (8, 8) if entry == "simclr_vit" else (4, 4)
                kept[entry] = write_glimpses(path.parent, grid, predicts=entry == "cnn_jepa")
    store(folder / "results", make_record("vicreg", 0, status="failed", measured=False, dataset={"name": "shapes"}))
    found, problems = find_records([folder / "results"])
    assert problems == []
    with pytest.MonkeyPatch.context() as without_figures:
        without_figures.setattr(section_figures, "drawn", lambda *_, **__: [])
        return write_report(found, [], folder / "report"), kept


def choose(browser: Any, selector: str, value: int, event: str = "input") -> None:
    browser.run(SET.format(selector=selector, value=value, event=event))


def number(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-"))


def test_maps_show_what_the_runs_kept(browser: Any, page: tuple[Path, dict[str, Any]]) -> None:
    path, kept = page
    browser.open(path)
    assert browser.run(READY) and browser.errors == []
    assert [url for url in browser.requests if not url.startswith(("data:", "blob:"))] == [path.as_uri()]
    browser.run("document.querySelectorAll('.choices input')[3].click()")
    choose(browser, ".progress input", 1)  # of 0, 50 and 100%
    choose(browser, ".row input", 3)
    choose(browser, ".column input", 6)
    assert browser.run("document.querySelector('.progress input').ariaValueText") == "50%"
    captions = browser.run(CAPTIONS)
    places = {"CNN-JEPA": ("cnn_jepa", (2 // 2) * 4 + 5 // 2), "SimCLR (ViT)": ("simclr_vit", 2 * 8 + 5)}
    for name, (entry, cell) in places.items():
        row = np.delete(kept[entry][50]["similarity"][3, cell], cell) / 127
        words = captions[name][0].replace("mean ", "").split(": ")[1].replace(" to ", ", ").split(", ")
        assert [number(word) for word in words] == pytest.approx([row.mean(), row.min(), row.max()], abs=0.009)
    predicted = kept["cnn_jepa"][50]["predicted_cosine"][3].astype(float)
    here, mean = captions["CNN-JEPA"][1].split(": ")[1].split(" here, mean ")
    assert number(here) == pytest.approx(predicted[1, 2], abs=0.009)
    assert number(mean) == pytest.approx(np.nanmean(predicted), abs=0.009)
    # The colour of a cell is that of its value.
    pixel = browser.run(
        "[...document.querySelectorAll('.card')].find(c => c.ariaLabel === 'SimCLR (ViT)').querySelector('canvas')"
        ".getContext('2d').getImageData(15, 225, 1, 1).data.slice(0, 3)"
    )
    value = kept["simclr_vit"][50]["similarity"][3, 21, 7 * 8] / 127
    end = np.array([33, 102, 172] if value < 0 else [178, 24, 43])
    assert list(pixel.values()) == pytest.approx(247 + (end - 247) * abs(value), abs=1.01)
    neighbours = browser.run(
        "[...document.querySelectorAll('.near')].map(l => [...l.children].map(i => i.textContent))"
    )
    cosines = {tuple(number(text.split()[0]) for text in row) for row in neighbours}
    assert cosines == {tuple(np.round(kept[e][50]["neighbour_similarity"][3] / 127, 2)) for e in kept}
    assert "50% of the budget, cell in row 3, column 6" in browser.run(
        "document.querySelector('.explorer .status').textContent"
    )


def test_masks_are_redrawn_from_the_samplers_draws(browser: Any, page: tuple[Path, dict[str, Any]]) -> None:
    browser.open(page[0])
    browser.run(READY)
    text = "document.querySelector('.mask-text').textContent"
    assert "8 visible, 8 to predict (50%) in 2 blocks" in browser.run(text)  # the run's own
    draws = make_masks()["mask_draws"]
    for share, blocks in ((0, 0), (1, 1), (2, 0)):
        choose(browser, ".share input", share)
        choose(browser, ".blocks input", blocks)
        hidden = int((draws[share, blocks, 0] > 1).sum())
        words = browser.run(text)
        assert f"{16 - hidden} visible, {hidden} to predict" in words and f"in {blocks + 1} block" in words
    assert browser.run("document.querySelector('.draw select').value") == "1"
    choose(browser, ".blocks input", 1)
    assert "no such mask can be drawn on 4 x 4 cells" in browser.run(text)
    choose(browser, ".draw select", 0, "change")
    assert "8 to predict (50%)" in browser.run(text) and browser.errors == []


def test_a_pointer_chooses_cells_a_click_keeps_one_and_escape_lets_go(
    browser: Any, page: tuple[Path, dict[str, Any]]
) -> None:
    browser.open(page[0])
    browser.run(READY)

    def point(kind: str, x: float, y: float) -> str:
        browser.run(
            "(c => { const b = c.getBoundingClientRect(); c.dispatchEvent(new PointerEvent("
            f"'{kind}', {{ clientX: b.left + {x} * b.width, clientY: b.top + {y} * b.height, bubbles: true }})); }})"
            "(document.querySelector('.picture'))"
        )
        return str(browser.run("['row', 'column'].map(n => document.querySelector(`.${n} input`).value).join()"))

    assert point("pointermove", 0.01, 0.99) == "8,1"
    assert point("click", 0.99, 0.01) == "1,8"
    assert point("pointermove", 0.5, 0.5) == "1,8"  # kept
    browser.run(
        "document.querySelector('.row input')"
        ".dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true }))"
    )
    assert point("pointermove", 0.51, 0.51) == "5,5"


def test_the_charts_points_and_the_tables_rows_highlight_each_other(
    browser: Any, page: tuple[Path, dict[str, Any]]
) -> None:
    browser.open(page[0])
    labels = browser.run("[...document.querySelectorAll('.cost-chart a')].map(a => a.getAttribute('aria-label'))")
    assert [label.split(":")[0] for label in labels] == ["CNN-JEPA", "SimCLR", "SimCLR (ViT)", "BYOL"]  # by cost
    assert "43.0 ± 2.5%, 95% interval over seeds; n = 3; 1.68 ± 0.0414 minutes" in labels[0]
    browser.run("document.querySelector('.cost-chart a').dispatchEvent(new FocusEvent('focus'))")
    lit = "[...document.querySelectorAll('tr.lit')].map(r => r.cells[0].innerText)"
    assert "CNN-JEPA" in browser.run(lit)[0] and labels[0] == browser.run(
        "document.querySelector('.point').textContent"
    )
    browser.run("document.querySelector('.cost-chart a').dispatchEvent(new FocusEvent('blur'))")
    assert browser.run(lit) == []
    row = "[...document.querySelectorAll('[aria-label^=Leaderboard] tbody tr')].find(r => r.innerText.includes('BYOL'))"
    browser.run(f"{row}.dispatchEvent(new PointerEvent('pointerenter'))")
    assert browser.run("[...document.querySelectorAll('.cost-chart a.lit')].map(a => a.ariaLabel.slice(0, 4))") == [
        "BYOL"
    ]
    target = browser.run("document.querySelector('.cost-chart a').getAttribute('href').slice(1)")
    assert browser.run(f"document.getElementById('{target}').cells[0].innerText") == "CNN-JEPA"


def test_axes_and_filters_change_the_chart_and_nothing_hidden_is_left_unsaid(
    browser: Any, page: tuple[Path, dict[str, Any]]
) -> None:
    browser.open(page[0])
    words = browser.run(STATEMENT)
    assert "4 of 4 trained rows are shown." in words and "Without a result: VICReg (failed)." in words
    assert "The highest mean of all self-supervised rows is that of SimCLR (ViT), 52.0" in words
    assert "Pareto front, CNN: CNN-JEPA and BYOL." in words and "Pareto front, ViT: SimCLR (ViT)." in words
    vit = "[...document.querySelectorAll('.chart-controls input')].at(-1)"
    browser.run(f"{vit}.click()")
    words = browser.run(STATEMENT)
    assert "3 of 4 trained rows are shown. Filtered out: SimCLR (ViT)." in words
    assert "is that of SimCLR (ViT), 52.0 ± 2.5% (filtered out)" in words
    assert browser.run("document.querySelectorAll('.cost-chart a').length") == 3
    before = browser.run("document.querySelector('.cost-chart .ring').getAttribute('cx')")
    axes = browser.run("[...document.querySelector('.axis-of select').options].map(o => o.text)")
    assert axes == ["Own clock: training time", "Own clock: device-hours", "Images seen in training"]
    choose(browser, ".axis-of select", 2, "change")
    assert browser.run("document.querySelector('.cost-chart .ring').getAttribute('cx')") != before
    assert "180,000 images" in browser.run("document.querySelector('.cost-chart a').ariaLabel")
    assert "Pareto front, CNN: BYOL." in browser.run(STATEMENT) and browser.errors == []  # all at one cost


@pytest.mark.parametrize("width", [390, 1024])
def test_controls_have_names_and_nothing_is_wider_than_the_window(
    browser: Any, page: tuple[Path, dict[str, Any]], width: int
) -> None:
    browser.open(page[0], width=width, dark=width == 390)
    browser.run(READY)
    assert browser.run("document.documentElement.scrollWidth") <= width
    outside = browser.run(
        "[...document.querySelectorAll('.explorer *, .cost-chart *')].filter(e => e.getBoundingClientRect().right"
        " > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert outside == []
    unnamed = browser.run(
        "[...document.querySelectorAll('.explorer :is(input, select, [role=img])'),"
        " ...document.querySelectorAll('.cost-chart :is(input, select, a, svg)')]"
        ".filter(e => !(e.getAttribute('aria-label') || e.closest('label')?.innerText.trim())).map(e => e.outerHTML)"
    )
    assert unnamed == []
    hidden = browser.run("[...document.querySelectorAll('.cost-chart a')].filter(a => a.tabIndex < 0).length")
    assert hidden == 0


def test_the_page_stays_small_beside_its_pictures(page: tuple[Path, dict[str, Any]]) -> None:
    templates = Path(write_report.__code__.co_filename).parent / "templates"
    code = sum(path.stat().st_size for path in (*templates.glob("explorer.*"), *templates.glob("cost_chart.*")))
    from benchmark.report.explorer import LIMIT

    assert code + LIMIT < 300_000
