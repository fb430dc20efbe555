"""The half of a phone's key that only the server has, and the few tries to guess its PIN.

What a member wrote offline can be read again on the phone with two things: a PIN and this half. It
follows from a random number of the phone's row and a key that stands apart from the database;
it is told to the signed-in member who proves the PIN. After `TRIES` wrong ones the row is gone, and
with it the half: what waits on the phone is still sent, since it is sealed to the centre besides.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.errors import Conflict, NotFound
from shared.lean import text

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

TRIES: Final = 5
"""Wrong PINs after which a half is destroyed."""

MOST: Final = 3
"""Phones of one member; one more ends the one that was not used for longest."""

_NONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Opened:
    """What a proof came to: the half (32 bytes), or how many tries are left."""

    half: bytes | None
    left: int = TRIES


@dataclass(frozen=True, slots=True)
class Phones:
    """Phones of members; `pepper` is the key that stands apart from the database."""

    pepper: bytes

    def _half(self, phone_id: UUID, nonce: bytes) -> bytes:
        said = b"pashe committee half\x00" + phone_id.bytes + nonce
        return hmac.digest(self.pepper, said, hashlib.sha256)

    def _mark(self, phone_id: UUID, proof: bytes) -> bytes:
        said = b"pashe committee proof\x00" + phone_id.bytes + proof
        return hmac.digest(self.pepper, said, hashlib.sha256)

    async def make(
        self, conn: AsyncConnection, phone_id: UUID, proof: bytes, member: str, at: datetime
    ) -> bytes:
        """Take a new phone of a member and return its half.

        Raises:
            Conflict: the id is taken.

        """
        await conn.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext($1))", (member,))
        nonce = os.urandom(_NONCE)
        row = {"id": phone_id, "m": member, "n": nonce, "p": self._mark(phone_id, proof), "at": at}
        made = await conn.execute(
            text(
                "INSERT INTO committee_phones (phone_id, member, nonce, proof, made_at, used_at)"
                " VALUES (:id, :m, :n, :p, :at, :at) ON CONFLICT DO NOTHING"
            ),
            row,
        )
        if not made.rowcount:
            raise Conflict("this phone is known already")
        await conn.execute(
            text(
                "DELETE FROM committee_phones WHERE phone_id IN (SELECT phone_id"
                " FROM committee_phones WHERE member = :m AND phone_id <> :id"
                " ORDER BY used_at DESC, phone_id OFFSET :n)"
            ),
            {"m": member, "id": phone_id, "n": MOST - 1},
        )
        return self._half(phone_id, nonce)

    async def open(
        self, conn: AsyncConnection, phone_id: UUID, proof: bytes, member: str, at: datetime
    ) -> Opened:
        """Return the half to whoever proves the PIN; a wrong proof counts, the last one ends it.

        Raises:
            NotFound: there is no such phone of this member (any more).

        """
        rows = await conn.execute(
            text(
                "SELECT nonce, proof, failures FROM committee_phones"
                " WHERE phone_id = :id AND member = :m FOR UPDATE"
            ),
            {"id": phone_id, "m": member},
        )
        row = rows.first()
        if row is None:
            raise NotFound
        if hmac.compare_digest(bytes(row.proof), self._mark(phone_id, proof)):
            await conn.execute(
                text(
                    "UPDATE committee_phones SET failures = 0, used_at = :at WHERE phone_id = :id"
                ),
                {"id": phone_id, "at": at},
            )
            return Opened(self._half(phone_id, bytes(row.nonce)))
        left = TRIES - row.failures - 1
        if left <= 0:
            await self.end(conn, phone_id, member)
            return Opened(None, 0)
        await conn.execute(
            text("UPDATE committee_phones SET failures = failures + 1 WHERE phone_id = :id"),
            {"id": phone_id},
        )
        return Opened(None, left)

    @staticmethod
    async def end(conn: AsyncConnection, phone_id: UUID, member: str) -> None:
        """Destroy the half of a member's phone; nothing happens when there is none."""
        await conn.execute(
            text("DELETE FROM committee_phones WHERE phone_id = :id AND member = :m"),
            {"id": phone_id, "m": member},
        )
