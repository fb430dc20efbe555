"""A referral as FHIR R4 says it, and what a FHIR client wants done with it: purely.

One referral is one `ServiceRequest` (what is asked) and one `Task` (how it stands), both under the
referral's id, after SDOH Clinical Care 3.0 (FORMATS: states, required fields, `statusReason`). The
person is a reference by case id, never a name. Codes without a standard are our own: `urn:pashe:…`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from services.referral.domain import Order
from services.referral.referral import PROMISED, Referral
from shared.clock import rfc3339
from shared.errors import Conflict, Forbidden, InvalidBody
from shared.vocabulary import Reason, ReferralState, Urgency

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_S = ReferralState
_SDOH: Final = "http://hl7.org/fhir/us/sdoh-clinicalcare"
PROFILES: Final = f"{_SDOH}/StructureDefinition"
_TEMPORARY: Final = f"{_SDOH}/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"

TASK_STATUS: Final[Mapping[str, str]] = {
    _S.PLANNED: "draft",
    _S.WAITING: "draft",
    _S.ASSIGNED: "requested",
    _S.ACCEPTED: "accepted",
    _S.WAITLISTED: "accepted",
    _S.DECLINED: "rejected",
    _S.EXPIRED: "cancelled",
    _S.IN_SERVICE: "in-progress",
    _S.ON_HOLD: "on-hold",
    _S.DELIVERED: "completed",
    _S.FAILED: "failed",
    _S.WITHDRAWN: "cancelled",
    _S.ENTERED_IN_ERROR: "entered-in-error",
}
"""Our states as statuses of a FHIR Task; the exact one is its `businessStatus`."""

_REQUEST_STATUS: Final[Mapping[str, str]] = {
    "draft": "draft",
    "completed": "completed",
    "rejected": "revoked",
    "cancelled": "revoked",
    "failed": "revoked",
    "on-hold": "on-hold",
    "entered-in-error": "entered-in-error",
}
"""Status of the ServiceRequest by its Task's; every other is `active`."""

_PRIORITY: Final[Mapping[str, str]] = {
    Urgency.T0: "stat",
    Urgency.T1: "asap",
    Urgency.T2: "urgent",
    Urgency.T3: "routine",
}

_VERBS: Final[Mapping[str, str]] = {
    "accepted": "accept",
    "rejected": "decline",
    "in-progress": "start",
    "on-hold": "hold",
    "completed": "deliver",
    "failed": "fail",
}
"""What a new status of a Task asks for."""

ACKNOWLEDGED: Final = "withdrawal-acknowledged"
"""`businessStatus` by which the owner of a cancelled Task says that it heard of that."""

_FIXED: Final = ("intent", "focus", "for", "owner", "requester")
"""Members of a Task that its owner cannot change."""


def state_codes(status: str) -> tuple[str, ...]:
    """Return our states that a Task's status stands for; none for one that FHIR does not have."""
    return tuple(state for state, code in TASK_STATUS.items() if code == status)


def _concept(kind: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": f"urn:pashe:{kind}", "code": code}], "text": code}


def _organisation(key: str) -> dict[str, str]:
    return {"reference": f"Organization/{key}"}


_CENTRE: Final = {"identifier": {"system": "urn:pashe:organisation", "value": "centre"}}


def _subject(referral: Referral) -> dict[str, Any]:
    return {
        "type": "Patient",
        "identifier": {"system": "urn:pashe:case", "value": str(referral.case_id)},
    }


def _meta(referral: Referral, changed_at: datetime, profile: str) -> dict[str, Any]:
    return {
        "versionId": str(referral.version),
        "lastUpdated": rfc3339(changed_at),
        "profile": [f"{PROFILES}/{profile}"],
    }


def _without_nothing(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if value not in (None, [], {})}


def task_of(referral: Referral, changed_at: datetime) -> dict[str, Any]:
    """Return the Task of a referral; `changed_at` (aware UTC) is when it changed last."""
    authored = referral.assigned_at or referral.released_at or changed_at
    reason = referral.reason
    if reason is None and TASK_STATUS[referral.state] in ("rejected", "cancelled", "failed"):
        reason = "unknown"
    delivered = referral.delivered
    outputs = []
    if delivered is not None:
        outputs.append({"type": _concept("output", "how-much"), "valueString": delivered.how_much})
    if referral.outcome is not None:
        outputs.append({"type": _concept("output", "outcome"), "valueString": referral.outcome})
    respond_by = rfc3339(referral.respond_by) if referral.respond_by else None
    first_contact = rfc3339(referral.first_contact_at) if referral.first_contact_at else None
    return _without_nothing(
        {
            "resourceType": "Task",
            "id": str(referral.referral_id),
            "meta": _meta(referral, changed_at, "SDOHCC-TaskForReferralManagement"),
            "status": TASK_STATUS[referral.state],
            "statusReason": _concept("reason", reason) if reason else None,
            "businessStatus": _concept("referral-state", referral.state),
            "intent": "order",
            "priority": _PRIORITY.get(referral.urgency, "routine"),
            "code": {
                "coding": [
                    {"system": "http://hl7.org/fhir/CodeSystem/task-code", "code": "fulfill"}
                ]
            },
            "focus": {"reference": f"ServiceRequest/{referral.referral_id}"},
            "for": _subject(referral),
            "authoredOn": rfc3339(authored),
            "lastModified": rfc3339(changed_at),
            "requester": _CENTRE,
            "owner": _organisation(referral.provider_id) if referral.provider_id else None,
            "executionPeriod": {"start": first_contact} if first_contact else None,
            "restriction": {"period": {"end": respond_by}} if respond_by else None,
            "output": outputs,
        }
    )


def request_of(referral: Referral, changed_at: datetime) -> dict[str, Any]:
    """Return the ServiceRequest of a referral: what its provider must know to answer."""
    authored = referral.assigned_at or referral.released_at or changed_at
    deliver_by = rfc3339(referral.deliver_by) if referral.deliver_by else None
    hushed = [{"coding": [{"system": _TEMPORARY, "code": "contacting-subject-prohibited"}]}]
    return _without_nothing(
        {
            "resourceType": "ServiceRequest",
            "id": str(referral.referral_id),
            "meta": _meta(referral, changed_at, "SDOHCC-ServiceRequest"),
            "extension": [{"url": "urn:pashe:summary", "extension": _summary(referral)}],
            "status": _REQUEST_STATUS.get(TASK_STATUS[referral.state], "active"),
            "intent": "order",
            "category": [{"coding": [{"system": _TEMPORARY, "code": "sdoh-category-unspecified"}]}],
            "priority": _PRIORITY.get(referral.urgency, "routine"),
            "code": _concept("need", referral.need),
            "orderDetail": [] if referral.state in PROMISED else hushed,
            "quantityQuantity": {"value": referral.places_needed},
            "subject": _subject(referral),
            "occurrencePeriod": {"end": deliver_by} if deliver_by else None,
            "authoredOn": rfc3339(authored),
            "requester": _CENTRE,
            "performer": [_organisation(referral.provider_id)] if referral.provider_id else None,
        }
    )


def _summary(referral: Referral) -> list[dict[str, Any]]:
    told = referral.summary
    texts = {
        "age_band": told.age_band,
        "sex": told.sex,
        "place_now": told.place_now,
        "mode": told.mode,
        "safety": told.safety,
        "legal": told.legal,
    }
    lines: list[dict[str, Any]] = [
        {"url": name, "valueString": value} for name, value in texts.items() if value
    ]
    lines += [{"url": "language", "valueCode": code} for code in told.languages]
    lines += [{"url": "support", "valueCode": code} for code in told.support]
    lines.append({"url": "with", "valueUnsignedInt": told.with_})
    lines.append({"url": "keep_together", "valueBoolean": told.keep_together})
    return lines


def order_from(
    task: Mapping[str, Any], referral: Referral, changed_at: datetime, version: int | None
) -> Order | None:
    """Return what an updated Task wants done; None when it changes nothing.

    Raises:
        InvalidBody: it is another Task, changes what its owner may not change, or lacks a reason.
        Forbidden: only the centre sets that status. Conflict: the present status does not lead
            there.

    """
    shown = task_of(referral, changed_at)
    if task.get("id") != shown["id"]:
        raise InvalidBody(None, errors=[{"field": "Task.id", "rule": "another"}])
    for name in _FIXED:
        if name in task and task[name] != shown.get(name):
            raise InvalidBody(None, errors=[{"field": f"Task.{name}", "rule": "fixed"}])
    wanted, now = task.get("status"), shown["status"]
    if wanted == now:
        return _same_status(task, referral, version)
    if wanted in ("draft", "requested", "entered-in-error"):
        raise Forbidden("only the centre sets this status")
    if wanted == "cancelled":  # the owner's cancelling: no before it began, else a failure
        verb = "decline" if referral.state == _S.ASSIGNED else "fail"
    elif isinstance(wanted, str) and wanted in _VERBS:
        verb = _VERBS[wanted]
    else:
        raise Conflict("a Task of a referral has no such status", status=now)
    reason, text = _reason_in(task) if verb in ("decline", "fail", "hold") else (None, None)
    fields: dict[str, Any] = {}
    if verb == "deliver":
        fields = {"how_much": _output(task, "how-much") or "all"}
        if fields["how_much"] not in ("all", "part"):
            raise InvalidBody(None, errors=[{"field": "Task.output", "rule": "all or part"}])
    return Order(verb, reason, text, fields, version)


def _same_status(task: Mapping[str, Any], referral: Referral, version: int | None) -> Order | None:
    """Read what can happen within one status: the first contact, an acknowledged withdrawal."""
    if referral.state == _S.WITHDRAWN and _code_in(task.get("businessStatus")) == ACKNOWLEDGED:
        return Order("acknowledge-withdrawal", version=version)
    began = (task.get("executionPeriod") or {}).get("start")
    if began and referral.first_contact_at is None and referral.state in PROMISED:
        return Order("contact", version=version)
    return None


def _code_in(concept: object) -> str | None:
    """Return the first of our codes in a CodeableConcept."""
    if not isinstance(concept, dict):
        return None
    for coding in concept.get("coding") or ():
        if str(coding.get("system", "")).startswith("urn:pashe:") and coding.get("code"):
            return str(coding["code"])
    return None


def _reason_in(task: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return a reason of ours and the words; words alone are `other` and stay in referral."""
    concept = task.get("statusReason")
    text = (concept or {}).get("text")
    code = _code_in(concept)
    if code is None and text in set(Reason):
        code = text
    if code is None and text:
        code = Reason.OTHER
    return (str(code) if code else None), (str(text)[:4000] if text and text != code else None)


def _output(task: Mapping[str, Any], kind: str) -> str | None:
    for output in task.get("output") or ():
        if _code_in(output.get("type")) == kind:
            return str(output.get("valueString", ""))
    return None
