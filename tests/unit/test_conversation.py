"""One neutral reply to a text, nothing that tells the topic, and what counts as an answer."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from services.intake.channels.sms.replies import words_of
from services.intake.conversation import (
    ASKS,
    Answered,
    language_of,
    plan_reply,
    read_answer,
    stop_contact,
    take_answer,
)
from services.intake.reading import read
from services.intake.receipts import Receipt
from services.intake.reporters.status import Answer
from services.intake.talk.definition import load_definition
from shared.events import CaseFacts
from shared.sms import count_segments
from shared.text import ascii_digits

if TYPE_CHECKING:
    from services.intake.talk.definition import Fills

SAID = (
    *("received", "receipt", "no_such_number"),
    "notices_begun",
    *ASKS,
    *(f"status_{one}" for one in Answer),
)
"""Everything that a text is answered with."""

TODAY = date(2026, 11, 25)
AT = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
INBOUND = json.loads(
    (Path(__file__).parents[1] / "data" / "inbound.json").read_text(encoding="utf-8")
)
TELLS = (
    "pashe", "পাশে", "1098", "১০৯৮", "999", "৯৯৯", "child", "শিশু", "মেয়ে", "নির্যাতন", "পাচার",
    "traffick", "abuse", "case", "মামলা", "কেস", "report", "রিপোর্ট", "অভিযোগ", "http", "www",
    "police", "পুলিশ", "help", "সাহায্য", "shishu", "sahajjo",
)  # fmt: skip


def facts(**more: Any) -> CaseFacts:
    return CaseFacts(report_id=uuid4(), channel="sms", needs=["shelter"], **more)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("STOP", None),
        ("বন্ধ", None),
        ("থামাও", None),
        ("bandho koren", None),
        ("QUIT", None),
        ("নম্বর", "number"),
        ("1234 5678 9012 3456", "status"),
        ("১২৩৪৫৬-৭৮৯০.১২৩৪৫৬", "status"),
        (" ".join(Receipt(12_345_678_012_345).words), "status"),
        ("", "ask_words"),
        ("😢😢", "ask_place_and_when"),
        ("আমার মেয়েটাকে নিয়ে গেছে", "ask_place"),
        ("amar bon k niye geche", "ask_place_and_when"),
        ("আমি ১১। আব্বু আজকেও করছে। মা জানে না। কাউকে বইলেন না। ফোন চাচার।", "received"),
    ],
)
def test_a_text_gets_at_most_one_neutral_reply(text: str, kind: str | None) -> None:
    assert plan_reply(read(text, today=TODAY), stopped=False) == kind


@pytest.mark.parametrize(
    "text", ["বন্দী", "বন্দি", "bondi", "bandi", "বন্ধু", "কাজ বন্ধ করুন", "off duty"]
)
def test_words_that_look_like_a_stop_are_none(text: str) -> None:
    assert read(text, today=TODAY).command is None


def test_what_is_known_is_not_asked_again() -> None:
    reading = read("সাভারে একটা বাচ্চা দিয়ে কাজ করায়, মারে", today=TODAY)
    assert reading.place is not None
    assert plan_reply(reading, stopped=False) in ("ask_when", "received")


def test_a_stopped_number_hears_only_what_it_asks_for() -> None:
    assert plan_reply(read("আমার মেয়েটাকে নিয়ে গেছে", today=TODAY), stopped=True) is None
    assert plan_reply(read("নম্বর", today=TODAY), stopped=True) == "number"


@pytest.mark.parametrize("message", INBOUND, ids=lambda message: message["text"][:30])
def test_every_sample_gets_a_reply_in_its_language_or_none(message: dict[str, Any]) -> None:
    reading = read(message["text"], today=TODAY)
    kind = plan_reply(reading, stopped=False)
    assert (
        kind is None
        or kind == "status"
        or words_of({"number": "receipt"}.get(kind, kind), language_of(reading), receipt="x")
    )


@pytest.mark.parametrize("kind", SAID)
@pytest.mark.parametrize("language", ["bn", "banglish", "en"])
def test_each_reply_is_one_sms_that_tells_nothing(kind: str, language: str) -> None:
    longest = words_of(kind, language, receipt=Receipt(12_345_678_012_345).shown)
    assert count_segments(longest).parts == 1
    assert not [word for word in TELLS if word in longest.lower()]


@pytest.mark.parametrize("fills", ASKS["ask_place_and_when"] + ASKS["ask_words"])
def test_what_a_text_asks_is_asked_by_the_one_conversation(fills: Fills) -> None:
    question = load_definition().filling(fills)
    assert question is not None
    assert question.sms is not None
    assert all((question.sms.bn, question.sms.banglish, question.sms.en))
    digits = {one.digit for one in question.answers}
    for language in ("bn", "banglish", "en"):
        asked = question.sms.of(language)
        assert set(re.findall(r"\d", ascii_digits(asked))) == digits
        assert asked in words_of(next(k for k, v in ASKS.items() if v == (fills,)), language)


def test_every_reply_has_its_own_words_in_latin_letters() -> None:
    for kind in SAID:
        assert words_of(kind, "banglish", receipt="").isascii(), kind


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1", Answered(now=True)),
        ("১", Answered(now=True)),
        (" 2.", Answered(now=False)),
        ("৩", None),
        ("STOP", None),
        ("আমার মেয়েটাকে নিয়ে গেছে", None),
        ("আমার ছেলে ১২ বছর", None),
    ],
)
def test_only_an_answer_is_taken_for_one(text: str, answer: Answered | None) -> None:
    assert read_answer(text, read(text, today=TODAY), "ask_place_and_when") == answer


def test_a_place_alone_answers_with_and_without_the_choice() -> None:
    for text, now in (("সাভার", False), ("Savar", False), ("সাভার ১", True), ("savar 2", False)):
        found = read_answer(text, read(text, today=TODAY), "ask_place")
        assert found is not None, text
        assert found.place is not None
        assert found.now is now


def test_nothing_is_an_answer_when_nothing_was_asked() -> None:
    assert read_answer("1", read("1", today=TODAY), "received") is None


def test_an_answer_fills_in_what_was_not_known_and_takes_nothing_away() -> None:
    place = read("সাভার", today=TODAY).place
    change = take_answer(uuid4(), facts(urgency="T2"), Answered(now=True, place=place))
    assert change is not None
    new, draft = change
    assert (new.urgency, new.district, draft.type) == ("T0", "BD3026", "case-updated")
    known = facts(district="BD5010", urgency="T0")
    assert take_answer(uuid4(), known, Answered(now=False, place=place)) is None
    assert take_answer(uuid4(), facts(status="closed"), Answered(now=True)) is None


def test_a_stop_changes_contact_and_nothing_else() -> None:
    before = facts(urgency="T1", status="open")
    change = stop_contact(uuid4(), before)
    assert change is not None
    new, draft = change
    assert draft.type == "contact-recorded"
    assert new.contact_stopped
    assert (new.urgency, new.status, new.consent) == (before.urgency, "open", before.consent)
    assert stop_contact(uuid4(), new) is None
