from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_records import make_record

from benchmark.records.folder import read_record, write_record
from benchmark.records.seal import DIGEST, HISTORY_FILE, sealed, unsealed

if TYPE_CHECKING:
    from pathlib import Path

_RECORD = json.loads(make_record().model_dump_json())


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [leaf for key, item in items for leaf in _leaves(item, (*path, key))] or [path]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(_leaves(_RECORD)), st.none() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=5))
def test_every_edit_of_a_record_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[Any, ...], value: Any
) -> None:
    folder = tmp_path_factory.getbasetemp()
    data = sealed(_RECORD, folder)
    edited = json.loads(json.dumps(data))
    target = edited
    for key in path[:-1]:
        target = target[key]
    if target[path[-1]] == value and type(target[path[-1]]) is type(value):
        return
    target[path[-1]] = value
    assert unsealed(data, folder) == _RECORD
    with pytest.raises(ValueError, match="was changed after it was written"):
        unsealed(edited, folder)


def test_a_record_is_read_as_long_as_it_and_its_history_stay(tmp_path: Path) -> None:
    record = make_record()
    (tmp_path / HISTORY_FILE).write_text('{"kind": "step"}\n')
    write_record(tmp_path, record)
    path = tmp_path / "record.json"
    assert read_record(path) == record
    path.write_text(json.dumps(json.loads(path.read_text()), indent=7))  # another layout of the same content
    assert read_record(path) == record
    written = path.read_text()
    path.write_text(written.replace('"linear_top1": 45.0', '"linear_top1": 46.0'))
    with pytest.raises(ValueError, match=r"record\.json: was changed after it was written"):
        read_record(path)
    path.write_text(written)
    (tmp_path / HISTORY_FILE).write_text('{"kind": "stop"}\n')
    with pytest.raises(ValueError, match=r"record\.json: history\.jsonl beside it was changed after it was written"):
        read_record(path)
    (tmp_path / HISTORY_FILE).unlink()  # shared without it
    assert read_record(path) == record


def test_a_record_from_before_digests_is_read(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(make_record().model_dump_json())
    assert read_record(tmp_path / "record.json") == make_record()


@pytest.mark.parametrize("digest", [{}, [], "x", 1, {"content": "x", "other": "y"}])
def test_a_damaged_digest_is_named(tmp_path: Path, digest: Any) -> None:
    with pytest.raises(ValueError, match="its digest is damaged"):
        unsealed({**_RECORD, DIGEST: digest}, tmp_path)


def test_a_history_that_is_too_long_or_no_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    history = tmp_path / HISTORY_FILE
    history.write_text("{}\n")
    data = sealed(_RECORD, tmp_path)
    with history.open("wb") as file:
        file.truncate(10 * 2**40)  # sparse: takes no room on the disk
    with pytest.raises(ValueError, match=r"beside it is 10,995,116,277,760 bytes long; expected at most"):
        unsealed(data, tmp_path)
    history.unlink()
    history.mkdir()
    with pytest.raises(ValueError, match=r"history\.jsonl beside it is no regular file"):
        unsealed(data, tmp_path)
    history.rmdir()
    assert unsealed(data, tmp_path) == _RECORD
