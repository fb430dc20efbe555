"""Odd inputs from a seed: what is right, spoiled; and nonsense. Many thousands a second.

A spoiled input keeps most of what makes a reader go far into it: bytes are turned, doubled, cut,
taken from another example, or replaced by something that readers are known to stumble over.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

ODD: tuple[bytes, ...] = (
    *(b"", b"\0", b"\xff", b"\xfe\xff", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\r", b"\n", b"\t"),
    *(b"-1", b"0", b"1e999", b"9" * 30, b"9" * 400, b"0x1", b"+", b"-", b".", b"1" * 5000, b"NaN"),
    *(
        "০১৭১১২২৩৩৪৪",
        "²",
        "①",
        "٣",
        "Ⅷ",
        "𝟘",
        "ⅻ",
        "\u0130",
        "\u1e9e",
        "\ufeff",
        "\u202e",
        "\u0345",
    ),
    *(
        "\u200d",
        "\u09bc",
        "\u09c7\u09be",
        "আ" * 200,
        "\U0001f1e7",
        "\ud7ff",
        "\u2028",
        "\x85",
        "\x1c",
    ),
    *(b"null", b"true", b"[]", b"{}", b'""', b"[" * 200, b'{"a":' * 100, b"\\u0000", b"\\ud800"),
    *(b"&#0;", b"&#xD800;", b"<!DOCTYPE a>", b"<![CDATA[", b"]]>", b"<a/>", b"&a;", b"xmlns:x='y'"),
    *(
        b"%00",
        b"%",
        b"%zz",
        b"%ff",
        b"&",
        b"=",
        b";",
        b",",
        b'"',
        b"''",
        b"\\",
        b"//",
        b"..",
        b"$&",
    ),
    *(b"0001-01-01", b"9999-12-31T23:59:59-14:00", b"2026-02-30", b"24:00", b"1970-01-01T00:00Z"),
    *(b"--", b"\r\n\r\n", b"Content-Disposition: form-data", b"charset=no-such", b"=?utf-8?b?/?="),
)  # type: ignore[assignment]
ODD = tuple(one.encode() if isinstance(one, str) else one for one in ODD)
"""Pieces that readers are known to stumble over."""

LONGEST = 20_000


def spoil(dice: Random, examples: Sequence[bytes]) -> bytes:
    """Return an example with some things wrong, or nonsense."""
    if dice.random() < 0.02:
        return dice.randbytes(dice.randrange(300))
    found = dice.choice(examples)
    for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        at = dice.randrange(len(found) + 1)
        end = min(len(found), at + dice.choice((0, 1, 1, 2, 4, 10, 60)))
        match dice.randrange(7):
            case 0:
                found = found[:at] + dice.choice(ODD) + found[end:]
            case 1:
                found = found[:at] + bytes([dice.randrange(256)]) + found[end:]
            case 2:
                found = found[:at] + found[at:end] * dice.choice((0, 2, 3, 50)) + found[end:]
            case 3:
                found = found[:at]
            case 4:
                other = dice.choice(examples)
                begin = dice.randrange(len(other) + 1)
                piece = other[begin : begin + dice.choice((1, 5, 40))]
                found = found[:at] + piece + found[end:]
            case 5:
                found = found[:at] + chr(dice.choice((0x9E6, 0x995, 0x200D, 0x660, 0x130))).encode()
                found += found[end:]
            case _:
                found = found[end:] + found[:at]
    return found[:LONGEST]


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e308, 10**40, -(10**40), 2**63, "", " ", "\0", "\ud800", "x"),
    *("১৭", "²", "1e400", "0001-01-01", "9999-12-31T23:59:59-14:00", "2026-02-30", [], {}, [[]]),
    *([None], [{}], {"": {}}, {"a": []}, ["x"], "x" * 5000, {"code": {}}, [[[[[[[]]]]]]], "BD3026"),
)
"""Values that a field of JSON does not expect."""


def spoil_json(dice: Random, examples: Sequence[Any]) -> Any:
    """Return an example with some values, names or places wrong; what JSON can say."""
    found = deepcopy(dice.choice(examples))
    for _ in range(dice.choice((1, 1, 2, 3))):
        holders = [one for one in _holders(found) if one]
        if not holders:
            return deepcopy(dice.choice(VALUES))
        holder = dice.choice(holders)
        if isinstance(holder, list):
            holder[dice.randrange(len(holder))] = deepcopy(dice.choice(VALUES))
            continue
        name = dice.choice(list(holder))
        if dice.random() < 0.15:
            del holder[name]
        else:
            holder[name] = deepcopy(dice.choice(VALUES))
    return found


def _holders(value: Any) -> list[Any]:
    if not isinstance(value, dict | list):
        return []
    inside = value.values() if isinstance(value, dict) else value
    return [value, *(one for each in inside for one in _holders(each))]
