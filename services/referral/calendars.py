"""When an offer is open, purely: RFC 5545 rules with hours of the day, in Asia/Dhaka, and holidays.

A schedule is one text: `RRULE parts|opens|closes|from|to`, for example
`FREQ=WEEKLY;BYDAY=SU,MO,TU,WE,TH|09:00|17:00||`. Opening times are local; `from` and `to` are the
days between which it holds (ISO 8601, both included, empty = without end); `closes` before `opens`
is on the next day; empty times are the whole day. On a holiday an offer is closed unless it is
always open. Without a schedule nothing is known, and unknown never excludes.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ZONE: Final = ZoneInfo("Asia/Dhaka")
HORIZON: Final = timedelta(days=62)
"""How far an opening is looked for; what opens later counts as closed."""

ALWAYS: Final = "FREQ=DAILY||||"
OFFICE: Final = "FREQ=WEEKLY;BYDAY=SU,MO,TU,WE,TH|09:00|17:00||"
_HOLIDAYS: Final = Path(__file__).parent / "data" / "holidays.toml"
_EPOCH: Final = date(2020, 1, 5)  # a Sunday: the first day of a week in Bangladesh
_PARTS: Final = 5
_KNOWN: Final = frozenset(
    [
        "FREQ",
        "INTERVAL",
        "COUNT",
        "UNTIL",
        "WKST",
        "BYDAY",
        "BYMONTHDAY",
        "BYMONTH",
        "BYWEEKNO",
        "BYYEARDAY",
        "BYSETPOS",
    ]
)
_SLOWEST: Final = ("SECONDLY", "MINUTELY", "HOURLY")


class NoSchedule(ValueError):  # noqa: N818  (says what went wrong)
    """The text is no schedule; the message says which part, never the text."""


@dataclass(frozen=True, slots=True)
class _Hours:
    rule: rrule
    opens: time
    closes: time
    first: date | None
    last: date | None
    always: bool


def parse_hours(hours: str) -> tuple[str, ...]:
    """Return the schedules of the directory's own words (`24x7`, `Su-Th 09:00-17:00`).

    Words that it does not know give none: a human's note stays one.
    """
    days = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"]
    if hours == "24x7":
        return (ALWAYS,)
    found = re.fullmatch(r"([A-Z][a-z])-([A-Z][a-z]) (\d\d:\d\d)-(\d\d:\d\d)", hours)
    if found is None or {found[1].upper(), found[2].upper()} - set(days):
        return ()
    first, last = days.index(found[1].upper()), days.index(found[2].upper())
    span = [days[(first + n) % 7] for n in range((last - first) % 7 + 1)]
    return (f"FREQ=WEEKLY;BYDAY={','.join(span)}|{found[3]}|{found[4]}||",)


def check_schedule(schedule: str) -> None:
    """Check a schedule.

    Raises:
        NoSchedule: a part is not valid, or it would open more often than once a day.

    """
    _read(schedule)


@lru_cache(maxsize=4096)
def _read(schedule: str) -> _Hours:
    parts = schedule.split("|")
    if len(parts) != _PARTS:
        raise NoSchedule("a schedule has five parts")
    names = {name.partition("=")[0] for name in parts[0].split(";")}
    interval = re.search(r"INTERVAL=([^;]*)", parts[0])
    if interval is not None and not re.fullmatch(r"[1-9]\d{0,2}", interval[1]):
        raise NoSchedule("the interval is not valid")
    if "FREQ" not in names or names - _KNOWN or any(f"={slow}" in parts[0] for slow in _SLOWEST):
        raise NoSchedule("the rule is none of days, weeks, months or years")
    try:
        first = date.fromisoformat(parts[3]) if parts[3] else None
        last = date.fromisoformat(parts[4]) if parts[4] else None
        start = datetime.combine(first or _EPOCH, time())
        rule = rrulestr(f"RRULE:{parts[0]}", dtstart=start)
        opens, closes = (time.fromisoformat(part or "00:00") for part in parts[1:3])
    except (ValueError, TypeError, AttributeError, KeyError):
        raise NoSchedule("the rule, a time or a day is not valid") from None
    if not isinstance(rule, rrule) or opens.tzinfo or closes.tzinfo:
        raise NoSchedule("the rule or a time is not valid")
    return _Hours(rule, opens, closes, first, last, always=parts[:3] == ["FREQ=DAILY", "", ""])


@cache
def holidays() -> Mapping[date, str]:
    """Return the public holidays that the data knows, with their English names."""
    read = tomllib.loads(_HOLIDAYS.read_text("utf-8"))
    return {day["date"]: day["en"] for day in read["holiday"]}


def opens_at(schedules: Sequence[str], at: datetime) -> datetime | None:
    """Return when an offer is open next, from `at` (aware) on: `at` itself when it is open.

    None: nothing is known (no schedules), or it does not open within `HORIZON`.
    """
    times = [t for one in schedules if (t := _next(one, at.astimezone(ZONE))) is not None]
    return min(times, default=None)


def hours_until_open(schedules: Sequence[str], at: datetime) -> float | None:
    """Return the hours until an offer opens, 0 when it is open; None: not known.

    What does not open within the horizon waits as long as that.
    """
    if not schedules:
        return None
    return _hours(tuple(schedules), at.replace(second=0, microsecond=0))


@lru_cache(maxsize=4096)
def _hours(schedules: tuple[str, ...], at: datetime) -> float:
    found = opens_at(schedules, at)
    return ((found - at) if found is not None else HORIZON) / timedelta(hours=1)


def _next(schedule: str, local: datetime) -> datetime | None:
    hours = _read(schedule)
    if hours.always:
        return local.astimezone(UTC)
    for day in _days(schedule, local.date()):
        opens = datetime.combine(day, hours.opens, tzinfo=ZONE)
        closes = datetime.combine(day, hours.closes, tzinfo=ZONE)
        if hours.closes <= hours.opens:
            closes += timedelta(days=1)
        if closes > local:
            return max(opens, local).astimezone(UTC)
    return None


@lru_cache(maxsize=8192)
def _days(schedule: str, today: date) -> tuple[date, ...]:
    """Return the days within the horizon on which it opens, from yesterday, whose night may last.

    The rule is never followed further: one that no day fulfils would be followed for ever.
    """
    hours = _read(schedule)
    end = min(today + HORIZON, hours.last or date.max)
    start = today - timedelta(days=1)
    rule = hours.rule.replace(until=datetime.combine(end, time()))
    found = rule.between(datetime.combine(start, time()), datetime.combine(end, time()), inc=True)
    return tuple(day.date() for day in found if day.date() not in holidays())
