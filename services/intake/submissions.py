"""Storing submissions: a whole group in one transaction, with everything that belongs to each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import text

from shared.idempotency import Key, find_answer
from shared.outbox import Stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.intake.domain import Submission
    from services.intake.vault import Subject
    from shared.events import Draft
    from shared.outbox import Outbox

OPEN_AFTER: Final = 10
"""Seconds after which a submission without a case is opened by the sweep (DECISIONS 15)."""


class CommitUnknown(Exception):  # noqa: N818
    """The connection was lost while committing: the submissions may or may not be stored."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A submission ready to be stored, with every id made and its answer already known."""

    submission: Submission
    gateway: str
    message_key: bytes | None
    message_id: str | None
    organisation: str
    actor: str
    receipt_hash: bytes
    person_refs: tuple[str | None, ...]
    subjects: tuple[Subject, ...]
    draft: Draft
    traceparent: str | None
    answer: bytes
    key: Key | None = None
    sender: bytes | None = None
    again: bytes | None = None
    size: int = 1000

    @property
    def submission_id(self) -> UUID:
        """The id that the commit is looked up by."""
        return self.submission.submission_id


_IDEMPOTENCY = text("""
INSERT INTO idempotency (scope, key_hash, body_hash, answer)
SELECT * FROM unnest(CAST(:s AS text[]), CAST(:k AS bytea[]), CAST(:b AS bytea[]),
  CAST(:a AS bytea[])) AS t (s, k, b, a) ORDER BY s, k
ON CONFLICT DO NOTHING RETURNING scope, key_hash
""")
_SUBMISSIONS = text("""
INSERT INTO submissions (submission_id, channel, gateway, message_key, message_id, received_at,
  organisation, actor, entitled, case_ids, report, open_at, receipt_hash, sender,
  traceparent, test)
SELECT id, channel, gateway, mkey, mid, at, org, actor, entitled,
  CAST(string_to_array(cases, ',') AS uuid[]), CAST(report AS jsonb),
  at + make_interval(secs => :open_after), receipt, sender, trace, test
FROM unnest(CAST(:id AS uuid[]), CAST(:channel AS text[]), CAST(:gateway AS text[]),
  CAST(:mkey AS bytea[]), CAST(:mid AS text[]), CAST(:at AS timestamptz[]), CAST(:org AS text[]),
  CAST(:actor AS text[]), CAST(:entitled AS boolean[]), CAST(:cases AS text[]),
  CAST(:report AS text[]), CAST(:receipt AS bytea[]), CAST(:sender AS bytea[]),
  CAST(:trace AS text[]), CAST(:test AS boolean[]))
  AS t (id, channel, gateway, mkey, mid, at, org, actor, entitled, cases, report, receipt, sender,
  trace, test)
ORDER BY channel, gateway, mkey, id
ON CONFLICT (channel, gateway, message_key) DO NOTHING RETURNING submission_id
""")
_CASES = text("""
INSERT INTO cases (case_id, submission_id, person_ref, organisation)
SELECT * FROM unnest(CAST(:c AS uuid[]), CAST(:s AS uuid[]), CAST(:r AS text[]), CAST(:o AS text[]))
""")
_SUBJECTS = text("""
INSERT INTO subjects (subject_id, case_id, submission_id, kind, ref, wrapped_key, commitment, kek,
  phone_mark, name_mark)
SELECT * FROM unnest(CAST(:i AS uuid[]), CAST(:c AS uuid[]), CAST(:s AS uuid[]), CAST(:k AS text[]),
  CAST(:r AS text[]), CAST(:w AS bytea[]), CAST(:m AS bytea[]), CAST(:f AS bytea[]),
  CAST(:p AS bytea[]), CAST(:n AS bytea[]))
""")
_SEALED = text("""
INSERT INTO sealed (subject_id, field, version, ciphertext)
SELECT * FROM unnest(CAST(:i AS uuid[]), CAST(:n AS text[]), CAST(:v AS integer[]),
  CAST(:c AS bytea[]))
""")


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
            CommitUnknown: the connection was lost at the commit itself.

        """
        async with self._engine.connect() as conn:
            trans = await conn.begin()
            fresh = await self._insert_keys(conn, group)
            fresh = await self._insert_new(conn, fresh)
            try:
                await trans.commit()
            except Exception as error:
                raise CommitUnknown from error
            stored = {id(p) for p in fresh}
            return [p.answer if id(p) in stored else await self._first(conn, p) for p in group]

    @staticmethod
    async def _insert_keys(conn: AsyncConnection, group: Sequence[Prepared]) -> list[Prepared]:
        first: dict[tuple[str, bytes], Prepared] = {}
        for prepared in group:
            if prepared.key is not None:
                first.setdefault((prepared.key.scope, prepared.key.digest), prepared)
        won: set[tuple[str, bytes]] = set()
        if first:
            keys = [p.key for p in first.values() if p.key is not None]
            rows = await conn.execute(
                _IDEMPOTENCY,
                {
                    "s": [k.scope for k in keys],
                    "k": [k.digest for k in keys],
                    "b": [k.body for k in keys],
                    "a": [k.close(p.answer) for k, p in zip(keys, first.values(), strict=True)],
                },
            )
            won = {(row.scope, bytes(row.key_hash)) for row in rows}
        winners = {id(first[place]) for place in won}
        return [p for p in group if p.key is None or id(p) in winners]

    async def _insert_new(self, conn: AsyncConnection, group: Sequence[Prepared]) -> list[Prepared]:
        if not group:
            return []
        rows = await conn.execute(_SUBMISSIONS, _submission_columns(group))
        new = {row.submission_id for row in rows}
        fresh = [p for p in group if p.submission_id in new]
        if fresh:
            await self._insert_parts(conn, fresh)
        return fresh

    async def _insert_parts(self, conn: AsyncConnection, fresh: Sequence[Prepared]) -> None:
        cases = [
            (case_id, p.submission_id, ref, p.organisation)
            for p in fresh
            for case_id, ref in zip(p.submission.case_ids, p.person_refs, strict=True)
        ]
        await conn.execute(_CASES, _columns("csro", cases))
        subjects = [(s, p.submission_id) for p in fresh for s in p.subjects]
        if subjects:
            rows = [
                (
                    *(s.subject_id, s.case_id, sid, s.kind, s.ref, s.wrapped_key, s.commitment),
                    *(s.kek, s.marks.phone, s.marks.name),
                )
                for s, sid in subjects
            ]
            await conn.execute(_SUBJECTS, _columns("icskrwmfpn", rows))
            sealed = [
                (s.subject_id, f.name, f.version, f.ciphertext)
                for s, _ in subjects
                for f in s.fields
            ]
            await conn.execute(_SEALED, _columns("invc", sealed))
        await self._outbox.append(
            conn,
            [(p.draft, Stamp(p.submission.received_at, p.actor, p.traceparent)) for p in fresh],
            fresh=True,
        )

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

    async def find_submissions(self, ids: Iterable[UUID]) -> set[UUID]:
        """Return which of these submissions are stored."""
        async with self._engine.connect() as conn:
            rows = await conn.execute(
                text("SELECT submission_id FROM submissions WHERE submission_id = ANY(:ids)"),
                {"ids": list(ids)},
            )
            return {row.submission_id for row in rows}


def _columns(names: str, rows: Sequence[Sequence[object]]) -> dict[str, list[object]]:
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _submission_columns(group: Sequence[Prepared]) -> dict[str, object]:
    subs = [p.submission for p in group]
    return {
        "id": [s.submission_id for s in subs],
        "channel": [s.channel for s in subs],
        "gateway": [p.gateway for p in group],
        "mkey": [p.message_key for p in group],
        "mid": [p.message_id for p in group],
        "at": [s.received_at for s in subs],
        "org": [p.organisation for p in group],
        "actor": [p.actor for p in group],
        "entitled": [s.entitled for s in subs],
        "cases": [",".join(map(str, s.case_ids)) for s in subs],
        "report": [msgspec.json.encode(s.report).decode() for s in subs],
        "receipt": [p.receipt_hash for p in group],
        "sender": [p.sender for p in group],
        "trace": [p.traceparent for p in group],
        "test": [s.test for s in subs],
        "open_after": OPEN_AFTER,
    }
