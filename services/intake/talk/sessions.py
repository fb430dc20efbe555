"""Keeps a conversation between its requests, sealed, until it is stored as a submission.

One row a conversation, found by any of its sessions; whatever was heard is in the database before
the next question is asked. A repeat of a request changes nothing.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Any

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

QUIET: Final = timedelta(minutes=3)
"""After so long without a further answer what was said so far is stored: a session that dropped."""

QUIET_DANGER: Final = timedelta(seconds=30)
"""The same, once danger now was said."""

GOES_ON: Final = timedelta(hours=3)
"""How long a conversation that dropped can be gone on with, by the same number."""

FORGET: Final = timedelta(hours=25)
"""How long a conversation is kept after its last answer."""

_NONCE: Final = 12


class Said(msgspec.Struct, frozen=True):
    """What was said in a conversation; `ids` and `times` of messages, where a channel has them."""

    answers: list[str] = []
    phone: str | None = None
    carried: int = 0
    ids: list[str] = []
    times: list[float] = []


@dataclass(frozen=True, slots=True)
class Session:
    """Which session of which channel asks, and the blind index of who it is.

    `root` is what repeats of the conversation's first message have in common, where the session
    itself is no more than its sender.
    """

    channel: str
    gateway: str
    mark: bytes
    sender: bytes | None
    root: bytes | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation as it is kept. `told` answers of it are in the stored submission."""

    root: bytes
    channel: str
    gateway: str
    sender: bytes | None
    said: Said
    told: int = 0
    ended: bool = False
    submission_id: UUID | None = None
    fresh: bool = False


class Sessions:
    """Reads and writes conversations on the flow engine."""

    def __init__(self, engine: AsyncEngine, key: bytes) -> None:
        """Take the engine, and the key that seals what was said."""
        self._engine = engine
        self._box = AESGCM(hmac.digest(key, b"pashe talk sessions", "sha256"))

    async def hear(
        self,
        session: Session,
        change: Callable[[Said], tuple[Said, bool, timedelta | None]],
        at: datetime,
        *,
        goes_on: bool = False,
    ) -> Kept:
        """Keep what a request adds, and return the conversation as it then is.

        `change` gets what was said before, and returns what is said now, whether that was the end,
        and the quiet after which it is stored (None: it is no report). With `goes_on` a session
        that said nothing yet takes over the newest unfinished conversation of its sender, if there
        is one. Requests of one sender wait for one another; what has ended only grows.
        """
        async with self._engine.begin() as conn:
            who = session.sender or session.mark
            await conn.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended(:w, 7108))"),
                {"w": who.hex()},
            )
            kept = await self._find(conn, session.mark, at)
            if goes_on and (kept is None or not (kept.said.answers or kept.submission_id)):
                kept = await self._take_over(conn, session, at) or kept
            if kept is None:
                kept = Kept(
                    session.root or session.mark,
                    session.channel,
                    session.gateway,
                    session.sender,
                    Said(),
                    fresh=True,
                )
            said, ended, quiet = change(kept.said)
            more = len(said.answers) - len(kept.said.answers)
            if not kept.fresh and (said, ended) == (kept.said, kept.ended):
                return kept
            if kept.ended and more <= 0:
                return kept
            kept = replace(kept, said=said, ended=ended)
            due = None if quiet is None else at + quiet
            await self._save(conn, kept, session.mark, due, at)
        return replace(kept, fresh=False)

    async def _take_over(
        self, conn: AsyncConnection, session: Session, at: datetime
    ) -> Kept | None:
        """Give a sender's unfinished conversation to a new session; None if there is none."""
        if session.sender is None:
            return None
        rows = await conn.execute(
            text(
                "SELECT * FROM talk_sessions WHERE sender = :s AND channel = :c AND NOT ended"
                " AND heard > 0 AND changed_at > :since ORDER BY changed_at DESC LIMIT 1 FOR UPDATE"
            ),
            {"s": session.sender, "c": session.channel, "since": at - GOES_ON},
        )
        row = rows.first()
        if row is None:
            return None
        await conn.execute(
            text("DELETE FROM talk_sessions WHERE root = :m AND submission_id IS NULL"),
            {"m": session.mark},
        )
        kept = self._open(row)
        said = msgspec.structs.replace(kept.said, carried=len(kept.said.answers))
        return replace(kept, said=said, fresh=True)

    async def _find(self, conn: AsyncConnection, mark: bytes, at: datetime) -> Kept | None:
        rows = await conn.execute(
            text(
                "SELECT * FROM talk_sessions WHERE marks @> ARRAY[CAST(:m AS bytea)]"
                " AND changed_at > :since ORDER BY changed_at DESC LIMIT 1 FOR UPDATE"
            ),
            {"m": mark, "since": at - FORGET},
        )
        row = rows.first()
        return None if row is None else self._open(row)

    async def _save(
        self, conn: AsyncConnection, kept: Kept, mark: bytes, due: datetime | None, at: datetime
    ) -> None:
        await conn.execute(
            text(
                "INSERT INTO talk_sessions AS t (root, marks, channel, gateway, sender, sealed,"
                " heard, ended, due_at, changed_at) VALUES (:root, ARRAY[CAST(:m AS bytea)], :c,"
                " :g, :s, :sealed, :heard, :ended, :due, :at) ON CONFLICT (root) DO UPDATE SET"
                " sealed = excluded.sealed, heard = excluded.heard, ended = excluded.ended,"
                " due_at = excluded.due_at, changed_at = excluded.changed_at, marks ="
                " CASE WHEN t.marks @> excluded.marks THEN t.marks"
                " ELSE t.marks || excluded.marks END"
            ),
            {
                "root": kept.root,
                "m": mark,
                "c": kept.channel,
                "g": kept.gateway,
                "s": kept.sender,
                "sealed": self._close(kept),
                "heard": len(kept.said.answers),
                "ended": kept.ended,
                "due": due,
                "at": at,
            },
        )

    async def find(self, mark: bytes, at: datetime) -> Kept | None:
        """Return the conversation that a session belongs to, or None."""
        async with self._engine.begin() as conn:
            return await self._find(conn, mark, at)

    async def due(self, channel: str, at: datetime, limit: int = 20) -> list[Kept]:
        """Return a channel's conversations that were quiet for long enough; forget old ones."""
        async with self._engine.begin() as conn:
            await conn.execute(
                text(
                    "DELETE FROM talk_sessions WHERE channel = :c AND changed_at < :old"
                    " AND due_at IS NULL"
                ),
                {"old": at - FORGET, "c": channel},
            )
            rows = await conn.execute(
                text(
                    "SELECT * FROM talk_sessions WHERE due_at <= :at AND channel = :c"
                    " ORDER BY due_at LIMIT :n"
                ),
                {"at": at, "n": limit, "c": channel},
            )
            return [self._open(row) for row in rows]

    async def put_off(self, root: bytes, until: datetime) -> None:
        """Look again later."""
        async with self._engine.begin() as conn:
            await conn.execute(
                text("UPDATE talk_sessions SET due_at = :t WHERE root = :r AND due_at <= :t"),
                {"t": until, "r": root},
            )

    async def mark_stored(self, root: bytes, submission_id: UUID, told: int) -> None:
        """Note which submission a conversation is, and how many of its answers that one has."""
        async with self._engine.begin() as conn:
            await note_told(conn, root, submission_id, told)

    def _close(self, kept: Kept) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._box.encrypt(nonce, msgspec.json.encode(kept.said), kept.root)

    def _open(self, row: Any) -> Kept:  # noqa: ANN401  (a database row)
        root, sealed = bytes(row.root), bytes(row.sealed)
        plain = self._box.decrypt(sealed[:_NONCE], sealed[_NONCE:], root)
        return Kept(
            root,
            row.channel,
            row.gateway,
            None if row.sender is None else bytes(row.sender),
            msgspec.json.decode(plain, type=Said),
            row.told,
            row.ended,
            None if row.submission_id is None else UUID(str(row.submission_id)),
        )


async def note_told(conn: AsyncConnection, root: bytes, submission_id: UUID, told: int) -> None:
    """Note in the caller's transaction what of a conversation is stored; then it is not due."""
    await conn.execute(
        text(
            "UPDATE talk_sessions SET submission_id = :s, told = :n,"
            " due_at = CASE WHEN heard <= :n THEN NULL ELSE due_at END"
            " WHERE root = :r AND told <= :n"
        ),
        {"s": submission_id, "n": told, "r": root},
    )


async def lock_told(conn: AsyncConnection, root: bytes) -> tuple[int, UUID | None] | None:
    """Lock a conversation; return how much of it is stored, and as which submission."""
    rows = await conn.execute(
        text("SELECT told, submission_id FROM talk_sessions WHERE root = :r FOR UPDATE"),
        {"r": root},
    )
    row = rows.first()
    return None if row is None else (row.told, row.submission_id)


async def adopt(
    conn: AsyncConnection, channel: str, gateway: str, root: bytes, at: datetime
) -> None:
    """Note the submission of a conversation whose storing was not noted, once it is surely late.

    What it holds is not known, so that all of the conversation is told again as further words:
    twice rather than never.
    """
    await conn.execute(
        text(
            "UPDATE talk_sessions t SET submission_id = s.submission_id FROM submissions s"
            " WHERE t.root = :r AND t.submission_id IS NULL AND t.due_at <= :at"
            " AND s.channel = :c AND s.gateway = :g AND s.message_key = :r"
        ),
        {"r": root, "at": at, "c": channel, "g": gateway},
    )
