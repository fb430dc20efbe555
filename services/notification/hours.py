"""Safe hours, purely: the next moment at which a person said that a message may come.

A contact's days are `mo` … `su`, its hours `HH:MM-HH:MM` in its time zone; hours that end before
they begin go on past midnight and belong to the day they begin on. What cannot be read is not
safe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from shared.text import ascii_digits

if TYPE_CHECKING:
    from collections.abc import Sequence

DAYS: Final = ("mo", "tu", "we", "th", "fr", "sa", "su")
"""Weekdays in Python's order."""

DHAKA: Final = "Asia/Dhaka"

HORIZON: Final = 15
"""Days to look ahead: longer than any notice is useful."""

LAST_MOMENT: Final = timedelta(minutes=5)
"""Nothing is sent so late in a window: a text takes a while on its way."""

_WINDOW: Final = re.compile(r"\s*(\d{1,2})[:.](\d{2})\s*[-\u2013]\s*(\d{1,2})[:.](\d{2})\s*")
_DAY: Final = 24 * 60
_SHORTEST: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Window:
    """Minutes of a day: from `start` on, for `length`; it may reach into the next day."""

    start: int
    length: int


def parse_window(text: str) -> Window | None:
    """Read `HH:MM-HH:MM` (24:00 is the end of a day); None when it is no stretch of time."""
    found = _WINDOW.fullmatch(ascii_digits(text))
    if found is None:
        return None
    hours, minutes = (int(found[1]), int(found[3])), (int(found[2]), int(found[4]))
    start, end = (h * 60 + m for h, m in zip(hours, minutes, strict=True))
    if max(minutes) > 59 or start >= _DAY or end > _DAY or start == end:  # noqa: PLR2004  (of an hour)
        return None
    return Window(start, (end - start) % _DAY or _DAY)


def next_safe(
    at: datetime,
    days: Sequence[str],
    hours: Sequence[str],
    zone: str = DHAKA,
    otherwise: Sequence[str] = (),
) -> datetime | None:
    """Return the first safe moment from `at` on, in UTC, or None if there is none to be found.

    No days said is every day; no hours said is `otherwise`. What was said and cannot be read gives
    no moment at all.
    """
    wanted = {day.strip().lower()[:2] for day in days}
    windows = [w for w in map(parse_window, hours or otherwise) if w is not None]
    place = _zone(zone)
    if place is None or not windows or (wanted and not wanted & {*DAYS}):
        return None
    found: list[datetime] = []
    today = at.astimezone(place).date()
    for offset in range(-1, HORIZON):
        day = today + timedelta(days=offset)
        if wanted and DAYS[day.weekday()] not in wanted:
            continue
        midnight = datetime.combine(day, time(), place)
        for window in windows:
            start = (midnight + timedelta(minutes=window.start)).astimezone(UTC)
            length = timedelta(minutes=window.length)
            moment = max(start, at)
            if moment < start + max(length - LAST_MOMENT, _SHORTEST):
                found.append(moment)
        if found:
            return min(found)
    return None


def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # no such zone, or a machine without a list of zones
        return timezone(timedelta(hours=6)) if name == DHAKA else None
