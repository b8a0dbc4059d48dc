"""The results of a stage: a small JSON file, written whole after every measurement."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1
ENDINGS = ("done", "unfinished", "failed", "missing packages", "skipped")


class Results:
    """One stage's file.

    Attributes:
        path: of the file.
        data: what it holds: `stage`, `status` (one of `ENDINGS`, or `running`), `reason`, `seconds` over all stays,
            `stays`, `identity` (what was measured on what), and `rows`.
    """

    def __init__(self, path: Path, stage: str, identity: dict[str, Any]) -> None:
        self.path = path
        earlier = read(path)
        same = earlier is not None and _deciding(earlier["identity"]) == _deciding(identity)
        self.data: dict[str, Any] = {
            "schema": SCHEMA,
            "stage": stage,
            "status": "",
            "reason": "",
            "started": _now(),
            "seconds": 0.0,
            "stays": 0,
            "identity": identity,
            "rows": [],
        }
        if earlier is not None and same:
            self.data = earlier

    @property
    def status(self) -> str:
        """How the last stay ended; empty before the first."""
        return str(self.data["status"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The measurements, in the order in which they were made."""
        rows: list[dict[str, Any]] = self.data["rows"]
        return rows

    def has(self, name: str) -> bool:
        """Whether there is a measurement of this name, or the reason why there is none."""
        return any(row["name"] == name for row in self.rows)

    def add(self, name: str, value: float | None, unit: str = "", detail: str = "", **more: Any) -> None:
        """Adds a measurement, in the place of one of the same name, and writes the file.

        Args:
            value: None where it could not be measured; `detail` then says why.
            more: further values, for tables of their own.
        """
        row = {"name": name, "value": value, "unit": unit, "detail": detail, **more}
        names = [other["name"] for other in self.rows]
        if name in names:
            self.rows[names.index(name)] = row
        else:
            self.rows.append(row)
        self.write()

    def begin(self) -> None:
        """Counts a stay."""
        self.data.update(status="running", reason="", stays=self.data["stays"] + 1)
        self.write()

    def end(self, status: str, reason: str = "", seconds: float = 0.0) -> None:
        """Says how a stay ended, and how long it took."""
        assert status in ENDINGS, status
        self.data.update(status=status, reason=reason, ended=_now(), seconds=self.data["seconds"] + seconds)
        self.write()

    def write(self) -> None:
        """Writes the file: either the old content is there or the new, never a part."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".part")
        temporary.write_text(json.dumps(self.data, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.path)


def _deciding(identity: dict[str, Any]) -> dict[str, Any]:
    """What decides whether two measurements are one: the code, whatever it was committed as, and the kind of card."""
    return {name: value for name, value in identity.items() if name not in ("commit", "changed", "driver")}


def read(path: Path) -> dict[str, Any] | None:
    """A file's content; None where there is none, or it is not one of this version."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) and data.get("schema") == SCHEMA else None


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
