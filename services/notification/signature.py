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


class SignatureInvalid(Exception):  # noqa: N818  (a state of the message)
    """The message is not from who it says, or is too old: answer 401 and drop it."""


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


def verify(key: bytes, headers: Mapping[str, str], body: bytes, at: int) -> None:
    """Check a message as a receiver does; `at` is its own Unix second, header names are lower-case.

    Raises:
        SignatureInvalid: a header is missing, the time is off by more than `TOLERANCE`, or no
            `v1` signature fits. Signatures of other versions are passed over.

    """
    try:
        message_id = headers["webhook-id"]
        timestamp = int(headers["webhook-timestamp"])
        wanted = sign(key, message_id, timestamp, body).encode()
        offered = headers["webhook-signature"].encode().split(b" ")
    except (KeyError, ValueError):
        raise SignatureInvalid from None
    if abs(at - timestamp) > TOLERANCE:
        raise SignatureInvalid
    if not any([hmac.compare_digest(wanted, one) for one in offered]):
        raise SignatureInvalid
