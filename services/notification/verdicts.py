"""What a receiver's answer means for a webhook and its subscription, purely."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_RETRY_AFTER: Final = timedelta(hours=24)
"""A longer Retry-After is cut to this."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said: an HTTP status, or the trouble on the way to it; never its body.

    `trouble` is one of `timeout`, `connection`, `tls`, `protocol`, `dns`, `target-refused`.
    """

    took: timedelta
    status: int | None = None
    trouble: str | None = None
    retry_after: timedelta | None = None

    @property
    def word(self) -> str:
        """A short stable word for logs, metrics and health: `2xx` … `5xx`, or the trouble."""
        return self.trouble or f"{(self.status or 0) // 100}xx"


class Verdict(StrEnum):
    """What an answer means for the notice and its subscription."""

    DELIVERED = "delivered"
    RETRY = "retry"
    EXHAUSTED = "exhausted"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict, and when to try again if that is what it says."""

    verdict: Verdict
    retry_at: datetime | None = None


def judge(answer: Answer, failures: int, schedule: Sequence[timedelta], at: datetime) -> Outcome:
    """Decide what an answer means after `failures` earlier ones without success.

    `schedule` holds the pause before each attempt, the first included. 2xx is success, 3xx is
    not followed, 410 ends the subscription, 429 and 503 may ask for a longer pause with
    Retry-After, every other answer is tried again. Source: Standard Webhooks 1.0.
    """
    status = answer.status or 0
    if 200 <= status < 300:  # noqa: PLR2004  (RFC 9110, successful)
        return Outcome(Verdict.DELIVERED)
    if status == 410:  # noqa: PLR2004  (RFC 9110, gone)
        return Outcome(Verdict.GONE)
    if failures + 1 >= len(schedule):
        return Outcome(Verdict.EXHAUSTED)
    pause = schedule[failures + 1]
    if status in (429, 503) and answer.retry_after is not None:
        pause = max(pause, min(answer.retry_after, LONGEST_RETRY_AFTER))
    return Outcome(Verdict.RETRY, at + pause)
