"""Which lines are shown to somebody in danger: only those that are known to answer now."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from services.intake.helplines import help_now, load_lines, parse_lines

NOON = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
"""Noon in Dhaka."""

TEXT = """
[[line]]
number = "1"
bn = "ক"
en = "a"
hours = "09:00-17:00"
status = "answers"
[[line]]
number = "2"
bn = "খ"
en = "b"
hours = "00:00-24:00"
status = "silent"
[[line]]
number = "3"
bn = "গ"
en = "c"
status = "answers"
from = 2026-11-26
"""


def numbers(at: datetime, text: str = TEXT, key: str = "lines") -> list[str]:
    return [line["number"] for line in help_now(parse_lines(text), at, on_duty=False)[key]]


def test_only_lines_that_are_open_now_are_shown() -> None:
    assert numbers(NOON) == ["1"]
    assert numbers(NOON.replace(hour=11)) == []
    assert numbers(NOON, TEXT.replace('"silent"', '"answers"')) == ["1", "2"]
    assert numbers(NOON, key="lines_without_known_hours") == []
    assert numbers(NOON.replace(day=26), key="lines_without_known_hours") == ["3"]


@pytest.mark.parametrize(("hour", "open_now"), [(17, ["1"]), (20, ["1"]), (6, []), (23, [])])
def test_a_line_may_be_open_over_midnight(hour: int, open_now: list[str]) -> None:
    text = TEXT.replace("09:00-17:00", "22:00-04:00")
    assert numbers(NOON.replace(hour=hour), text) == open_now


def test_nothing_is_promised_with_nobody_on_duty() -> None:
    shown = help_now(load_lines(), NOON, on_duty=False)
    assert (shown["on_duty"], shown["answers_within_minutes"]) == (False, None)
    assert shown["lines"][0]["number"] == "999"
    assert help_now(load_lines(), NOON, on_duty=True)["answers_within_minutes"] == 15


def test_a_line_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        parse_lines(TEXT.replace("silent", "maybe"))
