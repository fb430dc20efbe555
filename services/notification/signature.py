"""Standard Webhooks 1.0: the keys of a subscription, signing and checking of a message.

Signed are the bytes `<id>.<timestamp>.<raw body>`, so an id holds no dot. Every message carries two
signatures, and a receiver checks the one it likes: `v1`, HMAC-SHA256 under the secret that both
know (`whsec_` + base64 of 24 to 64 random bytes), and `v1a`, Ed25519 (RFC 8032), for which a
receiver keeps only a public key (`whpk_` + base64 of 32 bytes): it forges nothing when stolen.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from shared import signing

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET: Final = "whsec_"
PUBLIC: Final = "whpk_"

KEY_BYTES: Final = 32
"""Random bytes of each key that we make."""

TOLERANCE: Final = 300
"""Seconds that a receiver lets a timestamp differ from its own clock."""

_SHORTEST: Final = 24
_LONGEST: Final = 64


@dataclass(frozen=True, slots=True)
class Keys:
    """What one subscription is signed with: the shared key, and the seed of a key of our own."""

    shared: bytes = field(repr=False)
    seed: bytes = field(repr=False)

    @classmethod
    def fresh(cls) -> Keys:
        """Return random keys."""
        return cls(os.urandom(KEY_BYTES), os.urandom(KEY_BYTES))

    @classmethod
    def unpack(cls, packed: bytes) -> Keys:
        """Return the keys that `pack` made these bytes of."""
        return cls(packed[:-KEY_BYTES], packed[-KEY_BYTES:])

    def pack(self) -> bytes:
        """Return both keys as the bytes that are sealed."""
        return self.shared + self.seed

    @property
    def secret(self) -> str:
        """The shared key as the text that a receiver is given once."""
        return SECRET + _text(self.shared)

    @property
    def public(self) -> str:
        """The public key as text; a receiver may ask for it at any time."""
        return PUBLIC + _text(signing.Signer(self.seed).public)


def parse_secret(secret: str) -> bytes:
    """Return the key bytes of a secret.

    Raises:
        ValueError: it is not `whsec_` and base64 of 24 to 64 bytes.

    """
    key = _bytes(secret, SECRET)
    if not _SHORTEST <= len(key) <= _LONGEST:
        message = "a secret is whsec_ and the base64 of 24 to 64 bytes"
        raise ValueError(message)
    return key


def parse_public(public: str) -> bytes:
    """Return the bytes of a public key.

    Raises:
        ValueError: it is not `whpk_` and base64 of 32 bytes.

    """
    key = _bytes(public, PUBLIC)
    if len(key) != signing.PUBLIC:
        message = "a public key is whpk_ and the base64 of 32 bytes"
        raise ValueError(message)
    return key


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature with a shared key: `v1,` and base64 of the HMAC-SHA256.

    Raises:
        ValueError: the id holds a dot, which would make two messages sign alike.

    """
    signed = _signed(message_id, timestamp, body)
    return "v1," + _text(hmac.new(key, signed, hashlib.sha256).digest())


def sign_as_ourselves(seed: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature with our own key: `v1a,` and base64 of the Ed25519 signature.

    Raises:
        ValueError: see `sign`.

    """
    return "v1a," + _text(signing.Signer(seed).sign(_signed(message_id, timestamp, body)))


def headers_of(keys: Keys, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers of a message; `timestamp` is the Unix second of this attempt."""
    ours = sign_as_ourselves(keys.seed, message_id, timestamp, body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"{sign(keys.shared, message_id, timestamp, body)} {ours}",
    }


def verify(key: str, headers: Mapping[str, str], body: bytes, at: int | None = None) -> bool:
    """Say whether a message is what its sender signed, as a receiver must before it reads it.

    `key` is the secret (`whsec_`) or the public key (`whpk_`). Header names are lower-case; `at` is
    the receiver's Unix second, its own clock's by default. A time that is off by more than
    `TOLERANCE` is refused; signatures of other versions are passed over.

    Raises:
        ValueError: the key is not one of Standard Webhooks.

    """
    public = parse_public(key) if key.startswith(PUBLIC) else None
    shared = b"" if public else parse_secret(key)
    try:
        message_id = headers["webhook-id"]
        timestamp = int(headers["webhook-timestamp"])
        offered = headers["webhook-signature"].split(" ")
        signed = _signed(message_id, timestamp, body)
    except (KeyError, ValueError):
        return False
    if public:
        fits = sum(
            signing.verify(public, signed, _bytes(one, "v1a,"))
            for one in offered
            if one.startswith("v1a,")
        )
    else:
        wanted = sign(shared, message_id, timestamp, body).encode()
        fits = sum(hmac.compare_digest(wanted, one.encode()) for one in offered)  # all of them
    present = int(time.time()) if at is None else at
    return fits > 0 and abs(present - timestamp) <= TOLERANCE


def _signed(message_id: str, timestamp: int, body: bytes) -> bytes:
    if "." in message_id:
        message = "a message id holds no dot"
        raise ValueError(message)
    return f"{message_id}.{timestamp}.".encode() + body


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _bytes(text: str, prefix: str) -> bytes:
    """Return the bytes behind a prefix; none if it is not there, or what follows is no base64."""
    if not text.startswith(prefix):
        return b""
    try:
        return base64.b64decode(text.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError):
        return b""
