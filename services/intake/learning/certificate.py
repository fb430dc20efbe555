"""A certificate: what somebody passed and until when, signed, so that others can check it (JWS)."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.clock import DHAKA
from shared.membership import Training

AUDIENCE: Final = "pashe-training"
"""The `aud` of a certificate: it signs nobody in."""


def sign(seed: bytes, subject: str, training: Training, passed: date) -> str:
    """Sign with a 32-byte Ed25519 seed; days are Dhaka's, the first and the last included."""
    claims = {
        "aud": AUDIENCE,
        "sub": subject,
        "module": training.module,
        "nbf": datetime.combine(passed, time.min, DHAKA),
        "exp": datetime.combine(training.until, time.max, DHAKA),
    }
    return jwt.encode(claims, Ed25519PrivateKey.from_private_bytes(seed), algorithm="EdDSA")


def check(seed: bytes, certificate: str) -> tuple[str, Training] | None:
    """Return of whom and what a certificate speaks; None for one that is not ours or has ended."""
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    try:
        claims = jwt.decode(
            certificate,
            public,
            algorithms=["EdDSA"],
            audience=AUDIENCE,
            options={"require": ["exp", "nbf", "sub", "module"]},
        )
    except jwt.PyJWTError:
        return None
    until = datetime.fromtimestamp(claims["exp"], DHAKA).date()
    return claims["sub"], Training(claims["module"], until)
