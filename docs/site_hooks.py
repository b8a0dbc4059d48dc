"""Makes the site's pages from the repository's Markdown: README is its front page, and links stay inside the site.

MkDocs calls the functions by their names (`hooks` in mkdocs.yml). Pages link to files of the repository, as on a code
host. In the site, those that are no pages are copied if they are figures, tables or configurations; links to anything
else (folders, code, the reports' Markdown) become their text.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {"README.md": "index.md", "RULES.md": "RULES.md", "CHANGELOG.md": "CHANGELOG.md"}
COPIED = {".svg", ".png", ".csv", ".yaml", ".cff"}
_FETCHED = "https://unpkg.com/iframe-worker/shim"
_LINK = re.compile(r"(!?)\[([^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]\(([^()\s]+)\)")
_CODE = re.compile(r"(^ *```.*?^ *```|`[^`\n]+`)", re.M | re.S)


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages outside docs/, the notebooks as pages, and the files that pages link to."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    for notebook in sorted((DOCS / "notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=markdown_of(notebook)))
    for path in sorted(linked_files(files)):
        files.append(File.generated(config, f"repository/{path.relative_to(ROOT).as_posix()}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turns links to files of the repository into links inside the site."""
    del config, files
    return _outside_code(markdown, lambda text: _LINK.sub(lambda link: _rewritten(link, page.file.src_uri), text))


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Lets a page load our stand-in for workers instead of the one that the theme would fetch."""
    del config
    return output.replace(_FETCHED, get_relative_url("frame-worker.js", page.url))


def on_post_template(output_content: str, template_name: str, config: Any) -> str:
    """The same for pages that are not made from Markdown, such as 404.html."""
    del template_name, config
    return output_content.replace(_FETCHED, "frame-worker.js")


def markdown_of(notebook: Path) -> str:
    """A notebook as a page: its text, its code, and what it printed."""
    parts = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        printed = "".join("".join(output.get("text", ())) for output in cell["outputs"])
        parts += [f"```text\n{printed.rstrip()}\n```"] if printed.strip() else []
    return "\n\n".join(parts) + "\n"


def linked_files(files: Any) -> set[Path]:
    """The files outside docs/ that pages link to and that are copied."""
    linked = set()
    for file in files.documentation_pages():
        prose = _CODE.sub("", file.content_string)
        targets = (_target(link[2], file.src_uri) for link in _LINK.findall(prose))
        linked |= {path for path in targets if path is not None and _is_copied(path)}
    return linked


def _is_copied(path: Path) -> bool:
    return path.is_file() and path.suffix in COPIED and not path.is_relative_to(DOCS)


def _target(link: str, page: str) -> Path | None:
    """The file or folder of the repository that a page's link leads to; None for other links."""
    if re.match(r"[a-z]+:|#", link):
        return None
    folder = ROOT if page in PAGES.values() else (DOCS / page).parent
    return Path(os.path.normpath(folder / link.partition("#")[0]))


def _rewritten(link: re.Match[str], page: str) -> str:
    mark, text, address = link.groups()
    target = _target(address, page)
    if target is None:
        return link[0]
    anchor = "#" + address.partition("#")[2] if "#" in address else ""
    place = _place(target)
    if place is None:
        return text
    start = Path(page).parent.as_posix()
    return f"{mark}[{text}]({Path(os.path.relpath(place, start)).as_posix()}{anchor})"


def _place(target: Path) -> str | None:
    """The place of a file in the site; None if it has none."""
    inside = target.relative_to(ROOT).as_posix() if target.is_relative_to(ROOT) else ""
    if inside in PAGES:
        return PAGES[inside]
    if target.is_relative_to(DOCS):
        place = target.relative_to(DOCS)
        return place.with_suffix(".md").as_posix() if place.suffix == ".ipynb" else place.as_posix()
    return f"repository/{inside}" if _is_copied(target) else None


def _outside_code(markdown: str, change: Any) -> str:
    """The text with all but its code changed."""
    return "".join(part if number % 2 else change(part) for number, part in enumerate(_CODE.split(markdown)))
