"""Under `seal.key`: subscriptions' secrets (AES-256-GCM, bound to them), and marks of numbers."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from uuid import UUID

NONCE: Final = 12
"""Bytes of an AES-GCM nonce."""


class SealBroken(Exception):  # noqa: N818  (a state of the sealed bytes)
    """The sealed bytes were moved, changed, or sealed with another key."""


class Sealer:
    """Seals and opens secrets; the key stays in memory."""

    def __init__(self, key: bytes) -> None:
        """Take the 32-byte sealing key."""
        self._box = AESGCM(key)
        self._marking = hmac.digest(key, b"pashe recipient", "sha256")
        self.fingerprint: Final = hashlib.sha256(b"pashe seal\x00" + key).digest()[:8]

    def mark(self, number: str) -> bytes:
        """Return 16 bytes that are equal for equal numbers, and tell nothing without the key."""
        return hmac.digest(self._marking, number.encode(), "sha256")[:16]

    def close(self, subscription_id: UUID, organisation: str, secret: bytes) -> bytes:
        """Return nonce and ciphertext of a secret."""
        nonce = os.urandom(NONCE)
        return nonce + self._box.encrypt(nonce, secret, _aad(subscription_id, organisation))

    def open(self, subscription_id: UUID, organisation: str, sealed: bytes) -> bytes:
        """Return the secret.

        Raises:
            SealBroken: it is not what `close` made for this subscription and organisation.

        """
        try:
            aad = _aad(subscription_id, organisation)
            return self._box.decrypt(sealed[:NONCE], sealed[NONCE:], aad)
        except (InvalidTag, ValueError):
            raise SealBroken from None


def _aad(subscription_id: UUID, organisation: str) -> bytes:
    return b"pashe subscription\x00" + subscription_id.bytes + organisation.encode()
