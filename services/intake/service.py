"""Intake's use cases: store a report, open its cases, triage one."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import text

from services.intake import store
from services.intake.domain import Submission, Triage, open_cases, triage
from services.intake.reading import Reading, read
from services.intake.receipts import Receipt, sign_receipt
from services.intake.store import Prepared, Unopened
from shared import places, telemetry
from shared.clock import new_case_id, now, rfc3339
from shared.database import transaction
from shared.errors import NotFound, SettingsError, Stale
from shared.events import SUBMISSIONS, CaseFacts, Draft, ReportSubmitted
from shared.outbox import Stamp
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.intake.report import ReportIn
    from services.intake.vault import Kind, Subject, Vault
    from shared.access import Caller
    from shared.idempotency import Key
    from shared.outbox import Outbox

_log = Log("intake")

_PERSON_SEALED: Final = ("name", "phone", "relation_to_reporter", "safe_contact", "support_text")
_REPORTER_SEALED: Final = ("name", "phone", "safe_contact")


@dataclass(frozen=True, slots=True)
class Secrets:
    """Keys of intake, in memory only."""

    pepper: bytes
    index: bytes
    receipt_seed: bytes
    issuer: str


@dataclass(frozen=True, slots=True)
class Message:
    """How a submission came: gateway, the channel's own id if it has one, and what repeats drop."""

    gateway: str = ""
    message_id: str | None = None
    repeat_key: bytes | None = None


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
) -> Prepared:
    """Make everything of a submission before its commit: ids, ciphertexts, receipt and answer."""
    received_at = at or now()
    body = report.model_dump(mode="json", by_alias=True)
    people = [p for p in body["persons"] if p["role"] == "at_risk"]
    case_ids = tuple(new_case_id() for _ in people or [None])
    submission = Submission(
        submission_id=new_case_id(),
        channel=channel,
        case_ids=case_ids,
        report=_coarse(body),
        entitled=caller is not None,
        received_at=received_at,
        test=report.test,
    )
    receipt = Receipt.new()
    answer: dict[str, Any] = {
        "receipt": receipt.shown,
        "words": receipt.words,
        "received_at": rfc3339(received_at),
        "status": "received",
        "signed_receipt": sign_receipt(secrets.receipt_seed, receipt, received_at, secrets.issuer),
    }
    if caller is not None:
        answer["case_ids"] = [str(case_id) for case_id in case_ids]
    return Prepared(
        submission=submission,
        gateway=message.gateway,
        message_key=message.repeat_key,
        message_id=message.message_id,
        organisation=(caller.org or caller.actor) if caller else "",
        actor=caller.actor if caller else f"anonymous:{channel}",
        receipt_hash=receipt.digest(secrets.pepper),
        person_refs=tuple(p["ref"] for p in people) or (None,),
        subjects=tuple(_sealed(body, case_ids, vault)),
        draft=Draft(
            SUBMISSIONS,
            "report-submitted",
            str(case_ids[0]),
            ReportSubmitted(
                submission_id=submission.submission_id,
                channel=channel,
                case_ids=list(case_ids),
                test=report.test,
            ),
        ),
        traceparent=telemetry.current_traceparent(),
        answer=msgspec.json.encode(answer),
        key=key,
        size=len(msgspec.json.encode(body)) + 1000,
    )


def _sealed(body: Mapping[str, Any], case_ids: tuple[UUID, ...], vault: Vault) -> Iterator[Subject]:
    """Seal what names or could find somebody, each subject under a key of its own."""
    first = case_ids[0]

    def subject(case_id: UUID, kind: Kind, ref: str | None, fields: dict[str, object]) -> Subject:
        return vault.seal(case_id, kind, ref, {k: v for k, v in fields.items() if v})

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
    own["consent"] = [
        {k: c[k] for k in ("person", "giver_relation", "witness", "recorded_by", "fields")}
        for c in body["consent"]
    ]
    own["times"] = {
        "device_time": body["device_time"],
        "observed_at": body["observed_at"],
        "happened": body["happened"],
    }
    yield subject(first, "reporter", None, own)
    at_risk = iter(case_ids)
    for person in body["persons"]:
        case_id = next(at_risk) if person["role"] == "at_risk" else first
        fields = {name: person.get(name) for name in _PERSON_SEALED}
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
                "age": p["age"],
                "sex": p["sex"],
                "languages": p["languages"],
                "lives_with_alleged": p["lives_with_alleged"],
                "with": [{"ref": w["ref"], "keep_together": w["keep_together"]} for w in p["with"]],
            }
            for p in body["persons"]
        ],
        "alleged": [
            {
                "relation": _relation_kind(a["relation"]),
                "office": bool(a["office"]),
                "provider_id": a["provider_id"],
            }
            for a in body["alleged"]
        ],
        "exclude": body["exclude"],
        "places": [
            {"role": p["role"], "country": p["country"], "pcode": _coarse_code(p["pcode"])}
            for p in body["places"]
        ],
        "happened": {"from": body["happened"]["from"], "to": body["happened"]["to"]},
        "danger_now": body["danger_now"],
        "concerns": body["concerns"],
        "needs": body["needs"],
        "consent": [
            {k: c[k] for k in ("person", "given_by", "allows", "purposes", "basis", "expires_at")}
            for c in body["consent"]
        ],
    }


_CAREGIVERS: Final = frozenset(
    {"father", "mother", "parent", "caregiver", "guardian", "stepfather", "stepmother"}
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
    return hmac.new(index_key, "\x1f".join(parts).encode(), hashlib.sha256).digest()


@dataclass(slots=True)
class Opening:
    """The state of one opening: what was locked, and what was decided."""

    unopened: dict[UUID, Unopened]
    opened: dict[UUID, tuple[Reading | None, list[tuple[UUID, CaseFacts]]]]
    drafts: list[tuple[Draft, Stamp]]


def decide_opening(state: Opening, submission_id: UUID, vault: Vault, stamp: Stamp) -> None:
    """Open one submission's cases inside `state`; nothing happens when it is open already."""
    waiting = state.unopened.get(submission_id)
    if waiting is None or submission_id in state.opened:
        return
    reading = None
    narrator = waiting.narrator
    if narrator is not None and not waiting.submission.report.get("concerns"):
        narrative = vault.open(narrator, narrator.fields[0])
        reading = read(str(narrative), today=stamp.at.date())
    elif waiting.submission.channel == "sms":
        reading = read("", today=stamp.at.date())
    cases = open_cases(waiting.submission, reading, stamp.at)
    state.opened[submission_id] = (reading, [(case_id, facts) for case_id, facts, _ in cases])
    state.drafts += [(draft, stamp) for _, _, draft in cases]


class Intake:
    """The use cases that work on stored cases."""

    def __init__(self, flow: AsyncEngine, web: AsyncEngine, outbox: Outbox, vault: Vault) -> None:
        """Take both engines, the outbox and the vault."""
        self._flow = flow
        self._web = web
        self._outbox = outbox
        self._vault = vault

    async def check_keys(self) -> None:
        """Refuse a key-encryption key that the database has not seen beside one it has.

        Raises:
            SettingsError: data in the database is wrapped by a key that the key file lacks.

        """
        fingerprint = self._vault.fingerprint
        async with self._flow.begin() as conn:
            rows = await conn.execute(
                text("SELECT fingerprint FROM key_fingerprints WHERE kind = 'kek' FOR UPDATE")
            )
            known = {bytes(row.fingerprint) for row in rows}
            if known and fingerprint not in known:
                message = (
                    "kek.key is not the key that this database was written with:"
                    " put the old key back; a new one is never made beside old data"
                )
                raise SettingsError(message)
            await conn.execute(
                text(
                    "INSERT INTO key_fingerprints (kind, fingerprint) VALUES ('kek', :f)"
                    " ON CONFLICT DO NOTHING"
                ),
                {"f": fingerprint},
            )

    async def open_overdue(self, at: datetime, limit: int = 50) -> int:
        """Open submissions that no consumer opened in time, through the same decision."""
        async with self._flow.connect() as conn:
            due = await store.due_unopened(conn, at, limit)
        opened = 0
        for submission_id in due:
            try:
                async with self._flow.begin() as conn:
                    await self.open_in(conn, submission_id, at)
                opened += 1
            except Exception as error:  # noqa: BLE001  (one bad submission never stops the sweep)
                _log.error("opening-failed", error)
                async with self._flow.begin() as conn:
                    await store.put_off(conn, submission_id, at)
        return opened

    async def open_in(self, conn: AsyncConnection, submission_id: UUID, at: datetime) -> None:
        """Open one submission's cases inside the caller's transaction, if they are not open."""
        unopened = await store.lock_unopened(conn, [submission_id])
        state = Opening(unopened, {}, [])
        if submission_id in unopened:
            trace = unopened[submission_id].traceparent
            stamp = Stamp(at, "service:intake.sweep", trace)
            decide_opening(state, submission_id, self._vault, stamp)
        await self.save(conn, state)

    async def save(self, conn: AsyncConnection, state: Opening) -> None:
        """Store what was decided and its events."""
        await store.save_opened(conn, state.opened)
        await self._outbox.append(conn, state.drafts)

    async def triage_in(
        self,
        conn: AsyncConnection,
        case_id: UUID,
        change: Triage,
        caller: Caller,
        version: int | None,
        at: datetime,
    ) -> store.CaseRow:
        """Apply a coordinator's triage; a case that nobody opened yet is opened first.

        Raises:
            NotFound: no such case. Stale: `version` is not the present one. Conflict: it is closed.

        """
        row = await store.find_case(conn, case_id)
        if row is None:
            raise NotFound
        await self.open_in(conn, row.submission_id, at)
        row = await store.lock_case(conn, case_id)
        if row is None or row.facts is None:
            raise NotFound
        if version is not None and version != row.version:
            raise Stale(None, version=row.version)
        facts, draft = triage(case_id, row.facts, change)
        await store.save_cases(conn, [(case_id, facts)])
        await self._outbox.append(conn, [(draft, Stamp(at, caller.actor))])
        found = await store.find_case(conn, case_id)
        if found is None:
            raise NotFound
        return found

    async def show_case(self, case_id: UUID, organisation: str) -> store.CaseRow:
        """Read one case as an organisation may see it.

        Raises:
            NotFound: there is none for this organisation.

        """
        async with transaction(self._web, organisation) as conn:
            row = await store.find_case(conn, case_id)
        if row is None:
            raise NotFound
        return row
