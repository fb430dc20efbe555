"""The published language: CloudEvents 1.0 in structured JSON, and the data of each event type.

An event holds references and coarse facts only, never who a person is (DECISIONS 1). Encoding and
decoding are msgspec's; an unknown field is tolerated, a higher major version is not (DECISIONS 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from shared.clock import new_event_id, rfc3339
from shared.errors import RecordInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable

SUBMISSIONS: Final = "submissions"
CASES: Final = "cases"
REFERRALS: Final = "referrals"
NOTICES: Final = "notices"
DIRECTORY: Final = "directory"
ACCESSES: Final = "accesses"
STREAMS: Final = (SUBMISSIONS, CASES, REFERRALS, NOTICES, DIRECTORY, ACCESSES)

MAX_VALUE_BYTES: Final = 256 * 1024
"""A larger event is refused when it is appended; the relay's batch limit is 512 KiB."""

MAX_VERSION_DIGITS: Final = 4
"""Digits of a major version at most."""

SAFETY_TYPES: Final = frozenset(
    {"consent-withdrawn", "case-erased", "case-closed", "withdrawal-acknowledged"}
)
"""Events that overtake what is parked for their case, and void it (DECISIONS 13)."""


ALONE_TYPES: Final = frozenset({"event-parked"})
"""Events that stand alone: they wait behind nothing that is parked for their case."""


class _Data(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False, gc=False):
    """Base of the data of events: immutable, named fields only, each new field has a default.

    Data of JSON hold no cycle, so the collector of cycles need not look at them (`gc`).
    """


class ReportSubmitted(_Data, frozen=True, kw_only=True):
    """A channel stored a submission; its content stays encrypted in intake."""

    submission_id: UUID
    channel: str
    case_ids: list[UUID]
    test: bool = False


class ConsentGrant(_Data, frozen=True, kw_only=True):
    """One consent: for which needs, to which providers (ids); empty means every one."""

    purposes: list[str] = []
    providers: list[str] = []


class ConsentState(_Data, frozen=True, kw_only=True):
    """Whether the person agreed to be referred. `purposes` are needs; empty means every need.

    `grants` has each consent when one of them names providers: nobody else is agreed to.
    """

    given: bool = False
    purposes: list[str] = []
    share_identity: bool = False
    basis: str = "none"
    grants: list[ConsentGrant] = []


class DataRead(_Data, frozen=True, kw_only=True):
    """What was read of a person's data: which fields, for which referral or why (a stable word).

    `shown` says of an attachment whether the copy was `blurred` or `clear`, or it was `sound` or
    the `original`.
    """

    fields: list[str] = []
    referral_id: UUID | None = None
    provider_id: str | None = None
    reason: str | None = None
    attachment_id: UUID | None = None
    shown: str | None = None


class CaseWork(_Data, frozen=True, kw_only=True):
    """How far people are with a case: pseudonyms, stable words and case ids, never a text.

    `finding` is `substantiated`, `not_substantiated` or `unknown`; `risk` high, medium or low by
    `instrument`, or null. `linked` are cases that a person said belong together; `merged` those
    that a person said are of the same person and are worked on here, each with this one as its
    `merged_into`; `handover` is `offered` or `accepted`, to `handed_to`; `alert` is
    `out` while the police look for a missing child.
    """

    worker: str | None = None
    supervisor: str | None = None
    finding: str | None = None
    risk: str | None = None
    instrument: str | None = None
    planned: bool = False
    reopened: int = 0
    split_from: UUID | None = None
    split_into: list[UUID] = []
    linked: list[UUID] = []
    merged: list[UUID] = []
    merged_into: UUID | None = None
    handover: str | None = None
    handed_to: str | None = None
    alert: str | None = None


class Step(_Data, frozen=True, kw_only=True):
    """What one event of case work says beside the state: stable words, counts and dates alone.

    `kind` is the kind of follow-up, visit or link; `due` a day; `to` a pseudonym or a centre's key;
    `cases` other cases it is about; `nth` the number of an attempt or page; `count` of goals.
    Of an attachment (`kind`) that came or was flagged: its id, what it is (`means`) and the SHA-256
    of its bytes in hex.
    """

    kind: str | None = None
    means: str | None = None
    result: str | None = None
    reasons: list[str] = []
    nth: int | None = None
    count: int | None = None
    due: str | None = None
    to: str | None = None
    cases: list[UUID] = []
    attachment_id: UUID | None = None
    sha256: str | None = None


class CaseFacts(_Data, frozen=True, kw_only=True):
    """The coarse facts of a case after the event; every event of `cases` about facts carries all.

    `age` is whole years or null. `upazila` is a P-code of an upazila or metropolitan thana, or
    null; `district` likewise. `excluded` names provider ids and kinds that must not hear of it.
    `entitled` says that a signed-in person or partner made the report, or a coordinator triaged
    the case. `conflict` says that a person must look before anything is released. `status` is
    `open`, `review_due` or `closed`; `worker` the pseudonym of whose case it is; `feedback`
    the person's own word (`yes`, `partly`, `no`, `harmed`) in `feedback-received`.
    `count` persons at least, `count_max` at most if that is not the same.
    `contact_stopped`: somebody with the number stopped messages; who that was is not known.
    `read` says in `identity-disclosed` and `person-data-read` what was read and why; `reason` in
    `consent-withdrawn` whether it was taken back (`withdrawn`), `changed` or has `expired`. `work`
    is how far people are with it, `step` what this one event of theirs says. `boys_with` are the
    ages of boys who stay with this person.
    """

    report_id: UUID
    channel: str
    about: str = "person"
    status: str = "open"
    age: int | None = None
    sex: str = "unknown"
    upazila: str | None = None
    district: str | None = None
    concerns: list[str] = []
    needs: list[str] = []
    urgency: str | None = None
    languages: list[str] = []
    support: list[str] = []
    consent: ConsentState = ConsentState()
    entitled: bool = False
    conflict: bool = False
    excluded: list[str] = []
    medical_until: datetime | None = None
    household_id: UUID | None = None
    keep_together: bool = False
    places_needed: int = 1
    count: int = 1
    count_max: int | None = None
    boys_with: list[int] = []
    reason: str | None = None
    worker: str | None = None
    feedback: str | None = None
    contact_stopped: bool = False
    test: bool = False
    read: DataRead | None = None
    work: CaseWork = CaseWork()
    step: Step | None = None


class ReferralFacts(_Data, frozen=True, kw_only=True):
    """One referral after the event. `feed_seq` is its place in the provider's feed, if it has one.

    `state` is one of `ReferralState`; times are UTC; `free_text` never leaves referral. `awaits`
    says what a person of the desk must do with a planned one (`release`, `choose` an offer, `call`
    the suggested office). In `referral-escalated`, `silence` says what did not happen in time and
    `escalated_to` who is told (`coordinator`, `supervisor`, `district_focal_person`).
    """

    referral_id: UUID
    need: str
    urgency: str
    state: str
    attempt: int = 1
    provider_id: str | None = None
    offer_id: str | None = None
    feed_seq: int | None = None
    reason: str | None = None
    released_by: str | None = None
    respond_by: datetime | None = None
    first_contact_by: datetime | None = None
    deliver_by: datetime | None = None
    how_much: str | None = None
    suggested_offer_id: str | None = None
    awaits: str | None = None
    silence: str | None = None
    escalated_to: str | None = None
    version: int = 1
    test: bool = False


class ProviderAnswered(_Data, frozen=True, kw_only=True):
    """A provider without a system answered a referral by SMS: `yes`, or `no` with a `Reason`.

    Never who wrote, or from which number.
    """

    referral_id: UUID
    provider_id: str
    answer: str
    reason: str | None = None


class EventParked(_Data, frozen=True, kw_only=True):
    """A consumer could not handle an event about this case and kept it for a person."""

    consumer: str
    cause: str


class CapacityChanged(_Data, frozen=True, kw_only=True):
    """How many places an offer has free; null is unknown. `stale`: told too long ago, tell anew."""

    offer_id: str
    provider_id: str
    places_free: int | None
    places_total: int | None = None
    stale: bool = False


class OfferListed(_Data, frozen=True, kw_only=True):
    """An offer as the directory now has it (compacted, upsert by `version`)."""

    offer_id: str
    provider_id: str
    needs: list[str]
    area_level: str
    area_pcode: str
    enrolment: str
    min_age: int | None = None
    max_age: int | None = None
    sex: str = "any"
    version: int = 1


class DirectoryExported(_Data, frozen=True, kw_only=True):
    """Somebody took the directory with what is confidential in it; `actor` says who."""

    confidential: bool
    form: str
    objects: int


class ProviderEntry(_Data, frozen=True, kw_only=True):
    """What a provider's system is told of one of its referrals: ids and a state, nothing else.

    `cursor` is its place in the provider's feed, from 1 without a gap: the same as the
    `Last-Event-ID` of the event stream and the `after` of a replay. `version` grows with each
    change of the referral; `href` is where the rest is read.
    """

    referral_id: UUID
    state: str
    cursor: int
    version: int
    href: str


class NoticeFacts(_Data, frozen=True, kw_only=True):
    """A notice after the event. `state` is sent, delivered, failed, unknown or withheld.

    `recipient` is `provider`, `person`, `reporter` or staff; never who that is. `provider_id` says
    in `subscription-disabled` whose it was, so that its owner can be told by another way.
    """

    notice_id: UUID
    notifier: str
    about_event: UUID
    about_type: str
    state: str
    referral_id: UUID | None = None
    subscription_id: UUID | None = None
    recipient: str = "provider"
    attempt: int = 1
    reason: str | None = None
    provider_id: str | None = None
    test: bool = False


class DigestFacts(_Data, frozen=True, kw_only=True):
    """How much waits for a supervisor (`to`, a pseudonym) at the begin of a shift; nothing at T0.

    `soon`: how much of what is `waiting` is at T1. The subject is an entry of the roster.
    """

    to: str
    waiting: int
    soon: int


class HistoryRead(_Data, frozen=True, kw_only=True):
    """Somebody read a part of the history."""

    reader: str
    role: str
    what: str


_CASE_TYPES: Final = (
    "case-created",
    "case-updated",
    "case-triaged",
    "case-assigned",
    "case-verified",
    "risk-assessed",
    "safety-plan-made",
    "plan-agreed",
    "contact-recorded",
    "follow-up-due",
    "duty-paged",
    "case-split",
    "cases-linked",
    "cases-unlinked",
    "cases-merged",
    "cases-unmerged",
    "cases-told-apart",
    "cases-not-told-apart",
    "packet-made",
    "packet-acknowledged",
    "reference-noted",
    "missing-alert-made",
    "missing-alert-taken-down",
    "handover-offered",
    "handover-accepted",
    "handover-declined",
    "feedback-received",
    "consent-given",
    "consent-withdrawn",
    "identity-disclosed",
    "person-data-read",
    "case-closed",
    "case-reopened",
    "case-erased",
    "subject-erased",
)
_REFERRAL_TYPES: Final = (
    "referral-planned",
    "referral-released",
    "referral-waiting",
    "referral-assigned",
    "referral-accepted",
    "referral-declined",
    "referral-expired",
    "referral-escalated",
    "first-contact-made",
    "service-started",
    "referral-on-hold",
    "appointment-changed",
    "referred-onward",
    "milestone-reached",
    "service-delivered",
    "service-failed",
    "referral-withdrawn",
    "withdrawal-acknowledged",
)
_NOTICE_TYPES: Final = (
    "notice-sent",
    "notice-delivered",
    "notice-failed",
    "notice-withheld",
    "subscription-disabled",
)

DATA_TYPES: Final[dict[str, type[_Data]]] = {
    "report-submitted": ReportSubmitted,
    "provider-answered": ProviderAnswered,
    **dict.fromkeys(_CASE_TYPES, CaseFacts),
    "digest-due": DigestFacts,
    **dict.fromkeys(_REFERRAL_TYPES, ReferralFacts),
    "capacity-changed": CapacityChanged,
    "offer-listed": OfferListed,
    "directory-exported": DirectoryExported,
    **dict.fromkeys(_NOTICE_TYPES, NoticeFacts),
    "event-parked": EventParked,
    "history-read": HistoryRead,
}
"""Which data each event type carries, in its present version."""

VERSION: Final = 1
"""The present major version of every event type."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A CloudEvents 1.0 event with the extensions `sequence`, `actor` and `traceparent`."""

    specversion: str = "1.0"
    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str = "application/json"
    dataschema: str
    sequence: str
    actor: str
    traceparent: str | None = None
    data: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that a decision wants; the outbox gives it its sequence, bytes and signature.

    `subject` is a case id, or where no case is concerned the id of an offer, a subscription or an
    entry of the roster.
    `needs` goes into the header, so that a rule skips cases without its need undecoded. `schema` is
    the `dataschema` of data that is not what `DATA_TYPES` says: what a provider is told.
    """

    stream: str
    type: str
    subject: str
    data: _Data
    needs: tuple[str, ...] = ()
    id: UUID | None = None
    schema: str | None = None


class Event(msgspec.Struct, frozen=True, gc=False):
    """A decoded event: the envelope with its typed data."""

    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    sequence: int
    actor: str
    traceparent: str | None
    data: Any


_envelopes = msgspec.json.Decoder(Envelope)
_encoder = msgspec.json.Encoder()
_data_decoders: Final = {name: msgspec.json.Decoder(kind) for name, kind in DATA_TYPES.items()}


def schema_of(event_type: str, version: int = VERSION) -> str:
    """Return the `dataschema` URI of an event type and major version."""
    return f"urn:pashe:event:{event_type}:{version}"


def encode(
    draft: Draft,
    *,
    source: str,
    sequence: int,
    at: datetime,
    actor: str,
    traceparent: str | None,
) -> tuple[UUID, bytes]:
    """Return the event's id and its exact bytes; those bytes are what is signed and committed to.

    Raises:
        ValueError: the event is larger than `MAX_VALUE_BYTES`.

    """
    event_id = draft.id or new_event_id()
    value = _encoder.encode(
        {
            "specversion": "1.0",
            "id": event_id,
            "source": source,
            "type": draft.type,
            "subject": draft.subject,
            "time": rfc3339(at),
            "datacontenttype": "application/json",
            "dataschema": draft.schema or schema_of(draft.type),
            "sequence": f"{sequence:020d}",
            "actor": actor,
            **({"traceparent": traceparent} if traceparent else {}),
            "data": draft.data,
        }
    )
    if len(value) > MAX_VALUE_BYTES:
        message = f"event {draft.type} has {len(value)} bytes, more than {MAX_VALUE_BYTES}"
        raise ValueError(message)
    return event_id, value


class NewerVersion(Exception):  # noqa: N818
    """The event has a higher major version than this code: hold the partition, never park."""


def decode(value: bytes | None) -> Event:
    """Decode the exact bytes of a record.

    Raises:
        RecordInvalid: it can never be read (`unreadable`, `unknown-type`, `invalid-schema`).
        NewerVersion: a newer consumer must be deployed first.

    """
    if value is None:
        raise RecordInvalid("unreadable", "no value")
    try:
        envelope = _envelopes.decode(value)
        sequence = int(envelope.sequence)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
        raise RecordInvalid("unreadable", "not an event") from None
    prefix, _, version = envelope.dataschema.rpartition(":")
    plain = version.isascii() and version.isdigit() and len(version) <= MAX_VERSION_DIGITS
    if prefix != f"urn:pashe:event:{envelope.type}" or not plain:
        raise RecordInvalid("invalid-schema", "dataschema does not fit the type")
    if envelope.time.tzinfo is None:
        raise RecordInvalid("unreadable", "time without an offset")
    if int(version) > VERSION:
        raise NewerVersion(envelope.dataschema)
    decoder = _data_decoders.get(envelope.type)
    if decoder is None:
        raise RecordInvalid("unknown-type", "no such event type")
    try:
        data = decoder.decode(envelope.data)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
        raise RecordInvalid("invalid-schema", f"data of {envelope.type} is not valid") from None
    return Event(
        id=envelope.id,
        source=envelope.source,
        type=envelope.type,
        subject=envelope.subject,
        time=envelope.time,
        sequence=sequence,
        actor=envelope.actor,
        traceparent=envelope.traceparent,
        data=data,
    )


def headers_of(
    event_type: str,
    sequence: int,
    needs: Iterable[str],
    traceparent: str | None,
    signature: bytes,
) -> list[tuple[str, bytes]]:
    """Return the Kafka headers of an event, all ASCII (DECISIONS 2)."""
    headers = [
        ("type", event_type.encode("ascii")),
        ("needs", ",".join(needs).encode("ascii")),
        ("sequence", str(sequence).encode("ascii")),
        ("content-type", b"application/cloudevents+json; charset=UTF-8"),
        ("signature", signature),
    ]
    if traceparent:
        headers.append(("traceparent", traceparent.encode("ascii")))
    return headers
