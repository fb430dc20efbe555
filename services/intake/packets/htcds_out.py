"""A packet as a row of the Human Trafficking Case Data Standard 2.0, in CSV or JSON.

Only fields and codes of the standard (`exchange/htcds_fields.csv`). What it has no field for stands
in `cco_CaseComment`, in words: HTCDS knows no age but that at the time, no need, no urgency.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.intake.exchange.htcds import fields
from services.intake.exchange.tables import shield
from services.intake.packets.packet import Made, Packet, rest_of
from shared import places
from shared.clock import day_of
from shared.vocabulary import Concern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_GENDERS: Final = {"female": "Feminine", "male": "Masculine"}
_TRAFFICKING: Final = (Concern.CHILD_TRAFFICKING, Concern.ADULT_TRAFFICKING)
_KINDS: Final[Mapping[str, str]] = {
    Concern.FORCED_LABOUR: "ForcedLabour",
    Concern.CHILD_LABOUR: "ChildLabour",
    Concern.CHILD_SEXUAL_EXPLOITATION: "SexualExploitation",
    Concern.CHILD_MARRIAGE: "ForcedMarriage",
    Concern.ORGAN_REMOVAL: "OrganRemoval",
    Concern.FORCED_BEGGING: "ForcedBegging",
    Concern.OTHER: "Other",
}
"""Concerns that have a code of `vic_TypeOfExploitation` of the same meaning, both ways."""

_SEXUAL: Final[Mapping[str, str]] = {
    Concern.ONLINE_SEXUAL_EXPLOITATION: "RemoteInteractiveServices"
}
_LANGUAGES: Final = {"bn": "ben", "en": "eng"}
MANY: Final = ";"
"""What divides several codes in a cell; the standard names none."""


def row_of(packet: Packet) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of a packet by name (lists where several may be), and what is left."""
    facts, concerns = packet.facts, packet.facts.concerns
    kinds = [_KINDS[c] for c in concerns if c in _KINDS]
    online = [_SEXUAL[c] for c in concerns if c in _SEXUAL]
    trafficked = any(c in _TRAFFICKING for c in concerns)
    first, _, second = (packet.name or "").partition(" ")
    home, event = packet.places("home"), packet.places("event")
    row: dict[str, Any] = {
        "prs_FirstName": first,
        "prs_SecondName": second,
        "prs_Gender": _GENDERS.get(facts.sex, "NonSpecifiedUnknown"),
        "prs_PrimaryLanguage": _language(facts.languages),
        "prs_MobilePhone": (packet.phone or "").lstrip("+"),
        "prs_MailingStreet": ", ".join(home),
        "vic_TraffickingStatus": "PossibleVictimOfTrafficking" if trafficked else None,
        "vic_TypeOfExploitation": kinds,
        "vic_TypeOfSexExploitation": online,
        "cas_Status": "Active" if facts.status != "closed" else "Closed",
        "cas_ReferredOrganisation": packet.to,
        "cas_ReasonForOutgoingReferral": "AdditionalServicesRequired",
        "cas_OutgoingReferralDate": day_of(packet.made_at).isoformat(),
        "hte_Street": ", ".join(event),
        "hte_City": _named(facts.upazila),
        "hte_State": _named(facts.district),
        "hte_Country": "BGD" if facts.district else None,
        "hte_Date": packet.happened[:10] if packet.happened else None,
        "hte_Description": packet.narrative,
        "con_Consent": "true",
    }
    said = {
        "concern": [c for c in concerns if c in (*_KINDS, *_TRAFFICKING, *_SEXUAL)],
        "sex": [facts.sex] if facts.sex in _GENDERS else [],
        "language": facts.languages[:1],
    }
    rest = rest_of(packet, said)
    row["cco_CaseComment"] = "; ".join(rest)
    return {name: value for name, value in row.items() if value}, rest


def _language(languages: Sequence[str]) -> str | None:
    return _LANGUAGES.get(languages[0], languages[0]) if languages else None


def _named(pcode: str | None) -> str | None:
    place = places.find(pcode) if pcode else None
    return place.name_en if place is not None else None


def make_csv(packet: Packet) -> Made:
    """Return the packet as a file of all fields of the standard and one row."""
    row, rest = row_of(packet)
    out = io.StringIO(newline="")
    table = csv.writer(out, lineterminator="\r\n")
    table.writerow(fields())
    cells = (row.get(name, "") for name in fields())
    table.writerow(shield(MANY.join(c) if isinstance(c, list) else str(c)) for c in cells)
    return Made(out.getvalue().encode("utf-8-sig"), "text/csv; charset=utf-8", "csv", rest)


def make_json(packet: Packet) -> Made:
    """Return the packet as a list of one object, whose members are fields of the standard."""
    row, rest = row_of(packet)
    return Made(msgspec.json.encode([row]), "application/json", "json", rest)
