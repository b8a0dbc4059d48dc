"""Digests of records over their content and their run's history, which show that one was changed after it was written.

They stand in the file beside what they cover, so that they guard against slips and edits by hand, and not against
somebody who computes them anew. Records older than digests have none.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from benchmark.files.parse import MOST_JSON_BYTES

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "digest"
HISTORY_FILE = "history.jsonl"


def sealed(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A record's data with its digest, and that of the history in its folder, if there is one."""
    history = folder / HISTORY_FILE
    digest = {"content": _content_digest(data)}
    if history.is_file():
        digest["history"] = _history_digest(history)
    return {**data, DIGEST: digest}


def unsealed(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A record's data without its digest, if it has one.

    Raises:
        ValueError: the data or the history beside it are not those of the digest. A history that is not there, as in
            results that were shared without, is not looked for.
    """
    digest = data.get(DIGEST)
    data = {name: value for name, value in data.items() if name != DIGEST}
    if digest is None:
        return data
    known = isinstance(digest, dict) and "content" in digest and digest.keys() <= {"content", "history"}
    if not known:
        raise ValueError(f"its {DIGEST} is damaged")
    if digest["content"] != _content_digest(data):
        raise ValueError(f"was changed after it was written (its content is not that of its {DIGEST})")
    history = folder / HISTORY_FILE
    if "history" in digest and history.exists() and digest["history"] != _history_digest(history):
        raise ValueError(f"{HISTORY_FILE} beside it was changed after it was written")
    return data


def _history_digest(path: Path) -> str:
    """The digest of a history.

    Raises:
        ValueError: it is no regular file, or longer than JSON files may be.
    """
    if not path.is_file():
        raise ValueError(f"{path.name} beside it is no regular file")
    if (size := path.stat().st_size) > MOST_JSON_BYTES:
        raise ValueError(f"{path.name} beside it is {size:,} bytes long; expected at most {MOST_JSON_BYTES:,}")
    return _digest(path.read_bytes())


def _content_digest(data: dict[str, Any]) -> str:
    return _digest(json.dumps(data, sort_keys=True, separators=(",", ":")).encode())


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
