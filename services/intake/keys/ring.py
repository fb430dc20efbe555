"""The ring: the key-encryption keys of all epochs that still count, in memory only.

An epoch is a key under which subjects' data keys are wrapped. The newest wraps; the others open
until everything under them is wrapped anew, then they are destroyed (DECISIONS 23).
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.errors import SettingsError, Unavailable
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FRESH: Final = 60.0
"""Seconds after which a ring looks again where its keys are kept."""

STALE: Final = 6 * 3600.0
"""Seconds after which a ring that could not look wraps nothing more: its newest key may be gone.

`rotation.GRACE` is longer, so that no process wraps under a key that is being destroyed.
"""

_log = Log("keys")


def fingerprint_of(key: bytes) -> bytes:
    """Return eight bytes that name a key and say nothing about it."""
    return hashlib.sha256(b"pashe kek\x00" + key).digest()[:8]


class Ring:
    """Keys by fingerprint, looked up where they are kept again when one is missing or time is up.

    `load` returns keys of 32 bytes, the oldest first, or raises `SettingsError`.
    """

    def __init__(
        self, load: Callable[[], Sequence[bytes]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Load the keys.

        Raises:
            SettingsError: there is none, or they cannot be read.

        """
        self._load = load
        self._clock = clock
        self._boxes: dict[bytes, AESGCM] = {}
        self._newest = b""
        self._looked = self._tried = 0.0
        self.reload()

    def reload(self) -> None:
        """Look where the keys are kept.

        Raises:
            SettingsError: there is none, or they cannot be read; the ring stays as it was.

        """
        self._tried = self._clock()
        keys = self._load()
        if not keys:
            raise SettingsError("there is no key-encryption key")
        self._boxes = {fingerprint_of(key): AESGCM(key) for key in keys}
        self._newest = fingerprint_of(keys[-1])
        self._looked = self._clock()

    @property
    def fingerprints(self) -> frozenset[bytes]:
        """The epochs that are here."""
        return frozenset(self._boxes)

    @property
    def newest(self) -> bytes:
        """The epoch that wraps."""
        return self._newest

    def current(self) -> tuple[bytes, AESGCM]:
        """Return the epoch to wrap under now.

        Raises:
            Unavailable: the keys could not be looked at for too long.

        """
        at = self._clock()
        if at - self._looked > FRESH and at - self._tried > FRESH:
            try:
                self.reload()
            except SettingsError as error:
                _log.error("keys-not-readable", error)
        if at - self._looked > STALE:
            raise Unavailable
        return self._newest, self._boxes[self._newest]

    def find(self, fingerprint: bytes) -> AESGCM | None:
        """Return the box of an epoch, made since or here already; None if it is destroyed."""
        if fingerprint not in self._boxes:
            try:
                self.reload()
            except SettingsError as error:
                _log.error("keys-not-readable", error)
        return self._boxes.get(fingerprint)
