"""Records that a bug made invalid: listed with the fix, and struck out in every table from then on (rule 25)."""

from __future__ import annotations

from datetime import date, datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from benchmark.files.disk import read_yaml

if TYPE_CHECKING:
    from benchmark.records.schema import Record

_FILE = Path(__file__).with_name("invalidations.yaml")


class Invalidation(BaseModel):
    """One bug: what it did, until when, and the keys (8 digits or more) of the records that it made invalid.

    The day is needed because a run repeated with the fix has the same key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Annotated[str, Field(min_length=1)]
    until: date
    records: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{8,}$")], ...]


@lru_cache
def known_invalidations(path: Path = _FILE) -> tuple[Invalidation, ...]:
    """The bugs in a file, by default all of this version.

    Raises:
        UserError: the file cannot be read, or a key appears twice.
        pydantic.ValidationError: the file is not a list of reasons with keys of records.
    """
    return TypeAdapter(tuple[Invalidation, ...]).validate_python(read_yaml(path))


def why_invalid(record: Record) -> str | None:
    """The reason why a record is invalid; None if it is valid."""
    for invalidation in known_invalidations():
        if record.key.startswith(invalidation.records):
            day = datetime.fromisoformat(record.ended).astimezone(timezone.utc).date()
            if day <= invalidation.until:
                return invalidation.reason
    return None
