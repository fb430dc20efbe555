"""Making a submission ready before its commit: what is sealed, what stays coarse, the answer."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.intake.blind import blind_of
from services.intake.consent.record import shareable
from services.intake.domain import Submission
from services.intake.naming import provider_key, rename_persons
from services.intake.receipts import Receipt, sign_receipt
from services.intake.submissions import OPEN_AFTER, Prepared
from shared import places, telemetry
from shared.access_rules import is_member, owner_of
from shared.clock import new_case_id, new_event_id, now, rfc3339
from shared.events import SUBMISSIONS, Draft, ReportSubmitted
from shared.vocabulary import supports_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime, timedelta
    from uuid import UUID

    from services.intake.blind import Blind
    from services.intake.report import ReportIn
    from services.intake.vault import Kind, Subject, Vault
    from shared.access import Caller
    from shared.idempotency import Key

_PERSON_SEALED: Final = ("name", "phone", "relation_to_reporter", "safe_contact", "support")
_REPORTER_SEALED: Final = ("name", "phone", "safe_contact")
_CONSENT_COARSE: Final = (
    "person",
    "given_by",
    "allows",
    "purposes",
    "providers",
    "basis",
    "how",
    "explained",
    "expires_at",
)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Keys of intake, in memory only."""

    pepper: bytes
    index: bytes
    receipt_seed: bytes
    issuer: str


@dataclass(frozen=True, slots=True)
class Message:
    """How a submission came: gateway, the channel's own id if it has one, and what repeats drop.

    `sender` is the blind index of the number that wrote; `again` what a repeat is answered;
    `receipt` the receipt when it was drawn before, as for a conversation that may repeat its end.
    """

    gateway: str = ""
    message_id: str | None = None
    repeat_key: bytes | None = None
    sender: bytes | None = None
    again: bytes | None = None
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class Besides:
    """What a channel knows beside the report: coarse `facts`, and what is `sealed`.

    It is sealed with the first person at risk, or with the reporter when none is known. `kept` are
    the ids of the submission that this one takes the place of; `draft` names the state of one that
    is still being written, and how long it is waited for. `shown` stands in the answer with the
    receipt: it depends on nothing of the report.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    sealed: Mapping[str, object] = field(default_factory=dict)
    kept: tuple[UUID, tuple[UUID, ...]] | None = None
    draft: tuple[str, timedelta] | None = None
    shown: Mapping[str, Any] = field(default_factory=dict)


def prepare(
    report: ReportIn,
    *,
    channel: str,
    caller: Caller | None,
    vault: Vault,
    secrets: Secrets,
    message: Message = Message(),
    key: Key | None = None,
    at: datetime | None = None,
    besides: Besides = Besides(),
) -> Prepared:
    """Make everything of a submission before its commit: ids, ciphertexts, receipt and answer."""
    received_at = at or now()
    body = report.model_dump(mode="json", by_alias=True)
    rename_persons(body)
    people = [p for p in body["persons"] if p["role"] == "at_risk"]
    submission_id, known = besides.kept or (new_case_id(), ())
    case_ids = tuple(
        known[n] if n < len(known) else new_case_id() for n, _ in enumerate(people or [None])
    )
    submission = Submission(
        submission_id=submission_id,
        channel=channel,
        case_ids=case_ids,
        report={**_coarse(body), **besides.facts},
        entitled=caller is not None and is_member(caller, received_at),
        received_at=received_at,
        test=report.test,
    )
    receipt = message.receipt or Receipt.new()
    draft = None if besides.draft else submitted(submission)
    signed = sign_receipt(
        secrets.receipt_seed, receipt, received_at, secrets.issuer, draft.id if draft else None
    )
    answer: dict[str, Any] = {
        "receipt": receipt.shown,
        "words": receipt.words,
        "received_at": rfc3339(received_at),
        "status": "received",
        "signed_receipt": signed,
    }
    answer |= besides.shown
    if caller is not None:
        answer["case_ids"] = [str(case_id) for case_id in case_ids]
    return Prepared(
        submission=submission,
        gateway=message.gateway,
        message_key=message.repeat_key,
        message_id=message.message_id,
        sender=message.sender,
        again=message.again,
        organisation=owner_of(caller) if caller else "",
        actor=caller.actor if caller else f"anonymous:{channel}",
        receipt_hash=receipt.digest(secrets.pepper),
        person_refs=tuple(p["ref"] for p in people) or (None,),
        subjects=tuple(
            _sealed(body, case_ids, vault, blind_of(secrets.index), sealed=besides.sealed)
        ),
        draft=draft,
        state=besides.draft[0] if besides.draft else "received",
        open_after=besides.draft[1] if besides.draft else OPEN_AFTER,
        external=tuple(
            external_mark(secrets.index, ref["system"], ref["value"])
            for ref in body["external_refs"]
        ),
        traceparent=telemetry.current_traceparent(),
        answer=msgspec.json.encode(answer),
        key=key,
        size=len(msgspec.json.encode(body)) + 1000,
    )


def submitted(submission: Submission) -> Draft:
    """Return the event that tells of a submission."""
    told = ReportSubmitted(
        submission_id=submission.submission_id,
        channel=submission.channel,
        case_ids=list(submission.case_ids),
        test=submission.test,
    )
    first = str(submission.case_ids[0])
    return Draft(SUBMISSIONS, "report-submitted", first, told, id=new_event_id())


def _sealed(
    body: Mapping[str, Any],
    case_ids: tuple[UUID, ...],
    vault: Vault,
    blind: Blind,
    *,
    sealed: Mapping[str, object],
) -> Iterator[Subject]:
    """Seal what names or could find somebody, each subject under a key of its own."""
    first = case_ids[0]

    def subject(case_id: UUID, kind: Kind, ref: str | None, fields: dict[str, object]) -> Subject:
        known = {k: v for k, v in fields.items() if v}
        return vault.seal(case_id, kind, ref, known, blind.marks(known))

    reporter = body["reporter"]
    own: dict[str, object] = {name: reporter[name] for name in _REPORTER_SEALED}
    if not reporter["safe_contact"]["allowed"]:
        own["safe_contact"] = None
    own["narrative"] = body["narrative"]
    own["places"] = [
        {"role": p["role"], "text": p["text"], "site": p["site"], "pcode": p["pcode"]}
        for p in body["places"]
        if p["text"] or p["site"] or p["pcode"]
    ]
    own["told_before"] = body["told_before"]
    own["missing"] = body["missing"]
    own["external_refs"] = body["external_refs"]
    own["excluded"] = body["exclude"]["providers"]
    own["consent"] = [
        {k: c[k] for k in ("person", "giver_relation", "witness", "recorded_by", "fields")}
        for c in body["consent"]
    ]
    own["times"] = {
        "device_time": body["device_time"],
        "observed_at": body["observed_at"],
        "happened": body["happened"],
    }
    of_person = any(p["role"] == "at_risk" for p in body["persons"])
    yield subject(first, "reporter", None, own if of_person else own | dict(sealed))
    at_risk = iter(case_ids)
    for person in body["persons"]:
        case_id = next(at_risk) if person["role"] == "at_risk" else first
        fields = {name: person.get(name) for name in _PERSON_SEALED}
        if person["role"] == "at_risk":
            fields, sealed = fields | dict(sealed), {}
        yield subject(case_id, "person", person["ref"], fields)
    for alleged in body["alleged"]:
        yield subject(first, "alleged", None, {k: v for k, v in alleged.items() if v is not None})


def _coarse(body: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what decisions need and nothing that names, finds or quotes anybody.

    Places are cut to the upazila, relations to whether it is a caregiver, consent to who gave it
    and for what.
    """
    return {
        "language": body["language"],
        "about": body["about"],
        "reporter": {"kind": body["reporter"]["kind"], "identity": body["reporter"]["identity"]},
        "persons": [
            {
                "ref": p["ref"],
                "role": p["role"],
                "count": p["count"],
                "count_max": p["count_max"],
                "age": p["age"],
                "sex": p["sex"],
                "languages": p["languages"],
                "support": supports_in(p["support"]),
                "lives_with_alleged": p["lives_with_alleged"],
                "with": [{"ref": w["ref"], "keep_together": w["keep_together"]} for w in p["with"]],
            }
            for p in body["persons"]
        ],
        "alleged": [
            {
                "relation": _relation_kind(a["relation"]),
                "office": bool(a["office"]),
                "provider_id": provider_key(a["provider_id"]) if a["provider_id"] else None,
            }
            for a in body["alleged"]
        ],
        "exclude": body["exclude"]
        | {"providers": [provider_key(key) for key in body["exclude"]["providers"]]},
        "places": [
            {"role": p["role"], "country": p["country"], "pcode": _coarse_code(p["pcode"])}
            for p in body["places"]
        ],
        "happened": {"from": body["happened"]["from"], "to": body["happened"]["to"]},
        "danger_now": body["danger_now"],
        "concerns": body["concerns"],
        "needs": body["needs"],
        "consent": [
            {k: c[k] for k in _CONSENT_COARSE}
            | {
                "fields": shareable(c["fields"]),
                "witnessed": bool(c["witness"]),
                "providers": [provider_key(key) for key in c["providers"]],
            }
            for c in body["consent"]
        ],
    }


_CAREGIVERS: Final = frozenset(
    {"father", "mother", "parent", "caregiver", "guardian", "stepfather", "stepmother"}
    | {"বাবা", "মা", "আব্বা", "আম্মা", "সৎ বাবা", "সৎ মা", "সৎবাবা", "সৎমা", "অভিভাবক"}
    | {"baba", "ma", "abba", "amma", "sot baba", "sot ma"}
)


def _relation_kind(relation: str | None) -> str | None:
    """Cut a free-text relation to whether it is a caregiver."""
    if relation is None:
        return None
    return "caregiver" if relation.strip().lower() in _CAREGIVERS else "other"


def _coarse_code(pcode: str | None) -> str | None:
    return None if pcode is None else places.coarse(pcode)


def repeat_key(index_key: bytes, *parts: str) -> bytes:
    """Return what marks a message as a repeat: a keyed hash, since its parts hold a number."""
    return hmac.digest(index_key, "\x1f".join(parts).encode(), "sha256")


_ID: Final = re.compile(r"(?=[!-~]*[0-9])[!-~]+")
_NUMBER: Final = re.compile(r"(?<![0-9A-Za-z])(?:880|0)1[3-9][0-9]{8}(?![0-9A-Za-z])")


def own_id(said: str) -> str | None:
    """Return another system's id as it may be kept in clear.

    None when a number is in it, or it could be words: without a digit, with a space, in Bangla.
    """
    return said if _ID.fullmatch(said) and not _NUMBER.search(said) else None


def external_mark(index_key: bytes, system: str, value: str) -> str:
    """Return the blind index of a reference in another system: 32 hex characters."""
    return repeat_key(index_key, "external", system, value).hex()[:32]


def number_index(index_key: bytes, number: str) -> bytes:
    """Return the blind index of a number (E.164): a keyed hash, the only form that is searched."""
    return repeat_key(index_key, "number", number)
