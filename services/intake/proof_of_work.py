"""Proof of work for anonymous web reports under load: it brings a report forward, nothing else.

A browser that runs scripts asks for a challenge and finds a number for it; then its report is
stored before those that brought none. Whoever brings none, or has no scripts, only waits behind
(SAFETY 10). A challenge is a signed time: no process keeps it, and each counts once in a process.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from shared.clock import now
from shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HEADER: Final = "Pashe-Work"
"""The header: a challenge, a colon, and the number found for it in decimal digits."""

VALID: Final = timedelta(minutes=5)
"""How long a challenge counts."""

BITS: Final = 18
"""Leading zero bits of SHA-256 that are asked for: a third of a second of a desk's CPU, a few
seconds of a cheap phone's, while its holder reads the last step."""

WHEN: Final = 100
"""Submissions waiting for a commit from which on it is load."""

KNOWN: Final = 10_000
"""Challenges that a process remembers as used."""

_TIME: Final = 8
_RANDOM: Final = 12
_MARK: Final = 16
_DIGITS: Final = 20


@dataclass(slots=True)
class Work:
    """Makes challenges and checks what was found for them. `load` says how many reports wait."""

    key: bytes
    load: Callable[[], int]
    bits: int = BITS
    when: int = WHEN
    clock: Callable[[], datetime] = now
    _used: dict[bytes, None] = field(default_factory=dict)

    @property
    def asked(self) -> bool:
        """Whether there is load now."""
        return self.load() >= self.when

    def challenge(self) -> dict[str, Any]:
        """Return a challenge: `bits` is 0 while nothing needs to be found."""
        until = self.clock() + VALID
        told = int(until.timestamp()).to_bytes(_TIME) + os.urandom(_RANDOM)
        made = base64.urlsafe_b64encode(told + self._mark(told)).rstrip(b"=").decode()
        return {
            "challenge": made,
            "algorithm": "sha-256",
            "bits": self.bits if self.asked else 0,
            "until": until,
            "header": HEADER,
        }

    def is_done(self, said: str | None) -> bool:
        """Say whether a header brings work that counts; each challenge counts once."""
        challenge, _, number = (said or "").partition(":")
        if not (number.isascii() and number.isdigit() and len(number) <= _DIGITS):
            return False
        try:
            raw = base64.b64decode(challenge + "=" * (-len(challenge) % 4), b"-_", validate=True)
        except ValueError:
            return False
        told, mark = raw[: _TIME + _RANDOM], raw[_TIME + _RANDOM :]
        if len(mark) != _MARK or not hmac.compare_digest(mark, self._mark(told)):
            return False
        until = datetime.fromtimestamp(int.from_bytes(told[:_TIME]), UTC)
        found = hashlib.sha256(f"{challenge}:{number}".encode()).digest()
        enough = int.from_bytes(found) >> (256 - self.bits) == 0
        if not enough or until <= self.clock() or told in self._used:
            return False
        if len(self._used) >= KNOWN:
            del self._used[next(iter(self._used))]
        self._used[told] = None
        return True

    def _mark(self, told: bytes) -> bytes:
        return hmac.new(self.key, b"pashe work" + told, hashlib.sha256).digest()[:_MARK]


def work_from(key: bytes, load: Callable[[], int], env: Mapping[str, str]) -> Work:
    """Make it as `INTAKE_WORK_BITS` and `INTAKE_WORK_WHEN` say.

    Raises:
        SettingsError: one of them is no number, or asks for more than a phone can do.

    """
    try:
        bits = int(env.get("INTAKE_WORK_BITS") or BITS)
        when = int(env.get("INTAKE_WORK_WHEN") or WHEN)
    except ValueError:
        bits = when = -1
    if not 1 <= bits <= 24 or when < 0:  # noqa: PLR2004  (24 bits take minutes)
        raise SettingsError("INTAKE_WORK_BITS must be 1 to 24, INTAKE_WORK_WHEN a number from 0")
    return Work(key, load, bits, when)
