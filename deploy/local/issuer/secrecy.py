"""Marks, seals, passwords and one-time codes of the issuer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
from typing import TYPE_CHECKING, Final, TypeVar

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

R = TypeVar("R")

SHORTEST: Final = 12
LONGEST: Final = 256
"""Characters of a password."""

AT_ONCE: Final = 2
WAITING: Final = 16
"""Passwords that are checked at a time, and that wait for it at most."""

STEP: Final = 30
"""Seconds of a one-time code (RFC 6238)."""

DRIFT: Final = 1
"""Steps by which a phone's clock may differ."""

RECOVERY_CODES: Final = 8


class Busy(Exception):  # noqa: N818  (a state, not an error)
    """Too many passwords are being checked now."""


class Secrecy:
    """Everything that needs the issuer's 32-byte key."""

    def __init__(self, key: bytes) -> None:
        """Derive one key for marks and one for seals."""
        self._marks = hmac.digest(key, b"marks", "sha256")
        self._seal = AESGCM(hmac.digest(key, b"seals", "sha256"))

    def mark(self, kind: str, value: str) -> bytes:
        """Return what is stored of a value that only its bearer should know."""
        text = f"{kind}\n{value}".encode()
        return hashlib.blake2b(text, key=self._marks, digest_size=24).digest()

    def seal(self, value: bytes, about: str) -> bytes:
        """Encrypt a value that belongs to one thing."""
        nonce = os.urandom(12)
        return nonce + self._seal.encrypt(nonce, value, about.encode())

    def unseal(self, sealed: bytes, about: str) -> bytes:
        """Decrypt it. Raises `cryptography.exceptions.InvalidTag` when it is another's."""
        return self._seal.decrypt(sealed[:12], sealed[12:], about.encode())


class Passwords:
    """Argon2id (RFC 9106; 19 MiB, two passes), off the event loop, a few at a time."""

    def __init__(self) -> None:
        """Make the hash that is checked when there is no account, so that it takes as long."""
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._nobody = self._hasher.hash(secrets.token_urlsafe(24))
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Return the hash to store. Raises `Busy`."""
        return await self._run(self._hasher.hash, password)

    async def check(self, stored: str | None, password: str) -> bool:
        """Say whether a password is right; nobody's is wrong, after as long. Raises `Busy`."""
        right = await self._run(self._verify, stored or self._nobody, password)
        return right and stored is not None

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return False

    async def _run(self, work: Callable[..., R], *values: str) -> R:
        if self._waiting >= WAITING:
            raise Busy
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work, *values)
        finally:
            self._waiting -= 1


def find_step(secret: str, code: str, at: datetime) -> int | None:
    """Return the time step whose code this is, or None."""
    if len(code) != 6 or not (code.isascii() and code.isdigit()):  # noqa: PLR2004  (RFC 6238)
        return None
    totp = pyotp.TOTP(secret, interval=STEP)
    now = int(at.timestamp()) // STEP
    steps = range(now - DRIFT, now + DRIFT + 1)
    return next((n for n in steps if hmac.compare_digest(totp.generate_otp(n), code)), None)


def new_recovery_codes() -> list[str]:
    """Return codes of 60 random bits, each good for one sign-in without the phone."""
    letters = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
    return [
        "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(3))
        for _ in range(RECOVERY_CODES)
    ]


def plain_code(code: str) -> str:
    """Return a code as it is compared: Bangla digits as ours, no spaces or hyphens, upper case."""
    digits = str.maketrans("০১২৩৪৫৬৭৮৯", "0123456789", " -")
    return code.translate(digits).upper()
