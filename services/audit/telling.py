"""A case's history for the person it is about: days and plain words, in Bangla and English.

No name, place, office or reason is told, and nothing of who reported: it may be read by others.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from services.audit.flags import UNPROVEN
from shared.clock import DHAKA

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Row

LANGUAGES: Final = ("bn", "en")
"""In which it is told."""

MOST: Final = 10_000
"""Entries that are told of."""

_DIGITS: Final = str.maketrans("0123456789", "০১২৩৪৫৬৭৮৯")


@cache
def words() -> Mapping[str, Any]:
    """Return the words, read once."""
    return tomllib.loads(Path(__file__).with_name("telling.toml").read_text("utf-8"))


def tell(rows: Iterable[Row[Any]], language: str) -> str:
    """Return the history as plain text; what is not proven is not told, and a repetition once."""
    known = words()
    lines: list[str] = []
    for row in rows:
        told = known["events"].get(row.type)
        if told is None or row.flags & UNPROVEN:
            continue
        day = row.time.astimezone(DHAKA).strftime("%d.%m.%Y")
        said = known["erased"] if row.erased and row.type != "case-erased" else told
        line = f"{day.translate(_DIGITS) if language == 'bn' else day}  {said[language]}"
        if not lines or lines[-1] != line:
            lines.append(line)
    head, end = known["heads"][language], known["ends"][language]
    return "\n".join([head, "", *lines, "", end, ""])
