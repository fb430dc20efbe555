"""How many SMS parts a text takes, and in which alphabet (3GPP TS 23.038 and 23.040).

A text whose every sign is in the GSM 7-bit default alphabet or its extension table takes 160
septets in one part, 153 a part in several; any other sign makes all of it UCS-2: 70 code units in
one part, 67 a part in several. An extension sign (two septets) and a surrogate pair (two units) are
never divided between parts. National shift tables are not used: gateways send Bangla as UCS-2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION: Final = frozenset("\f^{}\\[~]|€")
_FIRST_PAIR: Final = 0x10000


class Encoding(StrEnum):
    """The alphabet of a message."""

    GSM7 = "gsm7"
    UCS2 = "ucs2"


ROOM: Final = {Encoding.GSM7: (160, 153), Encoding.UCS2: (70, 67)}
"""Units of a message of one part, and of each part of a longer one (6 bytes are its header)."""


@dataclass(frozen=True, slots=True)
class Segments:
    """What a text takes: `units` are septets or UTF-16 code units, `parts` are SMS as billed."""

    encoding: Encoding
    units: int
    parts: int


def count_segments(text: str) -> Segments:
    """Count the parts of a text; an empty text is one empty message.

    The text is counted as it is given: a decomposed letter takes more units than its NFC form.
    """
    if all(sign in _BASIC or sign in _EXTENSION for sign in text):
        encoding = Encoding.GSM7
        widths = [2 if sign in _EXTENSION else 1 for sign in text]
    else:
        encoding = Encoding.UCS2
        widths = [2 if ord(sign) >= _FIRST_PAIR else 1 for sign in text]
    alone, each = ROOM[encoding]
    units = sum(widths)
    return Segments(encoding, units, 1 if units <= alone else _parts(widths, each))


def _parts(widths: Sequence[int], room: int) -> int:
    parts, used = 1, 0
    for width in widths:
        if used + width > room:
            parts, used = parts + 1, 0
        used += width
    return parts
