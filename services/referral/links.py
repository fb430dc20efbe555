"""Signed links by which a provider's worker without an account answers one referral, once.

A link is a nonce and its MAC: a guessed one dies before anything is looked up, and who reads the
database cannot make one. What it is for, until when, and that it was used, is a row.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from shared.lean import text

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

_BYTES: Final = 10
"""Bytes of the nonce, and of its MAC: 80 bits each."""

LETTERS: Final = 32
"""Letters of a link."""

LASTS: Final = timedelta(days=3)
"""How long a link is good at most; it ends with the time to answer when that is sooner."""


class LinkSigner:
    """Makes links and says which could be ours."""

    def __init__(self, key: bytes) -> None:
        """Take a key of at least 32 bytes; another is derived from it."""
        self._key = hmac.digest(key, b"pashe/links", hashlib.sha256)

    def make(self) -> tuple[str, bytes]:
        """Return a new link (32 letters a–z, 2–7) and the nonce it is known by."""
        nonce = os.urandom(_BYTES)
        return base64.b32encode(nonce + self._mac(nonce)).decode().lower(), nonce

    def nonce_of(self, link: str) -> bytes | None:
        """Return the nonce of a link that was made here; None for every other text."""
        if len(link) != LETTERS or not link.isascii():
            return None
        try:
            raw = base64.b32decode(link.upper())
        except binascii.Error:
            return None
        nonce, mac = raw[:_BYTES], raw[_BYTES:]
        return nonce if hmac.compare_digest(mac, self._mac(nonce)) else None

    def _mac(self, nonce: bytes) -> bytes:
        return hmac.digest(self._key, nonce, hashlib.sha256)[:_BYTES]


@dataclass(frozen=True, slots=True)
class Link:
    """What a link is for: one provider's answer to one referral."""

    referral_id: UUID
    provider_id: str


async def save_link(
    conn: AsyncConnection, nonce: bytes, link: Link, at: datetime, expires_at: datetime
) -> None:
    """Keep a new link; an earlier one of the referral is good no more."""
    await conn.execute(text("DELETE FROM links WHERE referral_id = :id"), {"id": link.referral_id})
    await conn.execute(
        text("INSERT INTO links VALUES (:nonce, :id, :provider, :at, :expires)"),
        {
            "nonce": nonce,
            "id": link.referral_id,
            "provider": link.provider_id,
            "at": at,
            "expires": expires_at,
        },
    )


async def find_link(conn: AsyncConnection, nonce: bytes, at: datetime) -> Link | None:
    """Return what an unused link is for, while it is good."""
    rows = await conn.execute(
        text(
            "SELECT referral_id, provider_id FROM links"
            " WHERE nonce = :nonce AND expires_at > :at AND used_at IS NULL"
        ),
        {"nonce": nonce, "at": at},
    )
    row = rows.first()
    return None if row is None else Link(row.referral_id, row.provider_id)


async def use_link(conn: AsyncConnection, nonce: bytes, at: datetime) -> bool:
    """Use a link up; False when somebody did before, or it is over."""
    done = await conn.execute(
        text(
            "UPDATE links SET used_at = :at"
            " WHERE nonce = :nonce AND expires_at > :at AND used_at IS NULL"
        ),
        {"nonce": nonce, "at": at},
    )
    return bool(done.rowcount)
