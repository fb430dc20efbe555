"""What is counted of one case, folded from its events. Purely; the order of events may differ.

Nothing here is finer than what the events hold, and only what some figure needs is kept.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from shared.events import CaseFacts, ReferralFacts, ReportSubmitted
from shared.vocabulary import Role

if TYPE_CHECKING:
    from shared.events import Event

CENTRE: Final = "centre"
"""The initiative of a report that no partner brought."""

_NOT_COUNTED: Final = frozenset({"duplicate", "entered_in_error"})
"""Reasons of closing after which there was no such matter."""

_PARTNER: Final = f"{Role.PARTNER}:"


class Help(msgspec.Struct, kw_only=True):
    """How far one need came: when each step was reached first, whether one said no, or failed."""

    planned: datetime | None = None
    assigned: datetime | None = None
    accepted: datetime | None = None
    contacted: datetime | None = None
    delivered: datetime | None = None
    declined: bool = False
    failed: bool = False


class Person(msgspec.Struct, kw_only=True):
    """One case: who it is about, coarsely, and how far each need came.

    `sequence` is that of the newest facts, `ended` that of the newest closing or opening again.
    """

    sequence: int = 0
    opened: datetime | None = None
    district: str | None = None
    age: int | None = None
    sex: str = "unknown"
    channel: str | None = None
    initiative: str = CENTRE
    household: UUID | None = None
    concerns: list[str] = []
    test: bool = False
    ended: int = 0
    void: bool = False
    helps: dict[str, Help] = {}

    @property
    def counts(self) -> bool:
        """Whether it is counted anywhere: test traffic and mistakes are not (SAFETY 30)."""
        return self.opened is not None and not self.test and not self.void


STEPS: Final = {
    "referral-planned": "planned",
    "referral-assigned": "assigned",
    "referral-accepted": "accepted",
    "first-contact-made": "contacted",
    "service-delivered": "delivered",
}
"""Which step an event of a referral is."""

_IMPLIED: Final = {
    "accepted": ("assigned",),
    "contacted": ("assigned", "accepted"),
    "delivered": ("assigned", "accepted"),
}
"""Steps that must have been before a step, should their own events never come."""


def cases_of(event: Event) -> list[str]:
    """Return the cases of which an event says something that is counted."""
    match event.data:
        case ReportSubmitted():
            return [str(case_id) for case_id in event.data.case_ids]
        case CaseFacts() | ReferralFacts():
            return [event.subject]
    return []


def fold(person: Person, event: Event) -> None:
    """Take in what an event says; the same event twice, or late, changes nothing more."""
    match event.data:
        case ReportSubmitted() as data:
            person.test = person.test or data.test
            if event.actor.startswith(_PARTNER):
                person.initiative = event.actor.removeprefix(_PARTNER)
        case CaseFacts() as data:
            _fold_case(person, event, data)
        case ReferralFacts() as data:
            _fold_referral(person, event, data)


def _fold_case(person: Person, event: Event, facts: CaseFacts) -> None:
    person.test = person.test or facts.test
    person.opened = _earlier(person.opened, event.time)
    if event.type in ("case-closed", "case-reopened") and event.sequence > person.ended:
        person.ended = event.sequence
        person.void = event.type == "case-closed" and facts.reason in _NOT_COUNTED
    if event.sequence <= person.sequence:
        return
    person.sequence = event.sequence
    person.district, person.age, person.sex = facts.district, facts.age, facts.sex
    person.channel, person.concerns = facts.channel, sorted(set(facts.concerns))
    person.household = facts.household_id


def _fold_referral(person: Person, event: Event, facts: ReferralFacts) -> None:
    person.test = person.test or facts.test
    help_ = person.helps.setdefault(facts.need, Help())
    help_.declined = help_.declined or event.type == "referral-declined"
    help_.failed = help_.failed or event.type == "service-failed"
    step = STEPS.get(event.type)
    for each in (*_IMPLIED.get(step or "", ()), *((step,) if step else ())):
        setattr(help_, each, _earlier(getattr(help_, each), event.time))
    help_.planned = _earlier(help_.planned, event.time)


def _earlier(known: datetime | None, at: datetime) -> datetime:
    return at if known is None else min(known, at)


_encoder: Final = msgspec.json.Encoder(order="deterministic")
_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(Person)


def encode_person(person: Person) -> str:
    """Return a person as JSON, the same text for the same facts."""
    return _encoder.encode(person).decode()


def decode_person(text: str | bytes) -> Person:
    """Return a person as it was kept."""
    found: Person = _decoder.decode(text)
    return found
