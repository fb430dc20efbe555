"""What every SMS gateway promises: one message in, and an honest word about what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Sent:
    """The gateway took it. `reference` is the gateway's own id of the message, if it told one."""

    reference: str | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """It was certainly not sent. `again`: it may be tried later, not before `after` if that is set.

    `reason` is a short stable word: `refused`, `busy`, `connection`, `timeout`, `dns`, `too-long`,
    `malformed`.
    """

    reason: str
    again: bool = False
    after: timedelta | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can say whether it was sent: never send it again blindly.

    `reason` is a short stable word: `timeout`, `connection`, `protocol`, `server-error`,
    `redirect`, `unexpected-answer`, `half-written`.
    """

    reason: str
    status: int | None = None


Outcome = Sent | Refused | Unknown


class Gateway(Protocol):
    """One way for SMS out; an instance serves a whole process."""

    @property
    def name(self) -> str:
        """A short word for metrics: `external`, `file`."""
        ...

    async def send(self, number: str, text: str, key: str) -> Outcome:
        """Send one text to an E.164 number, once; never raises but for a cancel.

        `key` is the message's own id (ASCII), told to the gateway where it takes one. After a
        cancel the outcome is unknown.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; nothing is sent afterwards."""
        ...
