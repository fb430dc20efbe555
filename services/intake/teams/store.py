"""SQL of the teams of places of help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.intake.teams.rules import Worker
from shared.lean import text

if TYPE_CHECKING:
    from datetime import date, datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

MOST: Final = 500
"""Workers of a team that are listed; those who ended last."""

_COLUMNS: Final = (
    "worker_id, provider_id, name, subject, role, begins, until, invited_by, invited_at,"
    " joined_at, ended_at"
)


async def list_team(conn: AsyncConnection, provider_id: str) -> list[Worker]:
    """Return a team: who leads it first, who ended last."""
    rows = await conn.execute(
        text(
            f"SELECT {_COLUMNS} FROM provider_teams WHERE provider_id = :p"  # noqa: S608  (columns)
            " ORDER BY ended_at NULLS FIRST, role = 'head' DESC, name LIMIT :n"
        ),
        {"p": provider_id, "n": MOST},
    )
    return [Worker(*row) for row in rows]


async def lock_team(conn: AsyncConnection, provider_id: str) -> list[Worker]:
    """Lock a team, so that two changes of it come one after the other; return it."""
    await conn.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('pashe.team'), hashtext(:p))"),
        {"p": provider_id},
    )
    return await list_team(conn, provider_id)


async def newest_of(conn: AsyncConnection, provider_id: str, subject: str) -> Worker | None:
    """Return the last place that somebody had in a team; what it says counts."""
    rows = await conn.execute(
        text(
            f"SELECT {_COLUMNS} FROM provider_teams WHERE provider_id = :p"  # noqa: S608  (columns)
            " AND subject = :s ORDER BY invited_at DESC LIMIT 1"
        ),
        {"p": provider_id, "s": subject},
    )
    row = rows.first()
    return None if row is None else Worker(*row)


async def add_worker(conn: AsyncConnection, worker: Worker) -> None:
    """Keep somebody new."""
    await conn.execute(
        text(
            f"INSERT INTO provider_teams ({_COLUMNS})"  # noqa: S608  (columns)
            " VALUES (:worker_id, :provider_id, :name, :subject, :role, :begins, :until,"
            " :invited_by, :invited_at, :joined_at, :ended_at)"
        ),
        {name: getattr(worker, name) for name in _COLUMNS.replace(",", "").split()},
    )


async def change_worker(
    conn: AsyncConnection, worker_id: UUID, role: str, until: date | None
) -> None:
    """Keep another role, and another last day."""
    await conn.execute(
        text("UPDATE provider_teams SET role = :r, until = :u WHERE worker_id = :w"),
        {"w": worker_id, "r": role, "u": until},
    )


async def end_worker(conn: AsyncConnection, worker_id: UUID, by: str, at: datetime) -> None:
    """End somebody's place."""
    await conn.execute(
        text(
            "UPDATE provider_teams SET ended_at = :at, ended_by = :by"
            " WHERE worker_id = :w AND ended_at IS NULL"
        ),
        {"w": worker_id, "by": by, "at": at},
    )


async def note_joined(conn: AsyncConnection, worker_id: UUID, at: datetime) -> None:
    """Note that somebody signed in for the first time."""
    await conn.execute(
        text("UPDATE provider_teams SET joined_at = coalesce(joined_at, :at) WHERE worker_id = :w"),
        {"w": worker_id, "at": at},
    )
