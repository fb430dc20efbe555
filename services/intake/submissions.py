"""Storing submissions: a whole group in one transaction, with everything that belongs to each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import asyncpg
import msgspec

from shared.database import sqlstate_of
from shared.idempotency import Key, find_answer
from shared.lean import fetch, server_of, text
from shared.outbox import APPENDED, Stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.intake.domain import Submission
    from services.intake.vault import Subject
    from shared.events import Draft
    from shared.outbox import Outbox

OPEN_AFTER: Final = timedelta(seconds=10)
"""Time after which a submission without a case is opened by the sweep (DECISIONS 15)."""


_encode: Final = msgspec.json.Encoder().encode


class CommitUnknown(Exception):  # noqa: N818
    """The connection was lost while storing: the submissions may or may not be there.

    `pid` is the server's process that was asked; while it runs it may still commit.
    """

    def __init__(self, pid: int) -> None:
        """Keep the server's process."""
        super().__init__()
        self.pid = pid


@dataclass(frozen=True, slots=True)
class Prepared:
    """A submission ready to be stored, with every id made and its answer already known.

    Without a `draft` nothing is told of it yet: it is still being written (`state`), and taken for
    finished when nothing more came for `open_after`. `external` are marks of references elsewhere.
    """

    submission: Submission
    gateway: str
    message_key: bytes | None
    message_id: str | None
    organisation: str
    actor: str
    receipt_hash: bytes
    person_refs: tuple[str | None, ...]
    subjects: tuple[Subject, ...]
    draft: Draft | None
    traceparent: str | None
    answer: bytes
    key: Key | None = None
    sender: bytes | None = None
    again: bytes | None = None
    size: int = 1000
    state: str = "received"
    open_after: timedelta = OPEN_AFTER
    external: tuple[str, ...] = ()

    @property
    def submission_id(self) -> UUID:
        """The id that the commit is looked up by."""
        return self.submission.submission_id


_INSERT: Final = """
WITH new_keys AS (
  INSERT INTO idempotency (scope, key_hash, body_hash, answer)
  SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[]) AS t (s, k, b, a)
  ORDER BY s, k
  ON CONFLICT DO NOTHING RETURNING scope, key_hash
), new AS (
  INSERT INTO submissions (submission_id, channel, gateway, message_key, message_id, received_at,
    organisation, actor, entitled, case_ids, report, receipt_hash, sender, traceparent, test,
    state, open_at, external)
  SELECT id, channel, gateway, mkey, mid, at, org, actor, entitled,
    string_to_array(cases, ',')::uuid[], report::jsonb, receipt, sender, trace, test, state,
    open_at, string_to_array(external, ',')
  FROM unnest($5::uuid[], $6::text[], $7::text[], $8::bytea[], $9::text[], $10::timestamptz[],
    $11::text[], $12::text[], $13::boolean[], $14::text[], $15::text[], $16::bytea[], $17::bytea[],
    $18::text[], $19::boolean[], $20::text[], $21::timestamptz[], $22::text[], $23::text[],
    $24::bytea[])
    AS t (id, channel, gateway, mkey, mid, at, org, actor, entitled, cases, report, receipt, sender,
    trace, test, state, open_at, external, scope, key)
  WHERE key IS NULL OR (scope, key) IN (SELECT scope, key_hash FROM new_keys)
  ORDER BY channel, gateway, mkey, id
  ON CONFLICT (channel, gateway, message_key) DO NOTHING RETURNING submission_id
), new_cases AS (
  INSERT INTO cases (case_id, submission_id, person_ref, organisation)
  SELECT c, s, r, o FROM unnest($25::uuid[], $26::uuid[], $27::text[], $28::text[])
    AS t (c, s, r, o) WHERE s IN (SELECT submission_id FROM new)
), new_subjects AS (
  INSERT INTO subjects (subject_id, case_id, submission_id, kind, ref, wrapped_key, commitment, kek,
    phone_mark, name_mark, alike)
  SELECT i, c, s, k, r, w, m, f, p, n, string_to_array(a, ',')
  FROM unnest($29::uuid[], $30::uuid[], $31::uuid[], $32::text[], $33::text[],
    $34::bytea[], $35::bytea[], $36::bytea[], $37::bytea[], $38::bytea[], $39::text[])
    AS t (i, c, s, k, r, w, m, f, p, n, a) WHERE s IN (SELECT submission_id FROM new)
), new_sealed AS (
  INSERT INTO sealed (subject_id, field, version, ciphertext)
  SELECT i, n, v, c FROM unnest($40::uuid[], $41::uuid[], $42::text[], $43::integer[], $44::bytea[])
    AS t (s, i, n, v, c) WHERE s IN (SELECT submission_id FROM new)
), new_events AS (
  INSERT INTO outbox (topic, partition, key, event_id, type, sequence, needs, traceparent, value,
    signature)
  SELECT topic, partition, key, event_id, type, sequence, needs, trace, value, signature
  FROM unnest($45::uuid[], $46::text[], $47::smallint[], $48::bytea[], $49::uuid[], $50::text[],
    $51::bigint[], $52::text[], $53::text[], $54::bytea[], $55::bytea[])
    WITH ORDINALITY AS t (s, topic, partition, key, event_id, type, sequence, needs, trace, value,
    signature, n)
  WHERE s IN (SELECT submission_id FROM new) ORDER BY n
)
SELECT submission_id FROM new
"""
"""A whole group in one round trip and one implicit transaction: all of it, or nothing.

What belongs to a submission is stored only if the submission is new; a submission with a key only
if its key is. Keys and submissions are inserted in their order, so that two groups never wait for
each other.
"""


class SubmissionStore:
    """Writes submissions on the flow engine."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox) -> None:
        """Take the engine of `intake_flow` and the outbox."""
        self._engine = engine
        self._outbox = outbox

    async def insert_submissions(self, group: Sequence[Prepared]) -> list[bytes | Exception]:
        """Store a group in one transaction; return each one's answer, or why it has none.

        A repeated Idempotency-Key or channel message is not stored again: it gets the first answer.

        Raises:
            CommitUnknown: the connection was lost, or its answer did not come in time.

        """
        columns = self._columns(group)
        async with self._engine.connect() as conn:
            pid = await server_of(conn)
            try:
                rows = await fetch(conn, _INSERT, *columns)
            except Exception as error:
                if _rolled_back(error):
                    raise
                await conn.invalidate()
                raise CommitUnknown(pid) from error
            new = {row[0] for row in rows}
            self._outbox.count(p.draft for p in group if p.draft and p.submission_id in new)
            return [
                p.answer if p.submission_id in new else await self._first(conn, p) for p in group
            ]

    async def insert_in(self, conn: AsyncConnection, group: Sequence[Prepared]) -> set[UUID]:
        """Store a group inside the caller's transaction, which has begun; return which are new."""
        new = {row[0] for row in await fetch(conn, _INSERT, *self._columns(group))}
        conn.info[APPENDED] = True
        self._outbox.count(p.draft for p in group if p.draft and p.submission_id in new)
        return new

    def _columns(self, group: Sequence[Prepared]) -> list[object]:
        """Return the statement's parameters in their order."""
        first: dict[tuple[str, bytes], Prepared] = {}
        for p in group:
            if p.key is not None:
                first.setdefault((p.key.scope, p.key.digest), p)
        keys = [(p.key, p.answer) for p in first.values() if p.key is not None]
        tried = [p for p in group if p.key is None or first[p.key.scope, p.key.digest] is p]
        submissions = [
            (
                *(p.submission_id, s.channel, p.gateway, p.message_key, p.message_id),
                *(s.received_at, p.organisation, p.actor, s.entitled),
                ",".join(map(str, s.case_ids)),
                _encode(s.report).decode(),
                *(p.receipt_hash, p.sender, p.traceparent, s.test),
                *(p.state, s.received_at + p.open_after, ",".join(p.external)),
                *((None, None) if p.key is None else (p.key.scope, p.key.digest)),
            )
            for p in tried
            for s in (p.submission,)
        ]
        cases = [
            (case_id, p.submission_id, ref, p.organisation)
            for p in tried
            for case_id, ref in zip(p.submission.case_ids, p.person_refs, strict=True)
        ]
        subjects = [
            (
                *(s.subject_id, s.case_id, p.submission_id, s.kind, s.ref, s.wrapped_key),
                *(s.commitment, s.kek, s.marks.phone, s.marks.name, ",".join(s.marks.alike)),
            )
            for p in tried
            for s in p.subjects
        ]
        sealed = [
            (p.submission_id, s.subject_id, f.name, f.version, f.ciphertext)
            for p in tried
            for s in p.subjects
            for f in s.fields
        ]
        told = [(p, p.draft) for p in tried if p.draft is not None]
        events = self._outbox.encode(
            [(d, Stamp(p.submission.received_at, p.actor, p.traceparent)) for p, d in told], {}
        )
        return [
            *_turned(4, [(k.scope, k.digest, k.body, k.close(answer)) for k, answer in keys]),
            *_turned(20, submissions),
            *_turned(4, cases),
            *_turned(11, subjects),
            *_turned(5, sealed),
            [p.submission_id for p, _ in told],
            *events.values(),
        ]

    @staticmethod
    async def _first(conn: AsyncConnection, prepared: Prepared) -> bytes | Exception:
        """Return the first answer of a repeated key or message."""
        if prepared.key is None:
            return prepared.answer if prepared.again is None else prepared.again
        try:
            found = await find_answer(conn, prepared.key)
        except Exception as error:  # noqa: BLE001  (given to the one caller it concerns)
            return error
        return found if found is not None else prepared.answer

    async def has_message(self, channel: str, gateway: str, mark: bytes) -> bool:
        """Say whether a channel's message with this repeat mark is stored."""
        async with self._engine.connect() as conn:
            found = await conn.scalar(
                text(
                    "SELECT 1 FROM submissions WHERE channel = :c AND gateway = :g"
                    " AND message_key = :m"
                ),
                {"c": channel, "g": gateway, "m": mark},
            )
        return found is not None

    async def look_up(self, ids: Iterable[UUID], pid: int) -> tuple[set[UUID], bool]:
        """Return which of these submissions are stored, and whether process `pid` still runs."""
        async with self._engine.connect() as conn:
            running = await conn.scalar(  # asked first: what ends between the two is found
                text("SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = :pid)"),
                {"pid": pid},
            )
            rows = await conn.execute(
                text("SELECT submission_id FROM submissions WHERE submission_id = ANY(:ids)"),
                {"ids": list(ids)},
            )
            return {row.submission_id for row in rows}, bool(running)


def _rolled_back(error: Exception) -> bool:
    """Say whether the server itself said that it stored nothing, or was not asked."""
    if not isinstance(error, asyncpg.PostgresError):
        return False
    state = sqlstate_of(error)
    return state is not None and state[:2] not in ("08", "57", "XX")


def _turned(width: int, rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """Return rows as so many columns."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * width
