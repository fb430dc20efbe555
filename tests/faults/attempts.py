"""What the load tried, and what it was told: one line an attempt, as Jepsen logs operations.

An attempt is *ok* (a 2xx was read), *fail* (it definitively did not happen: a 4xx, or nothing was
ever sent) or *unknown* (a time-out, a dropped connection, a 5xx). An unknown attempt is sent again
with the same Idempotency-Key until it is known or its time is up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Kind(StrEnum):
    REPORT = "report"
    ANONYMOUS = "anonymous"
    SMS = "sms"
    TRIAGE = "triage"
    ACCEPT = "accept"
    DECLINE = "decline"
    START = "start"
    DELIVER = "deliver"


class Outcome(StrEnum):
    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


SUBMITS = frozenset({Kind.REPORT, Kind.ANONYMOUS, Kind.SMS})

EVENT_OF = {
    Kind.TRIAGE: "case-triaged",
    Kind.ACCEPT: "referral-accepted",
    Kind.DECLINE: "referral-declined",
    Kind.START: "service-started",
    Kind.DELIVER: "service-delivered",
}
"""The event that an attempt of each kind must leave in the history."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One thing tried once by the load, over however many sends.

    `mark` is what the history shows of it: the pseudonym inside the token (a token of its own for
    each attempt), the message id of an SMS, or the stored digest of an anonymous receipt. `about`
    is the case or referral acted upon. `answers` counts *different* 2xx bodies seen. Times are
    seconds on the monotonic clock.
    """

    mark: str
    kind: Kind
    outcome: Outcome
    started: float
    ended: float
    about: str = ""
    case_ids: tuple[str, ...] = ()
    sends: int = 1
    statuses: tuple[int, ...] = ()
    answers: int = 1

    @property
    def first_time(self) -> bool:
        """Whether the very first send was answered, with a 2xx or a 4xx."""
        return self.sends == 1 and self.outcome is not Outcome.UNKNOWN


@dataclass(slots=True)
class Log:
    """Every attempt of a run, in the order they ended; also written to a file as JSON lines."""

    attempts: list[Attempt] = field(default_factory=list)
    listeners: list[Callable[[Attempt], None]] = field(default_factory=list)

    def add(self, attempt: Attempt) -> Attempt:
        self.attempts.append(attempt)
        for listener in self.listeners:
            listener(attempt)
        return attempt

    def save(self, path: Path) -> None:
        path.write_bytes(b"".join(msgspec.json.encode(a) + b"\n" for a in self.attempts))


def judge(statuses: tuple[int, ...]) -> Outcome:
    """Say what a row of answers to one attempt means; 0 stands for no answer, -1 for not sent.

    A 4xx after an unanswered send proves nothing: the first send may have happened and the second
    been refused for that very reason (409). A 5xx proves nothing either: the commit may have won.
    """
    if any(200 <= status < 300 for status in statuses):
        return Outcome.OK
    if any(status == 0 or status >= 500 for status in statuses):
        return Outcome.UNKNOWN
    return Outcome.FAIL
