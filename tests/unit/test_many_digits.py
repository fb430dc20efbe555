"""Thousands of digits are no number that Python reads: where one is asked for, they are refused."""

from __future__ import annotations

import sys
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.datastructures import Headers

from services.intake.pages.desk import fields
from services.intake.reading import read
from services.referral import api
from services.referral.pages.provider.api import _places
from shared.bodies import told_length
from shared.errors import InvalidBody
from shared.text import parse_whole

MANY = "1" * 5000


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("0", 0),
        ("0012", 12),
        ("0" * 5000 + "7", 7),
        ("100", 100),
        ("101", None),
        (MANY, None),
        ("", None),
        ("-1", None),
        (" 1", None),
        ("²", None),
        ("১", None),
    ],
    ids=range(11),
)
def test_a_whole_number_is_read_up_to_a_most(said: str, number: int | None) -> None:
    assert parse_whole(said, 100) == number


@pytest.mark.parametrize("number", [MANY, "²", "7²"])
def test_a_message_is_read_whatever_numbers_it_says(number: str) -> None:
    reading = read(f"{number} জন মেয়ে পাচার, বয়স ১৪", today=date(2026, 11, 29))
    assert "trafficking" in " ".join(reading.concerns)


def test_a_body_of_an_unreadable_length_is_measured_as_it_comes() -> None:
    def told(length: str) -> int:
        request: Any = SimpleNamespace(headers=Headers({"content-length": length}))
        return told_length(request)

    assert (told("17"), told(""), told("x"), told("\u00b2")) == (17, 0, 0, 0)
    assert told(MANY) == sys.maxsize


@pytest.mark.parametrize("number", [MANY, "²", "x"])
def test_a_number_of_a_feed_or_of_places_is_refused(number: str) -> None:
    with pytest.raises(InvalidBody):
        api._number(number)
    with pytest.raises(InvalidBody):
        _places(number)


@pytest.mark.parametrize("number", [MANY, "²"])
def test_a_field_of_the_desk_that_is_no_number_is_a_name(number: str) -> None:
    assert fields._rows({number: "x"}) == {number: "x"}
    assert fields._rows({"1": "b", "0": "a"}) == ["a", "b"]
