"""When an offer is open: days and hours of Dhaka, its weekend, holidays, RFC 5545."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.referral.calendars import (
    ALWAYS,
    OFFICE,
    NoSchedule,
    check_schedule,
    hours_until_open,
    opens_at,
    parse_hours,
)

DHAKA = ZoneInfo("Asia/Dhaka")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=DHAKA)


@pytest.mark.parametrize(
    ("schedule", "now", "opens"),
    [
        (OFFICE, "2026-07-01 10:00", "2026-07-01 10:00"),  # a Wednesday
        (OFFICE, "2026-07-01 08:30", "2026-07-01 09:00"),
        (OFFICE, "2026-07-02 17:00", "2026-07-05 09:00"),  # over the weekend, to Sunday
        (OFFICE, "2026-12-15 18:00", "2026-12-17 09:00"),  # the 16th is a holiday
        (ALWAYS, "2026-12-16 03:00", "2026-12-16 03:00"),
        ("FREQ=DAILY|20:00|06:00||", "2026-07-03 02:00", "2026-07-03 02:00"),  # since yesterday
        ("FREQ=MONTHLY;BYDAY=-1MO|10:00|12:00||", "2026-07-01 10:00", "2026-07-27 10:00"),
        ("FREQ=WEEKLY;BYDAY=MO|10:00|12:00|2026-08-01|", "2026-07-01 10:00", "2026-08-03 10:00"),
        ("FREQ=WEEKLY;BYDAY=MO|10:00|12:00||2026-06-30", "2026-07-01 10:00", None),
        ("FREQ=YEARLY;BYMONTH=2|10:00|12:00||", "2026-07-01 10:00", None),  # beyond the horizon
    ],
)
def test_when_it_opens_next(schedule: str, now: str, opens: str | None) -> None:
    assert opens_at([schedule], at(now)) == (at(opens).astimezone(UTC) if opens else None)


def test_the_first_of_several_schedules_counts() -> None:
    both = ["FREQ=WEEKLY;BYDAY=MO|10:00|12:00||", "FREQ=WEEKLY;BYDAY=TH|10:00|12:00||"]
    assert hours_until_open(both, at("2026-07-02 08:00")) == 2
    assert hours_until_open([], at("2026-07-02 08:00")) is None
    never = hours_until_open(
        ["FREQ=WEEKLY;BYDAY=MO|10:00|12:00||2020-01-01"], at("2026-07-02 08:00")
    )
    assert never == timedelta(days=62) / timedelta(hours=1)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "FREQ=WEEKLY",
        "FREQ=HOURLY|09:00|17:00||",
        "FREQ=WEEKLY;BYDAY=XX|09:00|17:00||",
        "FREQ=WEEKLY;BYDAY=MO|25:00|17:00||",
        "FREQ=WEEKLY;BYDAY=MO|09:00|17:00|yesterday|",
        "FREQ=WEEKLY\nRRULE:FREQ=DAILY|09:00|17:00||",
        "BYDAY=MO|09:00|17:00||",
        "FREQ=DAILY;INTERVAL=0|09:00|17:00||",
    ],
)
def test_a_wrong_schedule_is_refused_without_its_words(wrong: str) -> None:
    with pytest.raises(NoSchedule) as caught:
        check_schedule(wrong)
    assert "XX" not in str(caught.value)


def test_the_hours_of_the_directory_are_schedules() -> None:
    assert parse_hours("24x7") == (ALWAYS,)
    assert parse_hours("Su-Th 09:00-17:00") == (OFFICE,)
    assert parse_hours("ask at the gate") == ()
