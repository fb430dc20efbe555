"""Schedules of HSDS 3 (parts of RFC 5545, times with an offset) as ours in Asia/Dhaka, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from services.referral.calendars import NoSchedule, check_schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from services.referral.exchange.hsds.graph import Row

_PARTS: Final = (
    "freq",
    "interval",
    "count",
    "wkst",
    "byday",
    "byweekno",
    "bymonthday",
    "byyearday",
)
_DHAKA: Final = 6 * 60
_DAY: Final = 24 * 60
_EVERY_DAY: Final = "FREQ=WEEKLY;BYDAY="
_WEEK: Final = "SU,MO,TU,WE,TH,FR,SA"


def schedule_of(row: Mapping[str, Any]) -> str | None:
    """Return a schedule as `services.referral.calendars` has it; None where it cannot be followed.

    Not followed: a rule without a frequency or with two ends, and times whose day is another one
    in Bangladesh.
    """
    if "freq" not in row or ("count" in row and "until" in row):
        return None
    try:
        opens = _local(row.get("opens_at"), row.get("timezone"))
        closes = _local(row.get("closes_at"), row.get("timezone"), next_day=True)
    except ValueError:
        return None
    parts = [f"{name.upper()}={_plain(row[name])}" for name in _PARTS if name in row]
    first = row.get("valid_from") or row.get("dtstart") or ""
    ends = [row[name] for name in ("valid_to", "until") if name in row]
    if "dtstart" in row and ("interval" in row or "count" in row):
        first = row["dtstart"]  # the rule counts from there
    rule = ";".join(parts)
    if {*rule.removeprefix(_EVERY_DAY).split(",")} == {*_WEEK.split(",")} and not opens + closes:
        rule = "FREQ=DAILY"  # always open, on holidays too
    schedule = "|".join((rule, opens, closes, first, min(ends, default="")))
    try:
        check_schedule(schedule)
    except NoSchedule:
        return None
    return schedule


def _plain(value: object) -> str:
    return str(int(value) if isinstance(value, int | float) else value).replace(" ", "")


def _local(time: str | None, zone: float | None, *, next_day: bool = False) -> str:
    """Return a time of day in Bangladesh; without an offset or a zone it is one already.

    `next_day`: it may be on the next day there.

    Raises:
        ValueError: it is on another day there.

    """
    if not time:
        return ""
    minutes = int(time[:2]) * 60 + int(time[3:5])
    offset: float = _DHAKA
    if time.endswith("Z"):
        offset = 0
    elif "+" in time or "-" in time:
        sign = -1 if "-" in time else 1
        digits = time[-6:].replace(":", "")[-4:]
        offset = sign * (int(digits[:2]) * 60 + int(digits[2:]))
    elif zone is not None:
        offset = zone * 60
    minutes += int(_DHAKA - offset)
    if minutes < 0 or minutes >= _DAY * (2 if next_day else 1):
        raise ValueError
    minutes %= _DAY
    return f"{minutes // 60:02}:{minutes % 60:02}"


def rows_of(schedules: Iterator[str] | list[str]) -> Iterator[Row]:
    """Return our schedules as HSDS 3 has them, without identifiers; a rule that it lacks is left.

    HSDS knows weeks and months only: every day is a week of seven days.
    """
    for schedule in schedules:
        rule, opens, closes, first, last = schedule.split("|")
        parts = dict(part.split("=", 1) for part in rule.split(";"))
        if parts["FREQ"] == "DAILY" and parts.keys() == {"FREQ"}:
            parts = {"FREQ": "WEEKLY", "BYDAY": _WEEK}
        names = {name.lower(): value for name, value in parts.items()}
        if parts["FREQ"] not in ("WEEKLY", "MONTHLY") or not names.keys() <= {*_PARTS}:
            continue
        row: Row = {n: int(v) if n in ("interval", "count") else v for n, v in names.items()}
        row |= {"opens_at": opens and f"{opens}+06:00", "closes_at": closes and f"{closes}+06:00"}
        row |= {"valid_from": first, "valid_to": last, "timezone": 6}
        yield {name: value for name, value in row.items() if value != ""}
