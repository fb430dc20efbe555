"""The same Idempotency-Key gives the first answer again (DECISIONS 19).

Only an HMAC of the key is kept, scoped to the caller, for 24 hours; the answer is sealed under a
key derived from the Idempotency-Key itself, so that a thief of the database reads no answer.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.errors import IdempotencyConflict, InvalidBody
from shared.lean import text

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

MAX_KEY: Final = 255
"""Characters of an Idempotency-Key."""

KEEP_HOURS: Final = 24
"""Hours that an answer is kept."""


@dataclass(frozen=True, slots=True)
class Key:
    """A caller's idempotency key with the hash of the body it came with."""

    scope: str
    digest: bytes
    body: bytes
    seal: bytes

    @classmethod
    def of(cls, value: str, *, scope: str, body: bytes) -> Key:
        """Derive the look-up digest and the sealing key; the value itself is kept nowhere.

        Raises:
            InvalidBody: the key is empty, too long, or not printable ASCII.

        """
        if not 1 <= len(value) <= MAX_KEY or not value.isascii() or not value.isprintable():
            message = "Idempotency-Key must be 1 to 255 printable ASCII characters"
            raise InvalidBody(message)
        raw = value.encode()
        seal = HKDF(SHA256(), 32, salt=None, info=b"pashe idempotency seal").derive(raw)
        digest = hmac.digest(raw, f"pashe idempotency {scope}".encode(), "sha256")
        return cls(scope, digest, hashlib.sha256(body).digest(), seal)

    def close(self, answer: bytes) -> bytes:
        """Seal an answer: 12-byte nonce, then AES-256-GCM."""
        nonce = os.urandom(12)
        return nonce + AESGCM(self.seal).encrypt(nonce, answer, self.digest)

    def open(self, sealed: bytes) -> bytes:
        """Open an answer that `close` sealed."""
        return AESGCM(self.seal).decrypt(sealed[:12], sealed[12:], self.digest)


async def find_answer(conn: AsyncConnection, key: Key) -> bytes | None:
    """Return the first answer given for the key, or None if it is new.

    Raises:
        IdempotencyConflict: the key came before with another body.

    """
    row = (
        await conn.execute(
            text("SELECT body_hash, answer FROM idempotency WHERE scope = :s AND key_hash = :k"),
            {"s": key.scope, "k": key.digest},
        )
    ).first()
    if row is None:
        return None
    if not hmac.compare_digest(bytes(row.body_hash), key.body):
        raise IdempotencyConflict
    return key.open(bytes(row.answer))


async def keep_answer(conn: AsyncConnection, key: Key, answer: bytes) -> bool:
    """Keep the answer in the transaction of the change; False if another request was first.

    On False the caller must roll back and answer with `find_answer`.
    """
    row = await conn.execute(
        text(
            "INSERT INTO idempotency (scope, key_hash, body_hash, answer)"
            " VALUES (:s, :k, :b, :a) ON CONFLICT DO NOTHING RETURNING 1"
        ),
        {"s": key.scope, "k": key.digest, "b": key.body, "a": key.close(answer)},
    )
    return row.first() is not None


async def forget_old(conn: AsyncConnection) -> None:
    """Delete answers older than `KEEP_HOURS`."""
    await conn.execute(
        text("DELETE FROM idempotency WHERE created_at < now() - make_interval(hours => :h)"),
        {"h": KEEP_HOURS},
    )
