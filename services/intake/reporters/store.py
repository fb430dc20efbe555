"""SQL of what belongs to a receipt: its report, messages both ways, stopped numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from services.intake.figures import count_stage
from services.intake.vault import SealedField, Subject
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Report:
    """A stored report as its receipt finds it."""

    submission_id: UUID
    case_ids: tuple[UUID, ...]
    seen: bool
    sender: bytes | None


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a report; its words are sealed as `field` of the reporter."""

    way: str
    kind: str
    field: str
    said_at: datetime


_REPORT = "submission_id, case_ids, seen_at IS NOT NULL AS seen, sender"


async def find_report(
    conn: AsyncConnection, receipt_hash: bytes, *, lock: bool = False
) -> Report | None:
    """Return the report of a receipt, first or further; None if there is none."""
    rows = await conn.execute(
        text(
            f"SELECT {_REPORT} FROM submissions WHERE submission_id = ("  # noqa: S608
            "SELECT submission_id FROM submissions WHERE receipt_hash = :h UNION ALL"
            " SELECT submission_id FROM further_receipts WHERE receipt_hash = :h LIMIT 1)"
            + (" FOR UPDATE" if lock else "")
        ),
        {"h": receipt_hash},
    )
    row = rows.first()
    return None if row is None else _report(row)


async def find_submission(
    conn: AsyncConnection, submission_id: UUID, *, lock: bool = False
) -> Report | None:
    """Return a report by its own id; None if there is none."""
    rows = await conn.execute(
        text(
            f"SELECT {_REPORT} FROM submissions WHERE submission_id = :id"  # noqa: S608
            + (" FOR UPDATE" if lock else "")
        ),
        {"id": submission_id},
    )
    row = rows.first()
    return None if row is None else _report(row)


async def find_message(
    conn: AsyncConnection, channel: str, mark: bytes, *, lock: bool = False
) -> tuple[Report, str] | None:
    """Return the report that a channel's message became, and that message's own id; or None."""
    rows = await conn.execute(
        text(
            f"SELECT {_REPORT}, message_id FROM submissions WHERE channel = :c"  # noqa: S608
            " AND gateway = '' AND message_key = :m" + (" FOR UPDATE" if lock else "")
        ),
        {"c": channel, "m": mark},
    )
    row = rows.first()
    return None if row is None else (_report(row), row.message_id or "")


def _report(row: Any) -> Report:  # noqa: ANN401  (a database row)
    sender = bytes(row.sender) if row.sender is not None else None
    return Report(row.submission_id, tuple(row.case_ids), row.seen, sender)


async def latest_of(
    conn: AsyncConnection, sender: bytes, before: UUID | None = None
) -> UUID | None:
    """Return the newest report from a number that is a report, other than `before`."""
    found = await conn.scalar(
        text(
            "SELECT submission_id FROM submissions WHERE sender = :s AND state <> 'no_case'"
            " AND state <> 'answer' AND (CAST(:b AS uuid) IS NULL OR submission_id <> :b)"
            " ORDER BY received_at DESC, seq DESC LIMIT 1"
        ),
        {"s": sender, "b": before},
    )
    return None if found is None else UUID(str(found))


async def mark_seen(conn: AsyncConnection, case_id: UUID, at: datetime) -> None:
    """Note that a person has looked at the report of a case; the first look counts."""
    found = await conn.execute(
        text(
            "UPDATE submissions s SET seen_at = :at FROM cases c WHERE c.case_id = :c"
            " AND s.submission_id = c.submission_id AND s.seen_at IS NULL"
            " RETURNING s.received_at, s.test, c.facts ->> 'urgency' AS urgency"
        ),
        {"at": at, "c": case_id},
    )
    row = found.first()
    if row is not None and not row.test:
        count_stage("first_human", row.urgency, at - row.received_at)


async def add_receipt(
    conn: AsyncConnection, submission_id: UUID, receipt_hash: bytes, at: datetime
) -> None:
    """Give a report a further receipt: the first one is not kept and cannot be told again."""
    await conn.execute(
        text(
            "INSERT INTO further_receipts (receipt_hash, submission_id, issued_at)"
            " VALUES (:h, :s, :at)"
        ),
        {"h": receipt_hash, "s": submission_id, "at": at},
    )


async def reporter_of(conn: AsyncConnection, submission_id: UUID) -> Subject | None:
    """Return the reporter of a report, without sealed fields; None after erasure."""
    rows = await conn.execute(
        text(
            "SELECT subject_id, case_id, kind, ref, wrapped_key, commitment, kek FROM subjects"
            " WHERE submission_id = :s AND kind = 'reporter' AND wrapped_key IS NOT NULL"
        ),
        {"s": submission_id},
    )
    row = rows.first()
    return None if row is None else Subject(*row)


async def messages_of(conn: AsyncConnection, submission_id: UUID) -> list[Message]:
    """Return the messages of a report, oldest first."""
    rows = await conn.execute(
        text(
            "SELECT way, kind, field, said_at FROM messages WHERE submission_id = :s"
            " ORDER BY said_at, message_id"
        ),
        {"s": submission_id},
    )
    return [Message(*row) for row in rows]


async def sealed_of(conn: AsyncConnection, subject_id: UUID) -> dict[str, SealedField]:
    """Return the newest version of each sealed field of a subject."""
    rows = await conn.execute(
        text(
            "SELECT DISTINCT ON (field) field, ciphertext, version FROM sealed"
            " WHERE subject_id = :s ORDER BY field, version DESC"
        ),
        {"s": subject_id},
    )
    return {row.field: SealedField(row.field, bytes(row.ciphertext), row.version) for row in rows}


async def add_message(
    conn: AsyncConnection,
    submission_id: UUID,
    reporter: Subject,
    sealed: SealedField | None,
    *,
    way: str,
    kind: str,
    at: datetime,
    actor: str,
) -> None:
    """Store a message; its words, if any, are sealed already."""
    if sealed is not None:
        await conn.execute(
            text(
                "INSERT INTO sealed (subject_id, field, version, ciphertext)"
                " VALUES (:s, :f, :v, :c)"
            ),
            {
                "s": reporter.subject_id,
                "f": sealed.name,
                "v": sealed.version,
                "c": sealed.ciphertext,
            },
        )
    await conn.execute(
        text(
            "INSERT INTO messages (message_id, submission_id, subject_id, way, kind, field,"
            " said_at, actor) VALUES (:id, :s, :r, :w, :k, :f, :at, :by)"
        ),
        {
            "id": uuid4(),
            "s": submission_id,
            "r": reporter.subject_id,
            "w": way,
            "k": kind,
            "f": sealed.name if sealed is not None else "",
            "at": at,
            "by": actor,
        },
    )


async def is_stopped(conn: AsyncConnection, number: bytes) -> bool:
    """Say whether messages to a number were stopped."""
    found = await conn.scalar(
        text("SELECT 1 FROM stopped_numbers WHERE number = :n"), {"n": number}
    )
    return found is not None


async def own_versions(
    conn: AsyncConnection, channel: str, actor: str, submissions: Iterable[UUID]
) -> dict[UUID, tuple[str, int]]:
    """Return an actor's own reports by a channel among these: the channel's id and the version."""
    rows = await conn.execute(
        text(
            "SELECT s.submission_id, coalesce(s.message_id, '') AS own, 1 + count(m.message_id)"
            " FILTER (WHERE m.field LIKE 'addition:%') AS version FROM submissions s"
            " LEFT JOIN messages m USING (submission_id) WHERE s.submission_id = ANY(:ids)"
            " AND s.channel = :c AND s.actor = :a GROUP BY s.submission_id, s.message_id"
        ),
        {"ids": list(submissions), "c": channel, "a": actor},
    )
    return {row.submission_id: (row.own, row.version) for row in rows}
