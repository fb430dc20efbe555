"""What a file is, by its bytes alone, purely: never by its name or by what the sender calls it.

The first bytes say the format (`puremagic`). Containers that hold sound or a film are looked into:
many telephones write a voice note as MP4, 3GP or WebM. What is not known stays, as `unknown`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import puremagic

Kind = Literal["image", "audio", "video", "unknown"]

HEAD: Final = 4096
"""Bytes in which the format is looked for."""

SHOWN: Final = frozenset({"jpeg", "png", "webp"})
"""Formats of images that a copy can be made of."""

_KNOWN: Final[dict[str, tuple[Kind, str]]] = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), ("image", "jpeg")),
    ".png": ("image", "png"),
    ".webp": ("image", "webp"),
    **dict.fromkeys((".heic", ".heif"), ("image", "heic")),
    **dict.fromkeys((".ogg", ".oga", ".opus"), ("audio", "ogg")),
    ".amr": ("audio", "amr"),
    **dict.fromkeys((".mp3", ".mpga"), ("audio", "mpeg")),
    ".wav": ("audio", "wav"),
    ".aac": ("audio", "aac"),
    ".avi": ("video", "avi"),
}
_MP4: Final = frozenset({".m4a", ".f4a", ".mp4", ".m4v", ".3gp", ".3ga", ".3g2", ".mov", ".qt"})
_WEBM: Final = frozenset({".webm", ".mkv", ".mka"})


@dataclass(frozen=True, slots=True)
class Sort:
    """What a file is, and its format (`unknown` when nobody knows)."""

    kind: Kind
    format: str


UNKNOWN: Final = Sort("unknown", "unknown")


def sort_of(raw: bytes) -> Sort:
    """Say what a file is; what cannot be told is `unknown`, whatever it is."""
    ending = _ending(raw[:HEAD])
    if ending in _MP4:
        return _film_or_sound(b"vide" in _handlers(raw), b"soun" in _handlers(raw), "mp4")
    if ending in _WEBM:
        return _film_or_sound(b"V_" in raw[: HEAD * 4], b"A_" in raw[: HEAD * 4], "webm")
    found = _KNOWN.get(ending)
    if found is None:
        return UNKNOWN
    if found[1] == "ogg" and (b"theora" in raw[:HEAD] or b"video" in raw[:HEAD]):
        return Sort("video", "ogg")
    return Sort(*found)


def _ending(head: bytes) -> str:
    """Return the usual ending of a file's name that begins so; empty when it is not known."""
    try:
        return str(puremagic.magic_string(head)[0].extension).lower()
    except (puremagic.PureError, ValueError, IndexError):
        return ""


def _handlers(raw: bytes) -> set[bytes]:
    """Return what the tracks of an MP4 are handled by: `vide`, `soun` and the like."""
    found: set[bytes] = set()
    at = raw.find(b"hdlr")
    while at >= 0:
        found.add(raw[at + 12 : at + 16])  # after version, flags and four bytes of zero
        at = raw.find(b"hdlr", at + 4)
    return found


def _film_or_sound(film: bool, sound: bool, format_: str) -> Sort:  # noqa: FBT001  (two findings)
    if film:
        return Sort("video", format_)
    return Sort("audio", format_) if sound else Sort("unknown", format_)
