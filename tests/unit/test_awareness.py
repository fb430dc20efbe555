"""The sets of awareness: every channel in both languages, short, calm, in their season."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from services.intake import awareness
from services.intake.awareness.service import faults, hide, is_near, make_talk
from services.intake.awareness.sets import (
    LINES,
    find_set,
    in_season_first,
    lines_of,
    list_sets,
    load_guide,
    say_radio,
    with_danger,
)
from services.intake.helplines import load_lines
from services.intake.pages.awareness import _code
from shared.access import Caller
from shared.membership import Membership
from shared.places import find
from shared.vocabulary import Role
from tests.support.glossary import forbidden

if TYPE_CHECKING:
    from services.intake.awareness.sets import Set
    from services.intake.awareness.store import Talk
    from shared.pages.languages import Language

CONTENT = Path(awareness.__file__).with_name("content")
BANGLA = re.compile("[\u0980-\u09ff]")
NOON = datetime(2026, 11, 29, 6, tzinfo=UTC)
TODAY = date(2026, 11, 29)
NUMBER = re.compile("[0-9০-৯]{3,}")
GSM = 160
UCS2 = 70


def named(language: Language, name: str) -> Set:
    found = find_set(language, name)
    assert found is not None
    return found


def test_both_languages_have_every_set_and_every_channel() -> None:
    bangla, english = list_sets("bn"), list_sets("en")
    assert [one.number for one in bangla] == list(range(1, len(bangla) + 1))
    for one, other in zip(bangla, english, strict=True):
        assert (one.name, one.lines, one.seasons) == (other.name, other.lines, other.seasons)
        for part in ("points", "questions", "never"):
            assert len(getattr(one.courtyard, part)) == len(getattr(other.courtyard, part))
        for told, written in ((one, True), (other, False)):
            said = [told.title, told.about, told.sms, told.radio, told.poster.headline]
            said += [*told.poster.lines, *told.courtyard.points, *told.courtyard.questions]
            said += told.courtyard.never
            for text in said:
                assert text.strip(), told.name
                assert bool(BANGLA.search(text)) is written, text
    for part in ("before", "during", "after"):
        assert len(getattr(load_guide("bn"), part)) == len(getattr(load_guide("en"), part))
    files = {file.name for file in (CONTENT / "bn").iterdir()}
    assert files == {file.name for file in (CONTENT / "en").iterdir()}
    assert files == {f"{one.number}-{one.name}.toml" for one in bangla} | {"guide.toml"}


def test_an_sms_is_one_segment_and_names_no_number_link_or_product() -> None:
    for told in list_sets("bn"):
        assert len(told.sms.encode("utf-16-le")) // 2 <= UCS2, told.name
    for told in list_sets("en"):
        assert told.sms.isascii(), told.name
        assert len(told.sms) <= GSM, told.name
    for told in (*list_sets("bn"), *list_sets("en")):
        assert not re.search(r"[0-9০-৯]|://|\.[a-z]|pashe|পাশে|\{", told.sms, re.IGNORECASE)


def test_a_radio_script_lasts_about_thirty_seconds_and_says_the_numbers_once() -> None:
    for told in list_sets("bn"):
        assert told.radio.count(LINES) == 1
        assert 50 <= len(told.radio.split()) <= 80, (told.name, len(told.radio.split()))
    for told in list_sets("en"):
        assert told.radio.count(LINES) == 1
        assert 60 <= len(told.radio.split()) <= 90, (told.name, len(told.radio.split()))
    said = say_radio(named("bn", "online"), ["১০৯৮", "১০৯"], "bn")
    assert "১০৯৮ বা ১০৯" in said[-1]
    assert LINES not in " ".join(said)


def test_no_text_holds_a_word_that_no_screen_holds() -> None:
    for file in CONTENT.rglob("*.toml"):
        text = file.read_text("utf-8")
        assert not forbidden(text, public=True), file
        assert "!" not in text, f"{file}: calm"
        assert not NUMBER.search(text), f"{file}: numbers to call stand in helplines.toml"


def test_its_lines_are_helplines_and_a_silent_one_is_replaced() -> None:
    lines = load_lines()
    for told in list_sets("bn"):
        assert [one.number for one in lines_of(told, lines, TODAY)] == list(told.lines)
    silent = [
        msgspec.structs.replace(one, status="silent") if one.number == "109" else one
        for one in lines
    ]
    answering = lines_of(named("bn", "online"), silent, TODAY)
    assert [one.number for one in answering] == ["1098"]
    assert [one.number for one in with_danger(answering, lines, TODAY)] == ["1098", "999"]
    assert with_danger(list(lines), lines, TODAY) == list(lines)
    silent = [
        msgspec.structs.replace(one, status="silent") if one.number == "1098" else one
        for one in lines
    ]
    assert [one.number for one in lines_of(named("bn", "job-offers"), silent, TODAY)] == [
        "109",
        "999",
    ]


def test_a_set_comes_first_in_its_season_and_in_its_place() -> None:
    def first(day: date, place: str | None = None) -> list[str]:
        sets = list_sets("bn")
        return [one.name for one in in_season_first(sets, day, place) if one.now(day, place)]

    every = [one.name for one in list_sets("bn")]
    assert first(date(2026, 11, 29)) == every
    assert first(date(2026, 11, 29), "BD30260038") == ["school-end", "brick-kilns", "online"]
    assert first(date(2026, 7, 1)) == ["job-offers", "online"]
    assert first(date(2026, 7, 1), "BD3026") == ["online"]
    assert first(date(2026, 7, 1), "BD5088") == ["job-offers", "online"]
    assert first(date(2027, 2, 8), "BD3026")[0] == "job-offers"
    assert "job-offers" not in first(date(2027, 2, 7), "BD3026")
    assert "job-offers" not in first(date(2027, 3, 13), "BD3026")
    order = [one.name for one in in_season_first(list_sets("bn"), date(2026, 7, 1), "BD3026")]
    assert order == ["online", "job-offers", "school-end", "brick-kilns"]
    for one in list_sets("bn"):
        for season in one.seasons:
            assert season.months or (season.begins and season.until)
            assert season.begins is None or season.begins < (season.until or date.min)
            assert all(find(place) for place in season.places)


def test_every_poster_has_the_same_address() -> None:
    code = _code("https://example.org")
    assert code.startswith("data:image/svg+xml")
    assert "style" not in code
    assert code == _code("https://example.org")


def talk(**other: int | str | date) -> Talk:
    told = {"of": "online", "place": "BD30260038", "day": TODAY}
    people = {"women": 5, "men": 0, "girls": 7, "boys": 0}
    return make_talk(**{**told, **people, **other})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("other", "wrong"),
    [
        ({}, []),
        ({"of": "nothing"}, [("set", "unknown")]),
        ({"place": "BD3026"}, [("place", "not-an-upazila")]),
        ({"place": "X"}, [("place", "not-an-upazila")]),
        ({"day": date(2026, 11, 30)}, [("day", "in-the-future")]),
        ({"day": date(2025, 11, 28)}, [("day", "too-long-ago")]),
        ({"women": 0, "girls": 0}, [("women", "nobody-came")]),
    ],
)
def test_a_count_that_cannot_be_so_is_named(
    other: dict[str, int | str | date], wrong: list[tuple[str, str]]
) -> None:
    assert faults(talk(**other), TODAY) == wrong


def test_a_small_number_of_reports_is_never_shown() -> None:
    assert [hide(number) for number in (0, 1, 4, 5, 40)] == [None, None, None, 5, 40]


def test_a_member_counts_in_the_own_upazila_only() -> None:
    member = Caller(
        "m", Role.COMMITTEE_MEMBER, memberships=(Membership("ctc_member", "BD30260038"),)
    )
    assert is_near(member, "BD30260038", TODAY)
    assert not is_near(member, "BD30260014", TODAY)
    over = Membership("ctc_member", "BD30260038", until=date(2026, 11, 28))
    assert not is_near(replace(member, memberships=(over,)), "BD30260038", TODAY)
    assert is_near(Caller("c", Role.COORDINATOR), "BD30260014", TODAY)
