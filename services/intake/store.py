"""SQL of opening submissions and of cases. Nothing decides here; transactions are the callers'."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.intake.domain import Submission
from services.intake.vault import SealedField, Subject
from shared.events import CaseFacts
from shared.lean import later, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

Cursor = tuple[int, int]
"""Place in a list: transaction id and row number; (0, 0) is the beginning."""


@dataclass(frozen=True, slots=True)
class Unopened:
    """A submission that waits for its cases.

    `narrator`: who told it, with the sealed narrative, when that alone says what it is about.
    """

    submission: Submission
    traceparent: str | None
    narrator: Subject | None


async def lock_unopened(conn: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, Unopened]:
    """Lock submissions (in order of id) that have no case yet; opened ones are left out."""
    rows = await conn.execute(
        text(
            "SELECT submission_id, channel, case_ids, report, entitled, received_at, test,"
            " traceparent, state FROM submissions WHERE submission_id = ANY(:ids)"
            " ORDER BY submission_id FOR UPDATE"
        ),
        {"ids": list(ids)},
    )
    found = {row.submission_id: row for row in rows if row.state == "received"}
    if not found:
        return {}
    waiting = {
        key: Submission(
            row.submission_id,
            row.channel,
            tuple(row.case_ids),
            _json(row.report),
            row.entitled,
            row.received_at,
            row.test,
        )
        for key, row in found.items()
    }
    told = [key for key, one in waiting.items() if not one.report.get("concerns")]
    narrators = await _narrators(conn, told) if told else {}
    return {
        key: Unopened(one, found[key].traceparent, narrators.get(key))
        for key, one in waiting.items()
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


def save_opened(
    conn: AsyncConnection, opened: Mapping[UUID, tuple[object, list[tuple[UUID, CaseFacts]]]]
) -> None:
    """Store what was opened, later: per submission its reading (or None) and its cases."""
    if not opened:
        return
    cases = [case for _, cases in opened.values() for case in cases]
    later(
        conn,
        text(
            "UPDATE submissions s SET state = CASE WHEN t.n > 0 THEN 'opened' ELSE 'no_case' END,"
            " reading = CAST(t.reading AS jsonb) FROM unnest((SELECT CAST(:ids AS uuid[])),"
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
        later(
            conn,
            text("UPDATE cases SET status = 'no_case' WHERE submission_id = ANY(:ids)"),
            {"ids": none},
        )
    save_cases(conn, cases)


def _plain(reading: object) -> object:
    plain = dataclasses.asdict(reading) if dataclasses.is_dataclass(reading) else reading  # type: ignore[arg-type]
    return msgspec.to_builtins(plain, enc_hook=str)


def save_cases(conn: AsyncConnection, cases: Sequence[tuple[UUID, CaseFacts]]) -> None:
    """Store the facts of cases, later; each gets the next version."""
    if not cases:
        return
    later(
        conn,
        text(
            "UPDATE cases c SET facts = CAST(t.facts AS jsonb), status = t.status,"
            " version = version + 1, changed_at = now() FROM unnest((SELECT CAST(:ids AS uuid[])),"
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
    """A case as stored; `facts` is None until it was opened; `owner` is who reported it."""

    case_id: UUID
    submission_id: UUID
    status: str
    facts: CaseFacts | None
    version: int
    changed_at: datetime
    cursor: Cursor
    owner: str = ""


_CASE_COLUMNS = (
    "case_id, submission_id, status, facts, version, changed_at, txid::text AS xid, seq,"
    " organisation"
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
        (int(row.xid), row.seq),
        row.organisation,
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


async def received_at(conn: AsyncConnection, submission_id: UUID) -> datetime:
    """Return when a report came."""
    found: datetime = await conn.scalar(
        text("SELECT received_at FROM submissions WHERE submission_id = :s"), {"s": submission_id}
    )
    return found


async def lock_facts(conn: AsyncConnection, cases: Sequence[UUID]) -> dict[UUID, CaseFacts]:
    """Lock cases in order of id; return the facts of those that are open already."""
    rows = await conn.execute(
        text(
            "SELECT case_id, facts FROM cases WHERE case_id = ANY(CAST(:ids AS uuid[]))"
            " ORDER BY case_id FOR UPDATE"
        ),
        {"ids": list(cases)},
    )
    return {
        row.case_id: msgspec.convert(_json(row.facts), CaseFacts)
        for row in rows
        if row.facts is not None
    }


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


_WITH_CASE: Final = ("received", "opened")
"""States of a submission that has, or will have, cases of its own."""


async def list_submissions(
    conn: AsyncConnection, channel: str | None, after: Cursor, limit: int
) -> list[dict[str, Any]]:
    """Read submissions in the order of their commits."""
    rows = await conn.execute(
        text(
            "SELECT txid::text AS xid, seq, submission_id, channel, gateway, message_id,"  # noqa: S608
            " received_at, case_ids, state, reading, report -> 'call' AS call, answers, test"
            " FROM submissions"
            f" WHERE (CAST(:channel AS text) IS NULL OR channel = :channel) AND {_BELOW}"
        ),
        {"txid": str(after[0]), "seq": after[1], "channel": channel, "n": limit},
    )
    return [
        {
            "cursor": (int(row.xid), row.seq),
            "submission_id": row.submission_id,
            "channel": row.channel,
            "gateway": row.gateway or None,
            "message_id": row.message_id,
            "received_at": row.received_at,
            "state": row.state,
            "reading": _json(row.reading),
            "call": _json(row.call),
            "subject": row.case_ids[0],
            "case_ids": row.case_ids if row.state in _WITH_CASE else [],
            "case_id": row.case_ids[0] if row.state in _WITH_CASE and row.case_ids else None,
            "answers": row.answers,
            "test": row.test,
        }
        for row in rows
    ]


async def find_by_mark(conn: AsyncConnection, mark: str) -> list[dict[str, Any]]:
    """Return what the caller may see of submissions with a mark of a reference, oldest first.

    The connection is in the caller's scope; at most 50.
    """
    rows = await conn.execute(
        text(
            "SELECT submission_id, channel, received_at, state, case_ids, test FROM submissions"
            " WHERE external @> ARRAY[CAST(:m AS text)] AND external <> '{}' ORDER BY seq LIMIT 50"
        ),
        {"m": mark},
    )
    return [
        {
            "submission_id": row.submission_id,
            "channel": row.channel,
            "received_at": row.received_at,
            "case_ids": row.case_ids if row.state in _WITH_CASE else [],
            "test": row.test,
        }
        for row in rows
    ]


async def subject_of(conn: AsyncConnection, case_id: UUID, recipient: str) -> Subject | None:
    """Return whom a notice about a case is for, without sealed fields; None if nobody is known.

    `person`: the person the case is about, who may be the reporter; `reporter`: whoever reported.
    """
    rows = await conn.execute(
        text(
            "SELECT s.subject_id, s.case_id, s.kind, s.ref, coalesce(s.wrapped_key, ''::bytea),"
            " s.commitment, s.kek FROM cases c JOIN submissions b USING (submission_id)"
            " JOIN subjects s ON s.submission_id = c.submission_id WHERE c.case_id = :c"
            " AND CASE WHEN :who = 'reporter' THEN s.kind = 'reporter'"
            " ELSE (s.kind = 'person' AND s.case_id = c.case_id"
            "  AND s.ref IS NOT DISTINCT FROM c.person_ref)"
            "  OR (s.kind = 'reporter' AND b.report #>> '{reporter,kind}' = 'self') END"
            " ORDER BY s.kind LIMIT 1"
        ),
        {"c": case_id, "who": recipient},
    )
    row = rows.first()
    if row is None:
        return None
    subject_id, owner, kind, ref, wrapped, commitment, kek = row
    return Subject(subject_id, owner, kind, ref, bytes(wrapped), bytes(commitment), bytes(kek))
