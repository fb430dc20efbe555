"""All SQL of intake. Nothing here decides anything; transactions are the callers'."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import text

from services.intake.domain import Submission
from services.intake.vault import SealedField, Subject
from shared.events import CaseFacts
from shared.idempotency import Key, find_answer
from shared.outbox import Stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from shared.events import Draft
    from shared.outbox import Outbox

Cursor = tuple[int, int]
"""Place in a list: transaction id and row number; (0, 0) is the beginning."""

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
  organisation, actor, entitled, case_ids, report, open_at, receipt_hash, traceparent, test)
SELECT id, channel, gateway, mkey, mid, at, org, actor, entitled,
  CAST(string_to_array(cases, ',') AS uuid[]), CAST(report AS jsonb),
  at + make_interval(secs => :open_after), receipt, trace, test
FROM unnest(CAST(:id AS uuid[]), CAST(:channel AS text[]), CAST(:gateway AS text[]),
  CAST(:mkey AS bytea[]), CAST(:mid AS text[]), CAST(:at AS timestamptz[]), CAST(:org AS text[]),
  CAST(:actor AS text[]), CAST(:entitled AS boolean[]), CAST(:cases AS text[]),
  CAST(:report AS text[]), CAST(:receipt AS bytea[]), CAST(:trace AS text[]),
  CAST(:test AS boolean[]))
  AS t (id, channel, gateway, mkey, mid, at, org, actor, entitled, cases, report, receipt, trace,
  test)
ORDER BY channel, gateway, mkey, id
ON CONFLICT (channel, gateway, message_key) DO NOTHING RETURNING submission_id
""")
_CASES = text("""
INSERT INTO cases (case_id, submission_id, person_ref, organisation)
SELECT * FROM unnest(CAST(:c AS uuid[]), CAST(:s AS uuid[]), CAST(:r AS text[]), CAST(:o AS text[]))
""")
_SUBJECTS = text("""
INSERT INTO subjects (subject_id, case_id, submission_id, kind, ref, wrapped_key, commitment, kek)
SELECT * FROM unnest(CAST(:i AS uuid[]), CAST(:c AS uuid[]), CAST(:s AS uuid[]), CAST(:k AS text[]),
  CAST(:r AS text[]), CAST(:w AS bytea[]), CAST(:m AS bytea[]), CAST(:f AS bytea[]))
""")
_SEALED = text("""
INSERT INTO sealed (subject_id, field, version, ciphertext)
SELECT * FROM unnest(CAST(:i AS uuid[]), CAST(:n AS text[]), CAST(:v AS integer[]),
  CAST(:c AS bytea[]))
""")


class IntakeStore:
    """Reads and writes of intake on the flow engine."""

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
                (s.subject_id, s.case_id, sid, s.kind, s.ref, s.wrapped_key, s.commitment, s.kek)
                for s, sid in subjects
            ]
            await conn.execute(_SUBJECTS, _columns("icskrwmf", rows))
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
            return prepared.answer  # a channel's message again: the same neutral answer
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
        "trace": [p.traceparent for p in group],
        "test": [s.test for s in subs],
        "open_after": OPEN_AFTER,
    }


@dataclass(frozen=True, slots=True)
class Unopened:
    """A submission that waits for its cases, with its sealed narrative."""

    submission: Submission
    traceparent: str | None
    narrator: Subject | None


async def lock_unopened(conn: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, Unopened]:
    """Lock submissions (in order of id) that have no case yet; opened ones are left out."""
    rows = await conn.execute(
        text(
            "SELECT submission_id, channel, case_ids, report, entitled, received_at, test,"
            " traceparent FROM submissions WHERE submission_id = ANY(:ids) AND state = 'received'"
            " ORDER BY submission_id FOR UPDATE"
        ),
        {"ids": list(ids)},
    )
    found = {row.submission_id: row for row in rows}
    if not found:
        return {}
    narrators = await _narrators(conn, list(found))
    return {
        key: Unopened(
            Submission(
                row.submission_id,
                row.channel,
                tuple(row.case_ids),
                _json(row.report),
                row.entitled,
                row.received_at,
                row.test,
            ),
            row.traceparent,
            narrators.get(key),
        )
        for key, row in found.items()
    }


async def _narrators(conn: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, Subject]:
    rows = await conn.execute(
        text(
            "SELECT s.*, f.field, f.version, f.ciphertext FROM subjects s"
            " JOIN sealed f ON f.subject_id = s.subject_id AND f.field = 'narrative'"
            " WHERE s.submission_id = ANY(:ids) AND s.kind = 'reporter'"
        ),
        {"ids": list(ids)},
    )
    return {
        row.submission_id: Subject(
            row.subject_id,
            row.case_id,
            row.kind,
            row.ref,
            bytes(row.wrapped_key or b""),
            bytes(row.commitment),
            bytes(row.kek),
            (SealedField(row.field, bytes(row.ciphertext), row.version),),
        )
        for row in rows
    }


async def due_unopened(conn: AsyncConnection, at: datetime, limit: int) -> list[UUID]:
    """Return submissions whose cases are overdue, oldest first, without locking them."""
    rows = await conn.execute(
        text(
            "SELECT submission_id FROM submissions WHERE state = 'received' AND open_at <= :at"
            " ORDER BY open_at LIMIT :n"
        ),
        {"at": at, "n": limit},
    )
    return [row.submission_id for row in rows]


async def put_off(conn: AsyncConnection, submission_id: UUID, at: datetime) -> None:
    """Try to open a submission again later: its opening failed; the pause doubles to an hour."""
    await conn.execute(
        text(
            "UPDATE submissions SET open_tries = open_tries + 1, open_at = CAST(:at AS timestamptz)"
            " + make_interval(secs => least(3600, 10 * power(2, least(open_tries, 9))))"
            " WHERE submission_id = :id"
        ),
        {"at": at, "id": submission_id},
    )


async def save_opened(
    conn: AsyncConnection, opened: Mapping[UUID, tuple[object, list[tuple[UUID, CaseFacts]]]]
) -> None:
    """Store what was opened: per submission its reading (or None) and its cases."""
    if not opened:
        return
    cases = [case for _, cases in opened.values() for case in cases]
    await conn.execute(
        text(
            "UPDATE submissions s SET state = CASE WHEN t.n > 0 THEN 'opened' ELSE 'no_case' END,"
            " reading = CAST(t.reading AS jsonb) FROM unnest(CAST(:ids AS uuid[]),"
            " CAST(:readings AS text[]), CAST(:counts AS integer[])) AS t (id, reading, n)"
            " WHERE s.submission_id = t.id"
        ),
        {
            "ids": list(opened),
            "readings": [
                None if reading is None else msgspec.json.encode(_plain(reading)).decode()
                for reading, _ in opened.values()
            ],
            "counts": [len(cases) for _, cases in opened.values()],
        },
    )
    none = [key for key, (_, found) in opened.items() if not found]
    if none:
        await conn.execute(
            text("UPDATE cases SET status = 'no_case' WHERE submission_id = ANY(:ids)"),
            {"ids": none},
        )
    await save_cases(conn, cases)


def _plain(reading: object) -> object:
    plain = dataclasses.asdict(reading) if dataclasses.is_dataclass(reading) else reading  # type: ignore[arg-type]
    return msgspec.to_builtins(plain, enc_hook=str)


async def save_cases(conn: AsyncConnection, cases: Sequence[tuple[UUID, CaseFacts]]) -> None:
    """Store the facts of cases; each gets the next version."""
    if not cases:
        return
    await conn.execute(
        text(
            "UPDATE cases c SET facts = CAST(t.facts AS jsonb), status = t.status,"
            " version = version + 1, changed_at = now() FROM unnest(CAST(:ids AS uuid[]),"
            " CAST(:facts AS text[]), CAST(:status AS text[])) AS t (id, facts, status)"
            " WHERE c.case_id = t.id"
        ),
        {
            "ids": [case_id for case_id, _ in cases],
            "facts": [msgspec.json.encode(facts).decode() for _, facts in cases],
            "status": [facts.status for _, facts in cases],
        },
    )


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case as stored; `facts` is None until it was opened."""

    case_id: UUID
    submission_id: UUID
    status: str
    facts: CaseFacts | None
    version: int
    changed_at: datetime
    cursor: Cursor


_CASE_COLUMNS = (
    "case_id, submission_id, status, facts, version, changed_at, txid::text AS txid, seq"
)


def _case(row: Any) -> CaseRow:  # noqa: ANN401  (a database row)
    facts = None if row.facts is None else msgspec.convert(_json(row.facts), CaseFacts)
    return CaseRow(
        row.case_id,
        row.submission_id,
        row.status,
        facts,
        row.version,
        row.changed_at,
        (int(row.txid), row.seq),
    )


def _json(value: Any) -> Any:  # noqa: ANN401  (jsonb comes as text or parsed)
    return msgspec.json.decode(value) if isinstance(value, str | bytes) else value


async def lock_case(conn: AsyncConnection, case_id: UUID) -> CaseRow | None:
    """Lock and read one case; None if it is not there or not for this organisation."""
    rows = await conn.execute(
        text(f"SELECT {_CASE_COLUMNS} FROM cases WHERE case_id = :id FOR UPDATE"),  # noqa: S608
        {"id": case_id},
    )
    row = rows.first()
    return None if row is None else _case(row)


async def find_case(conn: AsyncConnection, case_id: UUID) -> CaseRow | None:
    """Read one case; None if it is not there or not for this organisation."""
    rows = await conn.execute(
        text(f"SELECT {_CASE_COLUMNS} FROM cases WHERE case_id = :id"),  # noqa: S608
        {"id": case_id},
    )
    row = rows.first()
    return None if row is None else _case(row)


_BELOW: Final = """
(txid, seq) > (CAST(CAST(:txid AS text) AS xid8), :seq)
  AND txid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY txid, seq LIMIT :n
"""
"""Rows after a cursor, below every transaction still open: a later commit never slips in before."""


async def list_cases(conn: AsyncConnection, after: Cursor, limit: int) -> list[CaseRow]:
    """Read cases in the order of their commits."""
    rows = await conn.execute(
        text(f"SELECT {_CASE_COLUMNS} FROM cases WHERE status <> 'no_case' AND {_BELOW}"),  # noqa: S608
        {"txid": str(after[0]), "seq": after[1], "n": limit},
    )
    return [_case(row) for row in rows]


async def list_submissions(
    conn: AsyncConnection, channel: str | None, after: Cursor, limit: int
) -> list[dict[str, Any]]:
    """Read submissions in the order of their commits."""
    rows = await conn.execute(
        text(
            "SELECT txid::text AS txid, seq, submission_id, channel, gateway, message_id,"
            " received_at, case_ids, state, reading, test FROM submissions"
            f" WHERE (CAST(:channel AS text) IS NULL OR channel = :channel) AND {_BELOW}"
        ),
        {"txid": str(after[0]), "seq": after[1], "channel": channel, "n": limit},
    )
    return [
        {
            "cursor": (int(row.txid), row.seq),
            "submission_id": row.submission_id,
            "channel": row.channel,
            "gateway": row.gateway or None,
            "message_id": row.message_id,
            "received_at": row.received_at,
            "state": row.state,
            "reading": _json(row.reading),
            "subject": row.case_ids[0],
            "case_ids": row.case_ids if row.state != "no_case" else [],
            "case_id": row.case_ids[0] if row.state != "no_case" and row.case_ids else None,
            "test": row.test,
        }
        for row in rows
    ]
