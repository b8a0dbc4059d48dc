"""What the markers of an image file tell without decoding it: its size in pixels, and whether the file is whole.

Only a hint: a file that is not whole by its markers may still be readable (trailing bytes, a missing end marker), and
`benchmark.data.examine` lets the decoder decide.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

_JPEG, _PNG, _GIF = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", (b"GIF87a", b"GIF89a")
_FRAMES = frozenset((0xC0, 0xC1, 0xC2))  # baseline, extended and progressive JPEG; decoders refuse most other kinds
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD8)))
_SCAN, _END = 0xDA, b"\xff\xd9"


class Outline(NamedTuple):
    """Width and height as the header declares them, None where they were not looked for; and whether nothing lacks."""

    size: tuple[int, int] | None = None
    whole: bool = False


def declared_size(encoded: bytes) -> tuple[int, int] | None:
    """Width and height in the header of a JPEG or WebP file; None for other files, and where the header lacks."""
    try:
        if encoded.startswith(_JPEG):
            frame, _ = _frame(encoded)
            return None if frame is None else _jpeg_size(encoded, frame)
        return _webp_size(encoded) if _is_webp(encoded) else None
    except IndexError:  # it ends inside its header
        return None


def outline(encoded: bytes) -> Outline:
    """The outline of a JPEG, PNG, WebP, GIF or BMP file; of other files nothing is known, and they are not `whole`.

    JPEG: markers up to the first scan, then an end marker (ITU-T T.81, annex B). PNG: every chunk's checksum, up to
    IEND. WebP and BMP: the length in the header. GIF: the trailer, zeros after it aside.
    """
    try:
        if encoded.startswith(_JPEG):
            return _jpeg(encoded)
        if encoded.startswith(_PNG):
            return _png(encoded)
        if _is_webp(encoded):
            return Outline(_webp_size(encoded), int.from_bytes(encoded[4:8], "little") + 8 <= len(encoded))
        if encoded.startswith(_GIF):
            return Outline(None, encoded.rstrip(b"\0").endswith(b";"))
        if encoded.startswith(b"BM"):
            return Outline(None, int.from_bytes(encoded[2:6], "little") == len(encoded))
    except IndexError:  # it ends inside its header
        pass
    return Outline()


def _frame(encoded: bytes, at: int = 2) -> tuple[int | None, int]:
    """Where a JPEG's next frame header is, None before the first scan; and where the search for it ended."""
    while encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker in _FRAMES:
            return at, at
        if marker == _SCAN:
            break
        if marker == 0xFF:  # a byte that fills up
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            at += 2 + max(2, encoded[at + 2] << 8 | encoded[at + 3])
    return None, at


def _jpeg(encoded: bytes) -> Outline:
    frame, at = _frame(encoded)
    if frame is None or encoded[frame + 4] != 8:  # no frame, or one of 12 bits
        return Outline()
    size = _jpeg_size(encoded, frame)
    second, at = _frame(encoded, at + 2 + _big(encoded, at + 2, 2))
    is_scan = encoded[at : at + 2] == bytes((0xFF, _SCAN))
    return Outline(size, second is None and is_scan and encoded.rfind(_END, at) >= 0)


def _jpeg_size(encoded: bytes, frame: int) -> tuple[int, int]:
    return _big(encoded, frame + 7, 2), _big(encoded, frame + 5, 2)


def _png(encoded: bytes) -> Outline:
    at, view = len(_PNG), memoryview(encoded)
    size = _big(encoded, at + 8, 4), _big(encoded, at + 12, 4)
    while True:
        end = at + 8 + _big(encoded, at, 4)
        if zlib.crc32(view[at + 4 : end]) != _big(encoded, end, 4):
            return Outline(size)
        if encoded[at + 4 : at + 8] == b"IEND":
            return Outline(size, True)
        at = end + 4


def _is_webp(encoded: bytes) -> bool:
    return encoded.startswith(b"RIFF") and encoded[8:12] == b"WEBP"


def _webp_size(encoded: bytes) -> tuple[int, int]:
    kind = encoded[12:16]
    if kind == b"VP8X":
        return 1 + _little(encoded, 24, 3), 1 + _little(encoded, 27, 3)
    if kind == b"VP8L":
        bits = _little(encoded, 21, 4)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return _little(encoded, 26, 2) & 0x3FFF, _little(encoded, 28, 2) & 0x3FFF


def _big(encoded: bytes, at: int, count: int) -> int:
    if at + count > len(encoded):
        raise IndexError
    return int.from_bytes(encoded[at : at + count], "big")


def _little(encoded: bytes, at: int, count: int) -> int:
    if at + count > len(encoded):
        raise IndexError
    return int.from_bytes(encoded[at : at + count], "little")
