"""What a packet for another centre holds, whatever its format: as much as was agreed to. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from shared.text import PhoneInvalid, parse_phone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from shared.events import CaseFacts

FORMATS: Final = ("htcds-csv", "htcds-json", "primero", "fhir", "pdf")


@dataclass(frozen=True, slots=True)
class Packet:
    """One case for one receiver. `told` has only fields that were agreed to, opened.

    `age` is the range as it was reported, with how it is known; `happened` a moment in RFC 3339;
    `given_by` and `basis` are of the consent it rests on. `references` are numbers of other offices
    (system and value), if they were agreed to.
    """

    packet_id: UUID
    case_id: UUID
    to: str
    made_at: datetime
    received_at: datetime
    facts: CaseFacts
    told: Mapping[str, Any]
    age: Mapping[str, Any] | None = None
    happened: str | None = None
    given_by: str = "person"
    basis: str = "consent"
    references: Sequence[Mapping[str, str]] = ()

    @property
    def name(self) -> str | None:
        """The person's name, if it may be told."""
        return self.told.get("name") or None

    @property
    def phone(self) -> str | None:
        """A number that is safe to call, in E.164; one that is none is told as it was written."""
        contact = self.told.get("safe_contact") or {}
        said = contact.get("number") or self.told.get("phone")
        if not said:
            return None
        try:
            return parse_phone(str(said))
        except PhoneInvalid:
            return str(said)

    @property
    def narrative(self) -> str | None:
        """What was told, in the reporter's words, if it may be."""
        return self.told.get("narrative") or None

    def places(self, role: str) -> list[str]:
        """Return the places of a role as texts."""
        found = self.told.get("places") or []
        return [str(one["text"]) for one in found if one.get("role") == role and one.get("text")]


@dataclass(frozen=True, slots=True)
class Made:
    """A packet in one format. `rest` names what the format has no word for: it is told in words."""

    raw: bytes
    media_type: str
    suffix: str
    rest: list[str] = field(default_factory=list)


def rest_of(packet: Packet, said: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what a format could not say, each as `concern: missing_child`.

    `said` has the concerns, needs and the like that it did say.
    """
    whole: dict[str, Sequence[str]] = {
        "concern": packet.facts.concerns,
        "need": packet.facts.needs,
        "sex": [packet.facts.sex],
        "age": [_age_text(packet.age)] if packet.age else [],
        "language": packet.facts.languages,
        "support": packet.facts.support,
        "urgency": [packet.facts.urgency] if packet.facts.urgency else [],
        "reference": [f"{one['system']} {one['value']}" for one in packet.references],
    }
    return [
        f"{kind}: {value}"
        for kind, values in whole.items()
        for value in values
        if value not in said.get(kind, ()) and value not in ("unknown", "unsure")
    ]


def _age_text(age: Mapping[str, Any]) -> str:
    low, high = age.get("min"), age.get("max")
    years = (
        f"{low}"
        if low == high
        else f"{'?' if low is None else low}-{'?' if high is None else high}"
    )
    return f"{years} ({age['basis']})" if age.get("basis") else years
