"""What every SMS gateway promises: one message in, and an honest word about what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Sent:
    """The gateway took it. `reference` is the gateway's own id of the message, if it told one."""

    reference: str | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """It was certainly not sent. `again`: it may be tried later, not before `after` if that is set.

    `reason` is a short stable word: `refused`, `busy`, `connection`, `timeout`, `dns`, `too-long`,
    `malformed`; of the number itself: `bad-number`, `opted-out`.
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


class Fate(StrEnum):
    """What a gateway says later of a message that it took."""

    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"


class Asks(StrEnum):
    """What a message is found by: nothing, its own key, or its number and text.

    A number is compared here, and never stands in what a gateway is asked.
    """

    NOTHING = "nothing"
    KEY = "key"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Question:
    """Which message is meant: its key, what it may have said, and when it was begun (UTC).

    `number` is empty for a gateway that is asked by the key.
    """

    key: str
    since: datetime
    texts: frozenset[str] = frozenset()
    number: str = field(default="", repr=False)


BAD_NUMBER: Final = "bad-number"
OPTED_OUT: Final = "opted-out"
BOUNCED: Final = "bounced"
UNREACHED: Final = frozenset({BAD_NUMBER, OPTED_OUT, BOUNCED})
"""Reasons that speak of the number: whoever was meant is not behind it, or wants no message."""


class Gateway(Protocol):
    """One way for SMS out; an instance serves a whole process."""

    @property
    def name(self) -> str:
        """A short word for metrics: `external`, `twilio`, `infobip`, `sslwireless`, `file`."""
        ...

    @property
    def asks(self) -> Asks:
        """What it can be asked by."""
        ...

    @property
    def exchange(self) -> timedelta:
        """How long one send may take at most."""
        ...

    async def send(self, number: str, text: str, key: str) -> Outcome:
        """Send one text to an E.164 number, once; never raises but for a cancel.

        `key` is the message's own id (ASCII), told to the gateway where it takes one. After a
        cancel the outcome is unknown.
        """
        ...

    async def ask(self, question: Question) -> Fate | None:
        """Ask what became of a message; None when that is not known. Never raises but for a cancel.

        That a gateway does not know a message is no proof that it was not sent.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; nothing is sent afterwards."""
        ...
