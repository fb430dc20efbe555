"""What somebody told in the steps of the public page, and the report that it makes: purely.

What was not said stays unknown. A reporter's tick is no consent of somebody else (SAFETY 4), and
nobody is reached who did not say how it is safe (SAFETY 1).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final, Literal

import msgspec

from shared.text import PhoneInvalid, parse_phone

Who = Literal["", "self", "one", "several", "place", "unsure"]
Yes = Literal["", "yes", "no", "unsure"]

AGES: Final = ("0-5", "6-11", "12-14", "15-17", "18-120")
SEXES: Final = ("female", "male", "hijra", "not_said", "unknown")
HOURS: Final = {"morning": "08:00-12:00", "afternoon": "12:00-17:00", "evening": "17:00-21:00"}
MOST: Final = 10
"""Persons that one telling can hold one by one; more are told in words."""

ABROAD: Final = "abroad"
NOWHERE: Final = "ZZ"
"""The country of a place abroad that nobody named (ISO 3166-1 leaves this code to its users)."""


class Person(msgspec.Struct, frozen=True):
    """One person as far as somebody knows: a band of ages in years, and the sex."""

    age: str = ""
    sex: str = ""


class Told(msgspec.Struct, frozen=True):
    """Everything that was told so far; empty is what was not asked or not said."""

    key: str
    door: Literal["tell", "help"] = "tell"
    danger: Yes = ""
    who: Who = ""
    persons: tuple[Person, ...] = ()
    place: str = ""
    district: str = ""
    pcode: str = ""
    concerns: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    words: str = ""
    agreed: Literal["", "yes", "no", "later"] = ""
    aware: Yes = ""
    contact: Literal["", "no", "sms", "call"] = ""
    number: str = ""
    hours: tuple[str, ...] = ()
    ask_for: str = ""
    agreed_word: str = ""
    shared: Yes = ""

    @property
    def about_people(self) -> bool:
        """Whether there are persons to ask about."""
        return self.who in ("self", "one", "several")


def number_of(said: str) -> str | None:
    """Return a telephone number in E.164, None when it is none."""
    try:
        return parse_phone(said)
    except PhoneInvalid:
        return None


def report_of(told: Told, language: str) -> dict[str, Any]:
    """Return the body of `POST /intake/v1/reports` that this telling makes."""
    contact = _contact(told)
    report: dict[str, Any] = {
        "channel": "web",
        "language": language,
        "about": _about(told),
        "reporter": {"kind": "self" if told.who == "self" else "unknown"},
        "persons": _persons(told),
        "places": _places(told),
        "concerns": list(dict.fromkeys(told.concerns)),
        "needs": list(dict.fromkeys(told.needs)),
        "narrative": told.words or None,
    }
    if told.danger in ("yes", "no"):
        report["danger_now"] = told.danger == "yes"
    if contact is not None and told.who == "self":
        report["persons"][0] |= {"phone": contact["number"], "safe_contact": contact}
    elif contact is not None:
        report["reporter"] |= {"phone": contact["number"], "safe_contact": contact}
    if told.who == "self" and told.agreed == "yes":
        report["consent"] = [
            {
                "person": "a",
                "given_by": "person",
                "how": "written",
                "explained": True,
                "allows": ["refer"],
                "purposes": list(dict.fromkeys(told.needs)),
                "basis": "consent",
            }
        ]
    return report


def key_of(told: Told, body: bytes) -> str:
    """Return the idempotency key of a sending: the same words once, changed words anew.

    A double click is one report; whoever went back and changed something has said something else,
    which must not be lost.
    """
    return hmac.new(told.key.encode(), body, hashlib.sha256).hexdigest()


def _about(told: Told) -> str:
    if told.who == "place":
        return "place"
    if told.door == "help":
        return "service_wanted"
    return "people" if told.about_people else "unsure"


def _persons(told: Told) -> list[dict[str, Any]]:
    if not told.about_people:
        return []
    made = []
    for ref, person in zip("abcdefghij", told.persons or (Person(),), strict=False):
        one: dict[str, Any] = {"ref": ref, "role": "at_risk"}
        if person.age in AGES:
            low, _, high = person.age.partition("-")
            basis = "stated" if told.who == "self" else "estimated"
            age = {"min": int(low), "max": int(high), "basis": basis}
            one["age"] = age if person.age != AGES[-1] else age | {"max": None}
        if person.sex in SEXES:
            one["sex"] = person.sex
        if told.aware and told.who != "self":
            one["aware_of_report"] = told.aware
        made.append(one)
    return made


def _places(told: Told) -> list[dict[str, Any]]:
    if not (told.place or told.district or told.pcode):
        return []
    role = "now" if told.about_people else "event"
    place: dict[str, Any] = {"role": role, "text": told.place or None}
    if told.district == ABROAD:
        return [place | {"country": NOWHERE}]
    return [place | {"pcode": told.pcode or told.district or None, "confirmed": bool(told.pcode)}]


def _contact(told: Told) -> dict[str, Any] | None:
    number = number_of(told.number)
    if told.contact not in ("sms", "call") or number is None:
        return None
    return {
        "allowed": True,
        "channel": told.contact,
        "number": number,
        "hours": [hours for name, hours in HOURS.items() if name in told.hours],
        "ask_for": told.ask_for or None,
        "safe_word": told.agreed_word or None,
        "shared_phone": {"yes": True, "no": False}.get(told.shared),
    }
