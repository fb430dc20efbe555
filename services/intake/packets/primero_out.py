"""A packet as Primero v2 takes it: the case, and a referral for each need that it has a code for.

Only ids of Primero's own seeds that were checked (`exchange/primero.py`); sites change theirs, so
that who receives it reads `/api/v2/lookups` first. What has no code is in the referrals' `notes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import uuid5

import msgspec

from services.intake.packets.packet import Made, Packet, rest_of
from shared.clock import day_of
from shared.vocabulary import Concern, Need, Urgency

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULE: Final = "primeromodule-cp"
_CONCERNS: Final[Mapping[str, str]] = {
    Concern.CHILD_SEXUAL_EXPLOITATION: "sexually_exploited",
    Concern.CHILD_TRAFFICKING: "trafficked_smuggled",
    Concern.ADULT_TRAFFICKING: "trafficked_smuggled",
    Concern.PHYSICAL_VIOLENCE: "physically_or_mentally_abused",
    Concern.HAZARDOUS_CHILD_LABOUR: "worst_forms_of_child_labor",
    Concern.OTHER: "other",
}
_SERVICES: Final[Mapping[str, str]] = {
    Need.SHELTER: "safehouse_service",
    Need.MEDICAL: "health_medical_service",
    Need.PSYCHOSOCIAL: "psychosocial_service",
    Need.LEGAL_AID: "legal_assistance_service",
    Need.LIVELIHOOD: "livelihoods_service",
    Need.CASE_MANAGEMENT: "child_protection_service",
    Need.FAMILY_SUPPORT: "family_mediation_service",
    Need.FAMILY_TRACING: "family_seunification_service",  # so spelt by Primero
    Need.EDUCATION: "education_service",
    Need.FOOD_AND_ITEMS: "food_service",
    Need.CIVIL_DOCUMENTS: "registration_service",
}
_TIMEFRAMES: Final[Mapping[str, str]] = {
    Urgency.T0: "1_hour",
    Urgency.T1: "1_day",
    Urgency.T2: "3_days",
}
_LEVELS: Final = ("high", "medium", "low")
_SEXES: Final = ("female", "male")


def make_primero(packet: Packet) -> Made:
    """Return `{"case": {"data": …}, "referrals": [{"data": …}]}`, as its interface takes them."""
    facts = packet.facts
    wanted = _TIMEFRAMES.get(facts.urgency or "")
    timeframe = {"service_response_timeframe": wanted} if wanted else {}
    services = {
        need: {
            "unique_id": str(uuid5(packet.packet_id, need)),
            "service_type": _SERVICES[need],
            **timeframe,
        }
        for need in facts.needs
        if need in _SERVICES
    }
    said = {
        "concern": [c for c in facts.concerns if c in _CONCERNS],
        "need": list(services),
        "sex": [facts.sex] if facts.sex in _SEXES else [],
    }
    age = _age(packet)
    rest = [one for one in rest_of(packet, said) if age is None or not one.startswith("age: ")]
    case: dict[str, Any] = {
        "id": str(packet.case_id),
        "module_id": MODULE,
        "name": packet.name,
        "sex": facts.sex if facts.sex in _SEXES else None,
        **(age or {}),
        "registration_date": day_of(packet.received_at).isoformat(),
        "status": "closed" if facts.status == "closed" else "open",
        "risk_level": facts.work.risk if facts.work.risk in _LEVELS else None,
        "urgent_protection_concern": "true" if facts.urgency == Urgency.T0 else None,
        "protection_concerns": list(dict.fromkeys(_CONCERNS[c] for c in said["concern"])),
        "consent_for_services": True,
        "disclosure_other_orgs": True,
        "services_section": list(services.values()),
    }
    notes = "; ".join(rest)
    referrals = [
        {
            "data": {
                "transitioned_to": packet.to,
                "service": service["service_type"],
                "service_record_id": service["unique_id"],
                "notes": notes,
                "consent_overridden": packet.basis in ("best_interest", "legal_duty"),
            }
        }
        for service in services.values()
    ]
    told = {name: value for name, value in case.items() if value not in (None, "", [])}
    whole = {"case": {"data": told}, "referrals": referrals}
    if not referrals and notes:
        whole["notes"] = notes
    return Made(msgspec.json.encode(whole), "application/json", "json", rest)


def _age(packet: Packet) -> dict[str, Any] | None:
    """Return an age in whole years; a range is no age, and is told in words."""
    told = packet.age or {}
    low, high = told.get("min"), told.get("max")
    if low is None or low != high:
        return None
    return {"age": low, **({"estimated": True} if told.get("basis") == "estimated" else {})}
