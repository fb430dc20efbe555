"""SQL of attachments: what came with a report, sealed in parts, and who opened it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from services.intake.vault import Subject
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Attachment:
    """A stored attachment; who asked for the original is a pseudonym with its role."""

    attachment_id: UUID
    submission_id: UUID
    subject_id: UUID
    kind: str
    format: str
    sha256: bytes
    size: int
    received_at: datetime
    state: str
    original_asked_by: str | None
    original_asked_role: str | None


_COLUMNS = (
    "attachment_id, submission_id, subject_id, kind, format, sha256, size, received_at, state,"
    " original_asked_by, original_asked_role"
)


async def attachments_of(conn: AsyncConnection, submission_id: UUID) -> list[Attachment]:
    """Return what came with a report, oldest first."""
    rows = await conn.execute(
        text(
            f"SELECT {_COLUMNS} FROM attachments WHERE submission_id = :s"  # noqa: S608
            " ORDER BY received_at, attachment_id"
        ),
        {"s": submission_id},
    )
    return [Attachment(*row) for row in rows]


async def find_attachment(conn: AsyncConnection, attachment_id: UUID) -> Attachment | None:
    """Return an attachment; None if there is none. Whoever changes it has locked its report."""
    rows = await conn.execute(
        text(f"SELECT {_COLUMNS} FROM attachments WHERE attachment_id = :a"),  # noqa: S608
        {"a": attachment_id},
    )
    row = rows.first()
    return None if row is None else Attachment(*row)


async def cases_of(conn: AsyncConnection, submission_id: UUID) -> list[UUID]:
    """Return every case of a report, those that were split off too."""
    rows = await conn.execute(
        text("SELECT case_id FROM cases WHERE submission_id = :s ORDER BY case_id"),
        {"s": submission_id},
    )
    return [row.case_id for row in rows]


async def save_attachment(
    conn: AsyncConnection,
    attachment: Attachment,
    parts: Sequence[bytes],
) -> None:
    """Store an attachment with its sealed parts."""
    await conn.execute(
        text(
            "INSERT INTO attachments (attachment_id, submission_id, subject_id, kind, format,"
            " sha256, size, received_at) VALUES (:a, :s, :u, :k, :f, :h, :n, :at)"
        ),
        {
            "a": attachment.attachment_id,
            "s": attachment.submission_id,
            "u": attachment.subject_id,
            "k": attachment.kind,
            "f": attachment.format,
            "h": attachment.sha256,
            "n": attachment.size,
            "at": attachment.received_at,
        },
    )
    await conn.execute(
        text(
            "INSERT INTO attachment_parts (attachment_id, nth, ciphertext)"
            " SELECT :a, n, c FROM unnest(CAST(:c AS bytea[])) WITH ORDINALITY AS t (c, n)"
        ),
        {"a": attachment.attachment_id, "c": list(parts)},
    )


async def sealed_parts(conn: AsyncConnection, attachment: Attachment) -> list[bytes]:
    """Return the sealed parts of an attachment, in order."""
    rows = await conn.execute(
        text("SELECT ciphertext FROM attachment_parts WHERE attachment_id = :a ORDER BY nth"),
        {"a": attachment.attachment_id},
    )
    return [bytes(row.ciphertext) for row in rows]


async def subject_with(conn: AsyncConnection, attachment: Attachment) -> Subject | None:
    """Return the subject under whose key an attachment is sealed; None after its erasure."""
    rows = await conn.execute(
        text(
            "SELECT subject_id, case_id, kind, ref, wrapped_key, commitment, kek FROM subjects"
            " WHERE subject_id = :s AND wrapped_key IS NOT NULL"
        ),
        {"s": attachment.subject_id},
    )
    row = rows.first()
    if row is None:
        return None
    return Subject(row[0], row[1], row[2], row[3], bytes(row[4]), bytes(row[5]), bytes(row[6]))


async def count_openings(
    conn: AsyncConnection, by: str, shown: str, day: tuple[datetime, datetime]
) -> int:
    """Count what a person saw on a day; whoever counts for the same person waits for the caller."""
    await conn.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:who, 0))"), {"who": f"opening {by}"}
    )
    found = await conn.scalar(
        text(
            "SELECT count(*) FROM attachment_openings WHERE opened_by = :by AND shown = :s"
            " AND opened_at >= :begins AND opened_at < :ends"
        ),
        {"by": by, "s": shown, "begins": day[0], "ends": day[1]},
    )
    return int(found or 0)


async def note_opening(
    conn: AsyncConnection, attachment_id: UUID, by: str, shown: str, reason: str, at: datetime
) -> None:
    """Note that somebody opened an attachment."""
    await conn.execute(
        text(
            "INSERT INTO attachment_openings (opening_id, attachment_id, opened_by, opened_at,"
            " shown, reason) VALUES (:id, :a, :by, :at, :s, :r)"
        ),
        {"id": uuid4(), "a": attachment_id, "by": by, "at": at, "s": shown, "r": reason},
    )


async def ask_original(
    conn: AsyncConnection, attachment_id: UUID, by: str | None, role: str | None, at: datetime
) -> None:
    """Keep who asked for the original; nobody, once it was given."""
    await conn.execute(
        text(
            "UPDATE attachments SET original_asked_by = :by, original_asked_role = :role,"
            " original_asked_at = :at WHERE attachment_id = :a"
        ),
        {"a": attachment_id, "by": by, "role": role, "at": at},
    )


async def flag(conn: AsyncConnection, attachment_id: UUID, by: str, at: datetime) -> None:
    """Note that nobody opens an attachment any more."""
    await conn.execute(
        text(
            "UPDATE attachments SET state = 'flagged', flagged_by = :by, flagged_at = :at"
            " WHERE attachment_id = :a"
        ),
        {"a": attachment_id, "by": by, "at": at},
    )


async def forget_attachments(conn: AsyncConnection, subjects: Sequence[UUID]) -> None:
    """Delete what is sealed under subjects whose keys were destroyed; that it came stays."""
    await conn.execute(
        text(
            "DELETE FROM attachment_parts WHERE attachment_id IN (SELECT attachment_id"
            " FROM attachments WHERE subject_id = ANY(CAST(:ids AS uuid[])))"
        ),
        {"ids": list(subjects)},
    )
    await conn.execute(
        text(
            "UPDATE attachments SET state = 'erased', format = 'unknown', size = 0, sha256 ="
            " decode(replace(attachment_id::text, '-', ''), 'hex'), original_asked_by = NULL"
            " WHERE subject_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(subjects)},
    )
