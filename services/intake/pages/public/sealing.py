"""What a form carries from one step to the next, sealed: the browser keeps nothing it could show.

AES-256-GCM under a key of its own, derived from intake's pepper; the time is inside and bound.
"""

from __future__ import annotations

import base64
import binascii
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

if TYPE_CHECKING:
    from collections.abc import Callable

LASTS: Final = timedelta(hours=6)
"""How long a form that was left open can be gone on with."""

NONCE: Final = 12
STAMP: Final = 8

T = TypeVar("T")


class Sealer:
    """Seals values for hidden fields, and opens what it sealed itself."""

    def __init__(self, pepper: bytes, purpose: str, clock: Callable[[], datetime]) -> None:
        """Take a secret, what it is for, and the clock."""
        info = b"pashe form " + purpose.encode()
        self._box = AESGCM(HKDF(SHA256(), 32, salt=None, info=info).derive(pepper))
        self._clock = clock

    def seal(self, value: object) -> str:
        """Return a value as text of a hidden field."""
        stamp = int(self._clock().timestamp()).to_bytes(STAMP, "big")
        nonce = os.urandom(NONCE)
        sealed = self._box.encrypt(nonce, msgspec.json.encode(value), stamp)
        return base64.urlsafe_b64encode(stamp + nonce + sealed).decode("ascii")

    def open(self, text: str, kind: type[T]) -> T | None:
        """Return what was sealed; None when it is not ours, of another kind, or too old."""
        try:
            raw = base64.urlsafe_b64decode(text.encode("ascii"))
        except (ValueError, binascii.Error):
            return None
        stamp, nonce, sealed = raw[:STAMP], raw[STAMP : STAMP + NONCE], raw[STAMP + NONCE :]
        if len(nonce) < NONCE:
            return None
        try:
            plain = self._box.decrypt(nonce, sealed, stamp)
            made = datetime.fromtimestamp(int.from_bytes(stamp, "big"), UTC)
            return msgspec.json.decode(plain, type=kind) if made + LASTS > self._clock() else None
        except (InvalidTag, msgspec.MsgspecError):
            return None
