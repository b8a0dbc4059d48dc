"""Records that a bug made wrong: named with the fix, and from then on struck out wherever they stand (rule 25)."""

from __future__ import annotations

from datetime import date, datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

if TYPE_CHECKING:
    from benchmark.records.schema import Record

_FILE = Path(__file__).with_name("invalidations.yaml")


class Invalidation(BaseModel):
    """One bug: what it did, until when, and the keys of the records that it made wrong, by 8 digits or more.

    A key says what was configured, not which code ran, so that a run repeated with the fix has the same one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Annotated[str, Field(min_length=1)]
    until: date
    records: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{8,}$")], ...]


@lru_cache
def known_invalidations() -> tuple[Invalidation, ...]:
    """All of this version."""
    return read_invalidations(_FILE)


def read_invalidations(path: Path) -> tuple[Invalidation, ...]:
    """The bugs that a file names.

    Raises:
        pydantic.ValidationError: it is no list of reasons with records' keys.
    """
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    return TypeAdapter(tuple[Invalidation, ...]).validate_python(data)


def why_invalid(record: Record) -> str | None:
    """What is wrong with a record; None if nothing is known to be."""
    for invalidation in known_invalidations():
        named = any(record.key.startswith(start) for start in invalidation.records)
        if named and _day(record.ended) <= invalidation.until:
            return invalidation.reason
    return None


def _day(moment: str) -> date:
    return datetime.fromisoformat(moment).astimezone(timezone.utc).date()
