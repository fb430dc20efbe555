"""A packet as a FHIR R4 bundle: the person, the consent, what is suspected, what is asked for.

Codes that no standard has are our own systems `urn:pashe:…`; an offer of a case is a `Task`
with the code `fulfill` for each need, `requested` from its receiver.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid5

import msgspec

from services.intake.packets.packet import Made, Packet, rest_of
from shared.clock import rfc3339
from shared.vocabulary import Urgency

if TYPE_CHECKING:
    from collections.abc import Mapping

_GENDERS: Final[Mapping[str, str]] = {"female": "female", "male": "male", "hijra": "other"}
_PRIORITY: Final[Mapping[str, str]] = {
    Urgency.T0: "stat",
    Urgency.T1: "asap",
    Urgency.T2: "urgent",
    Urgency.T3: "routine",
}
_ACTIVE: Final = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_SCOPE: Final = "http://terminology.hl7.org/CodeSystem/consentscope"
_ACTS: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_TASKS: Final = "http://hl7.org/fhir/CodeSystem/task-code"
CASE: Final = "urn:pashe:case"
AGE: Final = "urn:pashe:age"


def _concept(kind: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": f"urn:pashe:{kind}", "code": code}], "text": code}


def make_fhir(packet: Packet) -> Made:
    """Return a bundle (`collection`) of Patient, Consent, Conditions, ServiceRequests and Tasks."""
    subject = {"reference": _url(packet, "Patient")}
    receiver = {"identifier": {"system": "urn:pashe:organisation", "value": packet.to}}
    found = [_patient(packet), _consent(packet, subject)]
    for n, concern in enumerate(packet.facts.concerns, 1):
        found.append(
            {
                "resourceType": "Condition",
                "id": f"concern-{n}",
                "clinicalStatus": {"coding": [{"system": _ACTIVE, "code": "active"}]},
                "code": _concept("concern", concern),
                "subject": subject,
            }
        )
    authored = rfc3339(packet.made_at)
    priority = _PRIORITY.get(packet.facts.urgency or "", "routine")
    for n, need in enumerate(packet.facts.needs, 1):
        request: dict[str, Any] = {
            "resourceType": "ServiceRequest",
            "id": f"need-{n}",
            "status": "active",
            "intent": "order",
            "priority": priority,
            "code": _concept("need", need),
            "subject": subject,
            "authoredOn": authored,
            "performer": [receiver],
            "supportingInfo": [{"reference": _url(packet, "Consent")}],
        }
        if packet.narrative:
            request["note"] = [{"text": packet.narrative}]
        task = {
            "resourceType": "Task",
            "id": f"task-{n}",
            "status": "requested",
            "intent": "order",
            "priority": priority,
            "code": {"coding": [{"system": _TASKS, "code": "fulfill"}]},
            "focus": {"reference": _url(packet, f"need-{n}")},
            "for": subject,
            "authoredOn": authored,
            "owner": receiver,
        }
        found += [request, task]
    bundle = {
        "resourceType": "Bundle",
        "id": str(packet.packet_id),
        "type": "collection",
        "timestamp": authored,
        "entry": [{"fullUrl": _url(packet, _key(one)), "resource": one} for one in found],
    }
    said = {
        "concern": packet.facts.concerns,
        "need": packet.facts.needs,
        "sex": [packet.facts.sex],
        "language": packet.facts.languages,
        "urgency": [packet.facts.urgency or ""],
        "reference": [f"{one['system']} {one['value']}" for one in packet.references],
    }
    rest = [one for one in rest_of(packet, said) if not one.startswith("age: ")]
    if rest:
        words = escape("; ".join(rest))
        div = f'<div xmlns="http://www.w3.org/1999/xhtml">{words}</div>'
        found[0]["text"] = {"status": "additional", "div": div}
    return Made(msgspec.json.encode(bundle), "application/fhir+json", "json", rest)


def _key(resource: Mapping[str, Any]) -> str:
    kind = str(resource["resourceType"])
    return kind if kind in ("Patient", "Consent") else str(resource["id"])


def _url(packet: Packet, key: str) -> str:
    return f"urn:uuid:{uuid5(packet.packet_id, key)}"


def _patient(packet: Packet) -> dict[str, Any]:
    ids = [{"system": CASE, "value": str(packet.case_id)}]
    ids += [
        {"system": f"urn:pashe:reference:{r['system']}", "value": r["value"]}
        for r in packet.references
    ]
    told: dict[str, Any] = {
        "resourceType": "Patient",
        "id": str(packet.case_id),
        "identifier": ids,
        "gender": _GENDERS.get(packet.facts.sex, "unknown"),
    }
    if packet.facts.sex not in ("female", "male"):
        told["_gender"] = {"extension": [{"url": "urn:pashe:sex", "valueCode": packet.facts.sex}]}
    if packet.name:
        told["name"] = [{"text": packet.name}]
    if packet.phone:
        told["telecom"] = [{"system": "phone", "value": packet.phone}]
    if packet.age:
        whole = {name: packet.age.get(name) for name in ("min", "max", "basis")}
        known = msgspec.json.encode({k: v for k, v in whole.items() if v is not None}).decode()
        told["extension"] = [{"url": AGE, "valueString": known}]
    if packet.facts.languages:
        told["communication"] = [
            {"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": code}]}}
            for code in packet.facts.languages
        ]
    home = packet.places("home")
    if home:
        told["address"] = [{"text": ", ".join(home), "country": "BD"}]
    return told


def _consent(packet: Packet, subject: Mapping[str, str]) -> dict[str, Any]:
    return {
        "resourceType": "Consent",
        "id": "consent",
        "status": "active",
        "scope": {"coding": [{"system": _SCOPE, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": _ACTS, "code": "IDSCL"}]}],
        "patient": subject,
        "policyRule": _concept("basis", packet.basis),
    }
