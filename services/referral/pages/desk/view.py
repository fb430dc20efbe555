"""What the desk sees of a case's referrals, purely: reasons in words, and what may be chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from services.referral.eligibility import AREA, CHOOSABLE, IN, NOT_ACTIVE, OPEN_TO_PERSONS
from services.referral.explaining import reasons

if TYPE_CHECKING:
    from collections.abc import Mapping

MANY: Final = 40
"""Offers that a form lets a person choose from."""

ORDER: Final = (
    "waiting", "planned", "expired", "declined", "assigned", "waitlisted", "accepted",
    "in_service", "on_hold", "failed", "delivered", "withdrawn", "entered_in_error",
)  # fmt: skip
"""States by how much somebody should look at them."""

ENDED: Final = frozenset(
    {"declined", "expired", "failed", "delivered", "withdrawn", "entered_in_error"}
)


@dataclass(frozen=True, slots=True)
class Choice:
    """An offer that a person may choose: its provider, its name, and why a machine did not."""

    offer_id: str
    name: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """Offers by how they come into question: they can; a person decides; outside of the area."""

    able: tuple[Choice, ...] = ()
    decide: tuple[Choice, ...] = ()
    beyond: tuple[Choice, ...] = ()
    call: tuple[Choice, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.able or self.decide or self.beyond)


@dataclass(frozen=True, slots=True)
class Shown:
    """One referral as a page shows it."""

    referral: dict[str, Any]
    provider: str
    outcome: str = ""
    lines: tuple[str, ...] = ()
    choices: Choices = field(default_factory=Choices)

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.referral["state"] in ENDED


def choices_in(
    told: Mapping[str, Any], names: Mapping[str, Mapping[str, str]], language: str
) -> Choices:
    """Return which offers of an explanation a person may choose, best first."""
    words = reasons()
    found: dict[str, list[Choice]] = {"able": [], "decide": [], "beyond": [], "call": []}
    place = {offer_id: number for number, offer_id in enumerate(told["ranking"])}
    lines = [line for line in told["considered"] if "offer_id" in line]
    lines.sort(key=lambda line: place.get(line["offer_id"], len(place)))
    near = {offer_id: number for number, offer_id in enumerate(told.get("beyond", ()))}
    for line in lines:
        verdict = line["verdict"]
        named = names.get(line["provider_id"], {}).get(language) or line["provider_id"]
        why = "; ".join(words.get(r, {}).get(language, r) for r in line.get("out", ()))
        choice = Choice(line["offer_id"], named, why)
        if verdict == NOT_ACTIVE:
            found["call"].append(choice)
        elif verdict == IN:
            found["able"].append(choice)
        elif verdict == AREA:
            found["beyond"].append(choice)
        elif verdict in OPEN_TO_PERSONS or verdict in CHOOSABLE:
            found["decide"].append(choice)
    found["beyond"].sort(key=lambda one: near.get(one.offer_id, len(near)))
    return Choices(**{kind: tuple(some[:MANY]) for kind, some in found.items()})


def in_order(shown: list[Shown]) -> list[Shown]:
    """Return referrals by need, what must be looked at first."""
    place = {state: number for number, state in enumerate(ORDER)}
    return sorted(shown, key=lambda s: (s.ended, place.get(s.referral["state"], 0)))
