"""Standard Webhooks 1.0: secrets, signing and checking of a message.

Signed are the bytes `<id>.<timestamp>.<raw body>`, so an id holds no dot. The secret is
`whsec_` + base64 of 24 to 64 random bytes, and base64 is decoded before HMAC-SHA256 is keyed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
"""Random bytes of a secret that we make."""

TOLERANCE: Final = 300
"""Seconds that a receiver lets a timestamp differ from its own clock."""

_SHORTEST: Final = 24
_LONGEST: Final = 64


def make_secret() -> bytes:
    """Return fresh random key bytes."""
    return os.urandom(SECRET_BYTES)


def render_secret(key: bytes) -> str:
    """Render key bytes as the text that a receiver is given once."""
    return PREFIX + base64.b64encode(key).decode("ascii")


def parse_secret(secret: str) -> bytes:
    """Return the key bytes of a secret.

    Raises:
        ValueError: it is not `whsec_` and base64 of 24 to 64 bytes.

    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        message = "a secret is whsec_ and the base64 of 24 to 64 bytes"
        raise ValueError(message)
    return key


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`: `v1,` and base64 of the HMAC-SHA256.

    Raises:
        ValueError: the id holds a dot, which would make two messages sign alike.

    """
    if "." in message_id:
        message = "a message id holds no dot"
        raise ValueError(message)
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")


def headers_of(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers of a message; `timestamp` is the Unix second of this attempt."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(key, message_id, timestamp, body),
    }


def verify(secret: str, headers: Mapping[str, str], body: bytes, at: int | None = None) -> bool:
    """Say whether a message is what its sender signed, as a receiver must before it reads it.

    Header names are lower-case; `at` is the receiver's Unix second, its own clock's by default.
    A time that is off by more than `TOLERANCE` is refused; signatures of other versions are passed
    over.

    Raises:
        ValueError: the secret is not one of Standard Webhooks.

    """
    key = parse_secret(secret)
    try:
        message_id = headers["webhook-id"]
        timestamp = int(headers["webhook-timestamp"])
        wanted = sign(key, message_id, timestamp, body).encode()
        offered = headers["webhook-signature"].encode().split(b" ")
    except (KeyError, ValueError):
        return False
    fits = sum(hmac.compare_digest(wanted, one) for one in offered)  # all, in constant time
    present = int(time.time()) if at is None else at
    return fits > 0 and abs(present - timestamp) <= TOLERANCE
