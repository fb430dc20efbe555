"""Numbers of people on duty: sealed, opened for one page, and blanked when the duty is over.

They are of staff, and no person of a case: the key is derived from the pepper, which is kept apart
from the database, and deleting the row is enough to forget one.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from uuid import UUID

_NONCE: Final = 12


class Numbers:
    """Seals a number (E.164) for one entry of the roster, and opens it (AES-256-GCM)."""

    def __init__(self, pepper: bytes) -> None:
        """Derive the key."""
        self._box = AESGCM(hmac.new(pepper, b"pashe numbers on duty", hashlib.sha256).digest())

    def seal(self, duty_id: UUID, number: str) -> bytes:
        """Seal a number for an entry; it opens for no other."""
        nonce = os.urandom(_NONCE)
        return nonce + self._box.encrypt(nonce, number.encode(), duty_id.bytes)

    def open(self, duty_id: UUID, sealed: bytes) -> str:
        """Open it.

        Raises:
            InvalidTag: it is of another entry, or was changed.

        """
        return self._box.decrypt(sealed[:_NONCE], sealed[_NONCE:], duty_id.bytes).decode()
