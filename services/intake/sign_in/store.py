"""What signing in remembers: who is on the way, and which sessions there are. No SQL elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from shared.lean import text
from shared.sessions import mark_of

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

KEPT: Final = timedelta(days=1)
"""How long a session's row outlives it."""


@dataclass(frozen=True, slots=True)
class OnTheWay:
    """Somebody who was sent to an issuer: what the answer must fit, and where they go then."""

    issuer: str
    nonce: str
    verifier: str
    back: str
    max_age: int | None


def digest(value: str) -> bytes:
    """Return what is stored of a value that only its bearer should know."""
    return hashlib.sha256(value.encode()).digest()


async def start(
    conn: AsyncConnection, state: str, browser: str, way: OnTheWay, expires: datetime
) -> None:
    """Remember somebody who is sent to an issuer, in one browser; forget those who never came."""
    await conn.execute(text("DELETE FROM sign_ins WHERE expires_at < now()"))
    await conn.execute(
        text(
            "INSERT INTO sign_ins"
            " (state, browser, issuer, nonce, verifier, back, max_age, expires_at)"
            " VALUES (:state, :browser, :issuer, :nonce, :verifier, :back, :max_age, :expires)"
        ),
        {
            "state": digest(state),
            "browser": digest(browser),
            "issuer": way.issuer,
            "nonce": way.nonce,
            "verifier": way.verifier,
            "back": way.back,
            "max_age": way.max_age,
            "expires": expires,
        },
    )


async def take(conn: AsyncConnection, state: str, browser: str, at: datetime) -> OnTheWay | None:
    """Take who comes back with a state in the browser it was made for: once, and in time."""
    row = (
        await conn.execute(
            text(
                "DELETE FROM sign_ins WHERE state = :state AND browser = :browser"
                " AND expires_at > :at RETURNING issuer, nonce, verifier, back, max_age"
            ),
            {"state": digest(state), "browser": digest(browser), "at": at},
        )
    ).first()
    return OnTheWay(*row) if row else None


async def open_session(
    conn: AsyncConnection,
    sid: str,
    *,
    subject: str,
    issuer: str,
    issuer_sid: str | None,
    expires: datetime,
) -> None:
    """Remember a session, so that it can be ended; forget those that are long over."""
    await conn.execute(
        text("DELETE FROM staff_sessions WHERE expires_at < now() - CAST(:kept AS interval)"),
        {"kept": KEPT},
    )
    await conn.execute(
        text(
            "INSERT INTO staff_sessions (mark, issuer, issuer_sid, expires_at, subject)"
            " VALUES (:mark, :issuer, :issuer_sid, :expires, :subject)"
        ),
        {
            "mark": mark_of(sid),
            "issuer": issuer,
            "issuer_sid": issuer_sid,
            "expires": expires,
            "subject": subject,
        },
    )


async def end_sessions_of(conn: AsyncConnection, subject: str | None, at: datetime) -> None:
    """End every session of somebody (a pseudonym)."""
    await conn.execute(
        text("UPDATE staff_sessions SET ended_at = :at WHERE subject = :s AND ended_at IS NULL"),
        {"s": subject, "at": at},
    )


async def end_session(
    conn: AsyncConnection, sid: str, at: datetime
) -> tuple[str, str | None] | None:
    """End a session; return its issuer and the issuer's own id of it, if there is such a one."""
    row = (
        await conn.execute(
            text(
                "UPDATE staff_sessions SET ended_at = coalesce(ended_at, :at) WHERE mark = :mark"
                " RETURNING issuer, issuer_sid"
            ),
            {"mark": mark_of(sid), "at": at},
        )
    ).first()
    return (row.issuer, row.issuer_sid) if row else None


async def find_ended(conn: AsyncConnection) -> frozenset[str]:
    """Return the marks of sessions that were ended and whose time is not over."""
    rows = await conn.execute(
        text("SELECT mark FROM staff_sessions WHERE ended_at IS NOT NULL AND expires_at > now()")
    )
    return frozenset(row.mark for row in rows)
