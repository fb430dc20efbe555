"""The one kind of period that figures have: a quarter of a year, by the days of Dhaka.

There is no other, so that no two periods can be subtracted from each other.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Final

from shared.clock import DHAKA

GRACE: Final = timedelta(days=14)
"""How long after its end a quarter is counted and published; then its figures never change."""

_NAMED: Final = re.compile(r"(20[0-9]{2})-Q([1-4])")


def quarter_of(at: datetime) -> date:
    """Return the first day of the quarter in which a time lies."""
    day = at.astimezone(DHAKA).date()
    return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)


def next_quarter(first: date) -> date:
    """Return the first day of the quarter after this one."""
    month = first.month + 3
    return date(first.year + month // 13, (month - 1) % 12 + 1, 1)


def name_of(first: date) -> str:
    """Return how a quarter is called, as `2026-Q3`."""
    return f"{first.year}-Q{(first.month + 2) // 3}"


def parse_quarter(name: str) -> date | None:
    """Return the first day of a quarter that is called so; None: it is no quarter."""
    found = _NAMED.fullmatch(name)
    return None if found is None else date(int(found[1]), int(found[2]) * 3 - 2, 1)


def parse_year(name: str) -> int | None:
    """Return a year; None: it is none. Its figures are its quarters', never counted anew."""
    return int(name) if re.fullmatch("20[0-9]{2}", name) else None


def quarters_of(year: int) -> list[date]:
    """Return the first days of the quarters of a year."""
    return [date(year, month, 1) for month in (1, 4, 7, 10)]


def is_due(first: date, at: datetime) -> bool:
    """Say whether a quarter ended long enough ago to be published."""
    end = datetime.combine(next_quarter(first), datetime.min.time(), DHAKA)
    return at >= end + GRACE
