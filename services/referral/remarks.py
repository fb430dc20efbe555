"""What somebody wrote with a transition: sealed, for a text may name anybody (SAFETY 14)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.lean import text as sql

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

NONCE: Final = 12
"""Bytes of an AES-GCM nonce."""


class SealBroken(Exception):  # noqa: N818  (a state of the sealed bytes)
    """The sealed bytes were moved, changed, or sealed with another key."""


class RemarkSeal:
    """Seals and opens texts under `seal.key`, bound to their referral; the key stays in memory."""

    def __init__(self, key: bytes) -> None:
        """Take the 32-byte key."""
        self._box = AESGCM(key)

    def close(self, referral_id: UUID, text: str) -> bytes:
        """Return nonce and ciphertext (AES-256-GCM)."""
        nonce = os.urandom(NONCE)
        return nonce + self._box.encrypt(nonce, text.encode(), _aad(referral_id))

    def open(self, referral_id: UUID, sealed: bytes) -> str:
        """Return the text.

        Raises:
            SealBroken: it is not what `close` made for this referral.

        """
        try:
            plain = self._box.decrypt(sealed[:NONCE], sealed[NONCE:], _aad(referral_id))
        except (InvalidTag, ValueError):
            raise SealBroken from None
        return plain.decode()


def _aad(referral_id: UUID) -> bytes:
    return b"pashe remark\x00" + referral_id.bytes


@dataclass(frozen=True, slots=True)
class Remark:
    """A text with who wrote it, sealed; it stays in referral and is in no event."""

    referral_id: UUID
    provider_id: str | None
    at: datetime
    actor: str
    verb: str
    reason: str | None
    sealed: bytes


async def save_remark(conn: AsyncConnection, remark: Remark) -> None:
    """Keep a text."""
    await conn.execute(
        sql(
            "INSERT INTO referral_texts (referral_id, provider_id, at, actor, verb, reason, sealed)"
            " VALUES (:referral_id, :provider_id, :at, :actor, :verb, :reason, :sealed)"
        ),
        {name: getattr(remark, name) for name in remark.__slots__},
    )
