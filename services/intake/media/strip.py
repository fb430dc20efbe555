"""Makes the copy of a picture that is shown: run as a program of its own, by `copies.py`.

It reads a picture from its input and writes a JPEG to its output that holds pixels and nothing
else: no EXIF, no coordinates, no profile, no comment, no thumbnail. It is given no key, no
environment and little memory, since what it decodes may have been made to break a decoder.
Arguments: pixels of the longer side; pixels that the picture may have; and, for a blurred copy, of
how many points it is made.

Exit code 0: the copy is written; 1: none can be made.
"""

from __future__ import annotations

import io
import resource
import sys
from typing import Final

from PIL import Image, ImageOps

FORMATS: Final = ("JPEG", "PNG", "WEBP")
MEMORY: Final = 1 << 30
"""Bytes of address space."""

SECONDS: Final = 15
"""Of processor time."""


def strip(raw: bytes, side: int, max_pixels: int, points: int | None = None) -> bytes:
    """Return a picture as a JPEG of its pixels alone, `side` long at most; blurred with `points`.

    Raises:
        ValueError: it has more than `max_pixels`. OSError and others of Pillow: it is no picture.

    """
    with Image.open(io.BytesIO(raw), formats=FORMATS) as picture:
        if picture.width * picture.height > max_pixels:
            message = "too many pixels"
            raise ValueError(message)
        picture.draft("RGB", (side, side))
        upright = ImageOps.exif_transpose(picture).convert("RGBA")
    upright.thumbnail((points or side, points or side))
    size = upright.size
    if points is not None:
        scale = side / max(size)
        size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    pixels = Image.new("RGB", upright.size, "white")
    pixels.paste(upright, mask=upright)
    written = io.BytesIO()
    pixels.resize(size, Image.Resampling.BICUBIC).save(written, "JPEG", quality=80)
    return written.getvalue()


def main(arguments: list[str]) -> int:
    """Strip the picture of the input within limits."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    side, max_pixels, *points = map(int, arguments)
    try:
        copy = strip(sys.stdin.buffer.read(), side, max_pixels, *points)
    except Exception:  # noqa: BLE001  (whatever a decoder trips over is the picture's fault)
        return 1
    sys.stdout.buffer.write(copy)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
