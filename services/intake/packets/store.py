"""SQL of packets: which was made for whom, and what came back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet that was made: for whom, how, and the SHA-256 of its bytes."""

    packet_id: UUID
    case_id: UUID
    receiver: str
    format: str
    way: str
    sha256: bytes
    fields: Sequence[str]
    made_by: str
    made_at: datetime


async def add_packet(conn: AsyncConnection, sent: Sent) -> None:
    """Keep that a packet was made."""
    await conn.execute(
        text(
            "INSERT INTO packets (packet_id, case_id, receiver, format, way, sha256, fields,"
            " made_by, made_at) VALUES (:packet_id, :case_id, :receiver, :format, :way, :sha256,"
            " CAST(:fields AS text[]), :made_by, :made_at)"
        ),
        {name: getattr(sent, name) for name in Sent.__slots__} | {"fields": list(sent.fields)},
    )


async def list_packets(conn: AsyncConnection, case_id: UUID) -> list[dict[str, Any]]:
    """Return the packets of a case, oldest first; `sha256` in hexadecimal."""
    rows = await conn.execute(
        text(
            "SELECT packet_id, receiver, format, way, encode(sha256, 'hex') AS sha256, fields,"
            " made_by, made_at, answer, answered_by, answered_at FROM packets"
            " WHERE case_id = :c ORDER BY made_at, packet_id"
        ),
        {"c": case_id},
    )
    return [dict(row._mapping) for row in rows]  # noqa: SLF001  (SQLAlchemy's public name for it)


async def has_packet(conn: AsyncConnection, case_id: UUID) -> bool:
    """Say whether another centre may hold a packet of a case; one that declined was told too."""
    found = await conn.scalar(
        text("SELECT EXISTS (SELECT 1 FROM packets WHERE case_id = :c)"), {"c": case_id}
    )
    return bool(found)


async def case_of_packet(conn: AsyncConnection, packet_id: UUID) -> UUID | None:
    """Return the case of a packet; None if there is no such packet."""
    found = await conn.scalar(
        text("SELECT case_id FROM packets WHERE packet_id = :p"), {"p": packet_id}
    )
    return None if found is None else UUID(str(found))


async def answer_packet(
    conn: AsyncConnection, case_id: UUID, packet_id: UUID, answer: str, by: str, at: datetime
) -> str | None:
    """Keep what came back of a packet; return for whom it was, None if the case has none such.

    That it was received says less than a yes or no, and takes neither away.
    """
    rows = await conn.execute(
        text(
            "UPDATE packets SET answer = CASE WHEN :a = 'received' THEN coalesce(answer, :a)"
            " ELSE :a END, answered_by = :by, answered_at = :at"
            " WHERE packet_id = :p AND case_id = :c RETURNING receiver"
        ),
        {"p": packet_id, "c": case_id, "a": answer, "by": by, "at": at},
    )
    row = rows.first()
    return None if row is None else str(row.receiver)


async def add_mark(conn: AsyncConnection, submission_id: UUID, mark: str) -> None:
    """Let a report be found by a reference of another office."""
    await conn.execute(
        text(
            "UPDATE submissions SET external = external || ARRAY[CAST(:m AS text)]"
            " WHERE submission_id = :s AND NOT external @> ARRAY[CAST(:m AS text)]"
        ),
        {"s": submission_id, "m": mark},
    )
