"""SQL of the roster: who is on duty, at which level, and how a page reaches them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from shared.lean import text

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Duty:
    """Somebody on duty at a level, from and until; `district` is a P-code or None for all.

    `way` is how a page reaches them: `desk` (they look at it), `sms`, `call` or `push`.
    """

    person: str
    level: str
    district: str | None
    begins: datetime
    ends: datetime
    way: str = "desk"


async def add_duty(
    conn: AsyncConnection,
    duty: Duty,
    by: str,
    duty_id: UUID | None = None,
    number: bytes | None = None,
) -> UUID:
    """Enter somebody into the roster; return the entry's id. `number` is sealed for that id."""
    duty_id = duty_id or uuid4()
    await conn.execute(
        text(
            "INSERT INTO duty (duty_id, person, level, district, begins, ends, way, number,"
            " entered_by) VALUES (:id, :p, :l, :d, :b, :e, :w, :n, :by)"
        ),
        {
            "id": duty_id,
            "p": duty.person,
            "l": duty.level,
            "d": duty.district,
            "b": duty.begins,
            "e": duty.ends,
            "w": duty.way,
            "n": number,
            "by": by,
        },
    )
    return duty_id


async def drop_duty(conn: AsyncConnection, duty_id: UUID) -> bool:
    """Take an entry out of the roster; False if it is not there."""
    found = await conn.execute(
        text("DELETE FROM duty WHERE duty_id = :id RETURNING duty_id"), {"id": duty_id}
    )
    return found.first() is not None


async def roster_at(conn: AsyncConnection, at: datetime) -> list[tuple[UUID, Duty]]:
    """Return who is on duty at a time, those of one district before those of all."""
    rows = await conn.execute(
        text(
            "SELECT duty_id, person, level, district, begins, ends, way FROM duty"
            " WHERE begins <= :at AND ends > :at ORDER BY district NULLS LAST, begins, duty_id"
        ),
        {"at": at},
    )
    return [(row.duty_id, Duty(*row[1:])) for row in rows]


@dataclass(frozen=True, slots=True)
class Way:
    """How somebody on duty is reached now; `number` is sealed for the entry `duty_id`."""

    duty_id: UUID
    way: str
    number: bytes | None


async def way_of(conn: AsyncConnection, person: str, at: datetime) -> Way | None:
    """Return how somebody is reached at a time: by the entry with a number, if there are more."""
    rows = await conn.execute(
        text(
            "SELECT duty_id, way, number FROM duty WHERE person = :p AND begins <= :at"
            " AND ends > :at ORDER BY number IS NULL, begins, duty_id LIMIT 1"
        ),
        {"p": person, "at": at},
    )
    row = rows.first()
    return None if row is None else Way(row.duty_id, row.way, row.number)


async def way_of_entry(conn: AsyncConnection, duty_id: UUID, at: datetime) -> Way | None:
    """Return how an entry of the roster is reached at a time, None when it is over or gone."""
    rows = await conn.execute(
        text(
            "SELECT duty_id, way, number FROM duty"
            " WHERE duty_id = :id AND begins <= :at AND ends > :at"
        ),
        {"id": duty_id, "at": at},
    )
    row = rows.first()
    return None if row is None else Way(row.duty_id, row.way, row.number)


async def forget_numbers(conn: AsyncConnection, at: datetime) -> None:
    """Blank the numbers of entries that are over."""
    await conn.execute(
        text("UPDATE duty SET number = NULL WHERE number IS NOT NULL AND ends <= :at"), {"at": at}
    )
