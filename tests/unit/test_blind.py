"""Blind marks: equal for one number or name in every spelling, and useless without the key."""

from __future__ import annotations

import os

import pytest

from services.intake.blind import MARK, Blind, Marks, blind_of

KEY = os.urandom(32)


@pytest.mark.parametrize(
    "said", ["01712345678", "+8801712345678", "008801712345678", "০১৭১২-৩৪৫৬৭৮", "8801712345678"]
)
def test_one_number_has_one_mark_in_every_way_to_write_it(said: str) -> None:
    assert Blind(KEY).phone(said) == Blind(KEY).phone("01712345678")


@pytest.mark.parametrize("said", ["rina begum", "Rina  Begum", "BEGUM, Rina", "rina_begum."])
def test_one_name_has_one_mark_whatever_its_case_order_and_signs(said: str) -> None:
    assert Blind(KEY).name(said) == Blind(KEY).name("Rina Begum")


def test_marks_are_short_differ_by_field_and_key_and_are_none_of_nothing() -> None:
    marks = Blind(KEY).marks({"phone": "01712345678", "name": "01712345678"})
    assert marks.phone is not None
    assert marks.name is not None
    assert (len(marks.phone), len(marks.name)) == (MARK, MARK)
    assert marks.phone != marks.name
    assert Blind(os.urandom(32)).phone("01712345678") != marks.phone
    assert Blind(KEY).phone("01812345678") != marks.phone
    assert Blind(KEY).marks({"phone": "none", "name": " . "}) == Marks()
    assert Blind(KEY).marks({}) == Marks()
    assert blind_of(KEY) is blind_of(KEY)
