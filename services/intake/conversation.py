"""What is answered to a text, and whether a text is an answer, purely (SAFETY 7c, 7d).

At most one neutral reply to each message. Nothing is asked of somebody whose phone may be watched,
and what is known is not asked again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from services.intake.contacts.answer import parse_answer
from services.intake.domain import place_of
from services.intake.talk.definition import load_definition
from shared.events import CASES, Draft
from shared.text import ascii_digits
from shared.vocabulary import Concern, Urgency

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from services.intake.reading import Reading
    from services.intake.talk.definition import Fills
    from shared.events import CaseFacts

REPLY_WITHIN: Final = timedelta(minutes=2)
"""A reply that is not out by then is not sent at all."""

ANSWER_WITHIN: Final = timedelta(hours=24)
"""How long after a question a text of the same number may be its answer."""

ASKS: Final[Mapping[str, tuple[Fills, ...]]] = {
    "ask_place_and_when": ("place", "danger_now"),
    "ask_place": ("place",),
    "ask_when": ("danger_now",),
    "ask_words": ("words",),
}
"""What each reply that asks wants to know, of the one conversation (`talk.toml`)."""

QUESTIONS: Final = frozenset(ASKS) - {"ask_words"}

_DIGIT_ALONE: Final = re.compile(r"\W*(\d)\W*")
_DIGIT_AMONG: Final = re.compile(r"(?<!\w)(\d)(?!\w)")
_ANSWER_WORDS: Final = 6


def plan_reply(reading: Reading, *, stopped: bool) -> str | None:
    """Return which reply a text gets, or None: to a stop, an advertisement, a stopped number."""
    match reading.command:
        case "stop":
            return None
        case "receipt_request":
            return "number"
        case "receipt_code":
            return "status"
    if stopped or reading.noise == "advertising":
        return None
    if reading.tell_nobody or reading.shared_phone or reading.family_alleged:
        return "received"
    if reading.noise == "empty":
        return "ask_words"
    no_place = reading.place is None and reading.place_detail is None
    if reading.urgency is None:
        return "ask_place_and_when" if no_place else "ask_when"
    return "ask_place" if no_place else "received"


def plan_reply_to_worker(text: str, *, stopped: bool) -> str | None:
    """Return which reply a stored text of a provider's worker gets if it was meant as an answer.

    It fitted no referral, or it would not be stored. None when it says something else.
    """
    return "no_such_code" if parse_answer(text) is not None and not stopped else None


def language_of(reading: Reading) -> str:
    """Return the language of a reply: the text's own, Bangla when it cannot be told."""
    return reading.language or "bn"


@dataclass(frozen=True, slots=True)
class Answered:
    """What a text says in answer to the question before it."""

    now: bool = False
    place: str | None = None


def read_answer(text: str, reading: Reading, asked: str) -> Answered | None:
    """Return what a text answers, or None when it says more than an answer and is a report."""
    if asked not in QUESTIONS or reading.command is not None:
        return None
    if set(reading.concerns) - {Concern.UNSURE} or reading.age is not None:
        return None
    plain = ascii_digits(text).strip()
    if (found := _DIGIT_ALONE.fullmatch(plain)) and found[1] in _when():
        return Answered(now=_when()[found[1]] == "yes")
    place = reading.place_detail or reading.place
    if place is None or len(plain.split()) > _ANSWER_WORDS:
        return None
    choice = next((d for d in _DIGIT_AMONG.findall(plain) if d in _when()), "")
    return Answered(now=_when().get(choice) == "yes", place=place)


def _when() -> Mapping[str, str]:
    """Return what each digit answers to "when", by the one conversation."""
    question = load_definition().filling("danger_now")
    return {one.digit: one.value for one in question.answers} if question else {}


def take_answer(
    case_id: UUID, facts: CaseFacts, answer: Answered
) -> tuple[CaseFacts, Draft] | None:
    """Fill in what an answer says and the case does not know yet; None if it adds nothing."""
    upazila, district = facts.upazila, facts.district
    if district is None and answer.place is not None:
        upazila, district = place_of([{"pcode": answer.place}])
    urgency = Urgency.T0 if answer.now else facts.urgency
    new = msgspec.structs.replace(facts, upazila=upazila, district=district, urgency=urgency)
    if new == facts or facts.status == "closed":
        return None
    return new, Draft(CASES, "case-updated", str(case_id), new, tuple(new.needs))


def stop_contact(case_id: UUID, facts: CaseFacts) -> tuple[CaseFacts, Draft] | None:
    """Note that somebody with the number stopped messages: nothing else changes (SAFETY 7c)."""
    if facts.contact_stopped or facts.status == "closed":
        return None
    new = msgspec.structs.replace(facts, contact_stopped=True)
    return new, Draft(CASES, "contact-recorded", str(case_id), new, tuple(new.needs))
