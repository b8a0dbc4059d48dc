"""Parses a report's page for tests."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from benchmark.records.folder import find_records
from benchmark.report.page import write_report

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects ids, links, sources and text; refuses tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.groups: list[str] = []
        self.sources: list[str] = []
        self.scripts = 0
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.scripts += tag == "script"
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.sources += [value for name, value in attrs if name in ("src", "srcset") and value]
        self.groups += [value for name, value in attrs if name == "data-group" and value]
        if tag == "a":
            self.links.append(values.get("href") or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words += data


def report(store: Any, folder: Path, records: list[Any], problems: tuple[str, ...] = ()) -> tuple[Page, str]:
    """Stores records and writes `<folder>/report`; returns the page, which loads nothing, and its Markdown."""
    for record in records:
        store(folder / "results", record)
    stored, unreadable = find_records([folder / "results"])
    assert unreadable == []
    page = write_report(stored, list(problems), folder / "report")
    text = page.read_text(encoding="utf-8")
    assert page == folder / "report" / "index.html"
    assert (
        re.findall(r'(?:src|href|action)="(?:https?:)?//', text) == []
        and "@import" not in text
        and "url(http" not in text
    )
    return Page(text), (folder / "report" / "report.md").read_text(encoding="utf-8")
