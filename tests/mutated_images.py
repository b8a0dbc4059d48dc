"""Image files of all formats, damaged in many ways. As a script: examines and decodes them, and prints what it took."""

from __future__ import annotations

import io
import json
import random
import resource
import struct
import sys
import time
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, features

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WIDTH, HEIGHT = 41, 29
SIZES = (0, 1, 40, 16_383, 65_500, 65_535)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def sound_images() -> dict[str, bytes]:
    """One file of each kind: formats, modes and options."""
    draw = np.random.default_rng(0)
    smooth = draw.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    rgb = Image.fromarray(smooth).resize((WIDTH, HEIGHT))
    rgba, grey, cmyk = (rgb.convert(mode) for mode in ("RGBA", "L", "CMYK"))
    palette = rgb.quantize(16)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    frames = [rgb.rotate(angle) for angle in (90, 180)]
    files = {
        "rgb.jpg": saved(rgb, "JPEG"),
        "progressive.jpg": saved(rgb, "JPEG", progressive=True),
        "grey.jpg": saved(grey, "JPEG"),
        "cmyk.jpg": saved(cmyk, "JPEG"),
        "rgb.png": saved(rgb, "PNG"),
        "rgba.png": saved(rgba, "PNG"),
        "palette.png": saved(palette, "PNG", transparency=3),
        "bits.png": saved(rgb.convert("1"), "PNG"),
        "deep.png": saved(deep, "PNG"),
        "lossy.webp": saved(rgb, "WEBP"),
        "lossless.webp": saved(rgba, "WEBP", lossless=True),
        "moving.webp": saved(rgb, "WEBP", save_all=True, append_images=frames),
        "rgb.gif": saved(rgb, "GIF"),
        "three-frames.gif": saved(rgb, "GIF", save_all=True, append_images=frames),
        "rgb.bmp": saved(rgb, "BMP"),
        "palette.bmp": saved(palette, "BMP"),
        "rgb.tif": saved(rgb, "TIFF"),
        "lzw.tif": saved(rgba, "TIFF", compression="tiff_lzw"),
        "deflated.tif": saved(grey, "TIFF", compression="tiff_adobe_deflate"),
        "cmyk.tif": saved(cmyk, "TIFF"),
        "deep.tif": saved(deep, "TIFF"),
    }
    if features.check("avif"):
        files["rgb.avif"] = saved(rgb, "AVIF")
    return files


def with_size(content: bytes, width: int, height: int) -> bytes:
    """The file with other numbers of pixels in its header; checksums fit."""
    changed = bytearray(content)

    def put(layout: str, at: int, *values: int) -> None:
        limit = 0xFFFF if "H" in layout else 0xFFFFFF
        struct.pack_into(layout, changed, at, *(min(value, limit) for value in values))

    if content.startswith(b"\xff\xd8"):
        frames = (content.find(bytes((0xFF, kind))) for kind in (0xC0, 0xC2))
        put(">HH", max(frames) + 5, height, width)
    elif content.startswith(b"\x89PNG"):
        put(">II", 16, width, height)
        struct.pack_into(">I", changed, 29, zlib.crc32(changed[12:29]))
    elif content.startswith(b"GIF"):
        put("<HH", 6, width, height)
    elif content.startswith(b"BM"):
        put("<II", 18, width, height)
    elif content[12:16] == b"VP8X":
        changed[24:30] = max(0, width - 1).to_bytes(3, "little") + max(0, height - 1).to_bytes(3, "little")
    elif content[12:16] == b"VP8 ":
        put("<HH", 26, min(width, 16_383), min(height, 16_383))
    elif content.startswith(b"II*\0"):
        start = struct.unpack_from("<I", content, 4)[0]
        for entry in range(struct.unpack_from("<H", content, start)[0]):
            at = start + 2 + 12 * entry
            tag, kind = struct.unpack_from("<HH", content, at)
            if tag in (256, 257):
                put("<H" if kind == 3 else "<I", at + 8, width if tag == 256 else height)
    return bytes(changed)


def mutations(draw: random.Random) -> list[Callable[[bytes], bytes]]:
    """Ways to damage a file."""

    def truncated(content: bytes) -> bytes:
        return content[: draw.randrange(len(content))]

    def flipped(content: bytes, most: int | None = None) -> bytes:
        changed = bytearray(content)
        for _ in range(draw.choice((1, 1, 3, 20))):
            changed[draw.randrange(min(len(changed), most or len(changed)))] ^= 1 << draw.randrange(8)
        return bytes(changed)

    def zeroed(content: bytes) -> bytes:
        start = draw.randrange(len(content))
        return content[:start] + bytes(len(content) - start) if draw.random() < 0.5 else bytes(start) + content[start:]

    def spliced(content: bytes) -> bytes:
        other = draw.choice(list(sound_images().values()))
        return content[: draw.randrange(len(content))] + other[draw.randrange(len(other)) :]

    return [
        truncated,
        flipped,
        lambda content: flipped(content, 60),
        zeroed,
        spliced,
        lambda content: content + bytes(draw.randrange(1, 40)),
        lambda content: with_size(content, draw.choice(SIZES), draw.choice(SIZES)),
    ]


def damaged_images(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """`count` files with names, of which the first few are sound."""
    draw, sound = random.Random(seed), sound_images()
    yield from sound.items()
    names, ways = list(sound), mutations(draw)
    for number in range(count - len(sound)):
        name, suffix = names[number % len(names)], draw.choice(names).rpartition(".")[2]
        yield f"{number}-{name}.{suffix}", ways[number // len(names) % len(ways)](sound[name])


def main() -> None:
    """Prints a JSON line: the numbers of readable and refused files, the rise of memory in bytes, what is wrong."""
    import torch

    from benchmark.data.bad_images import BadImageError
    from benchmark.data.decode import canonical, decode, encoded_size
    from benchmark.data.examine import examine
    from benchmark.data.hdf5.convert import Reencode

    torch.set_num_threads(1)
    before, wrong, counts = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, [], {"read": 0, "refused": 0}
    slowest = 0.0
    for name, content in damaged_images(int(sys.argv[1]), int(sys.argv[2])):
        print(name, file=sys.stderr, flush=True)  # the last line names the file that ended the process
        start = time.perf_counter()
        found = examine(lambda content=content: content, name)
        try:
            image = decode(content, name)
            size = (image.shape[2], image.shape[1])
            if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
                wrong.append(f"{name}: {image.dtype} {tuple(image.shape)}")
            if found.reason or found.size != size or encoded_size(content, name) != size:
                wrong.append(f"{name}: {size} decoded, but {found[1:]} examined")
            if tuple(canonical(image, 16).shape) != (3, 16, 16):
                wrong.append(f"{name}: its square is not one")
            Reencode(8)(image, name)
            counts["read"] += 1
        except BadImageError as error:
            counts["refused"] += 1
            if not str(error).startswith(f"{name}: ") or "\n" in str(error) or len(str(error)) > 300:
                wrong.append(f"{name}: {error}")
        except Exception as error:
            wrong.append(f"{name}: {type(error).__name__}: {error}")
        slowest = max(slowest, time.perf_counter() - start)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(json.dumps({**counts, "memory": memory, "wrong": wrong, "slowest": slowest}))


if __name__ == "__main__":
    main()
