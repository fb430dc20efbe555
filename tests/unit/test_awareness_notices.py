"""Notices of awareness: which text asks for them, what one may be, and when it goes out."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from services.intake.awareness.asking import Ask, ends_notices, parse_ask
from services.intake.awareness.messages import faults, make_message, may_send, text_of
from services.intake.awareness.sets import list_sets
from shared.sms import count_segments

if TYPE_CHECKING:
    from services.intake.awareness.messages_store import Message

TODAY = date(2026, 11, 29)
NOON = datetime(2026, 11, 29, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ask"),
    [
        ("খবর চাই", Ask("bn")),
        (" খবর চাই। ", Ask("bn")),
        ("KHOBOR CHAI", Ask("banglish")),
        ("Khobor  chai", Ask("banglish")),
        ("NEWS", Ask("en")),
        ("news.", Ask("en")),
        ("খ\u200bবর চাই", Ask("bn")),
        ("খবর চাই সাভার", Ask("bn", "BD3026")),
        ("খবর চাই সাভার, ঢাকা", Ask("bn", "BD3026")),
        ("খবর চাই ঢাকা জেলা", Ask("bn", "BD3026")),
        ("khobor chai savar", Ask("banglish", "BD3026")),
        ("NEWS Kurigram", Ask("en", "BD5549")),
    ],
)
def test_the_keyword_with_at_most_a_place_asks(text: str, ask: Ask) -> None:
    assert parse_ask(text, TODAY) == ask
    assert ask.notices == ("en" if ask.language == "en" else "bn")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "খবর চাই?",
        "খবর চাই!",
        "খবরটা",
        "খবর চাই দাও",
        "খবর চাই আছে",
        "খবর চাই নাই",
        "খবর চাই বন্দি",
        "খবর চাই পাচার",
        "খবর চাই মারছে",
        "খবর চাই মেয়েটা সাভারে",
        "খবর চাই সাভার আমাকে বাঁচান",
        "খবর চাই নবাবগঞ্জ",
        "খবর চাই খুলনা বিভাগ",
        "খবর চাই বন্ধ",
        "খবর চাই ১",
        "খবর চাই 01700000000",
        "খবর চাই 1234 5678 9012 3456",
        "খবর",
        "khobor",
        "আমার খবর চাই",
        "সাভার খবর",
        "news news",
        "no news",
        "newsletter",
        "NEWS nowhere",
        "STOP",
        "নম্বর",
        "খবর চাই " + "সাভার " * 20,
    ],
)
def test_whatever_says_more_or_is_not_understood_is_a_text_as_any_other(text: str) -> None:
    assert parse_ask(text, TODAY) is None


def test_the_keyword_with_a_stop_ends_the_notices() -> None:
    for text in ("খবর চাই বন্ধ", "STOP NEWS", "khobor chai bondho", "news off", "খবর চাই স্টপ।"):
        assert ends_notices(text), text
    for text in (
        "খবর চাই",
        "বন্ধ",
        "খবর চাই বন্ধু",
        "কাজ বন্ধ",
        "খবর চাই বন্ধ করেছে",
        "news news",
        "stop stop",
    ):
        assert not ends_notices(text), text


def test_each_notice_is_one_segment_in_both_languages() -> None:
    for one in list_sets("bn"):
        for language in ("bn", "en"):
            said = text_of(one.name, language)
            assert said
            assert count_segments(said).parts == 1, (one.name, language)
    assert text_of("nothing", "bn") is None


@pytest.mark.parametrize(
    ("hour", "minute", "may"),
    [(3, 59, False), (4, 0, True), (11, 59, True), (12, 0, False), (18, 0, False), (22, 0, False)],
)
def test_notices_go_out_by_day_in_dhaka(hour: int, minute: int, *, may: bool) -> None:
    assert may_send(datetime(2026, 11, 29, hour, minute, tzinfo=UTC)) is may


def message(of: str = "online", *places: str) -> Message:
    return make_message(of, places, "coordinator:c1", NOON)


def test_a_division_is_its_districts_and_what_cannot_be_is_named() -> None:
    assert message().districts == ()
    assert len(message("online", "BD30").districts) == 13
    assert message("online", "BD3026", "BD3026").districts == ("BD3026",)
    assert faults(message()) == faults(message("online", "BD30", "BD5549")) == []
    assert faults(message("nothing", "BD30260072")) == [
        ("set", "unknown"),
        ("places", "not-a-division-or-district"),
    ]
    assert faults(message("online", "X")) == [("places", "not-a-division-or-district")]
