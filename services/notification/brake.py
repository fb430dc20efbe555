"""Holds back a gateway that does not answer, purely: each try would make one more unknown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from shared.sms import Refused, Unknown

if TYPE_CHECKING:
    from shared.sms import Outcome

LOST: Final = 3
BRAKE_PAUSE: Final = timedelta(seconds=30)
"""After so many unknown outcomes in a row nothing is sent for this long, doubled each time."""

LONGEST_PAUSE: Final = timedelta(minutes=10)


@dataclass(slots=True)
class Brake:
    """Holds a gateway back that does not answer: each try would make one more notice unknown.

    After `LOST` unknown outcomes in a row only one notice is tried, after a pause that grows; a
    gateway that says it is busy gets the pause that it asks for.
    """

    lost: int = 0
    until: datetime | None = None

    def note(self, outcome: Outcome, at: datetime) -> None:
        """Learn from what became of a message."""
        match outcome:
            case Unknown():
                self.lost += 1
                if self.lost >= LOST:
                    pause = BRAKE_PAUSE * 2 ** min(self.lost - LOST, 10)
                    self.until = at + min(pause, LONGEST_PAUSE)
            case Refused(again=True, after=after):
                self.until = at + after if after is not None else self.until
            case _:
                self.lost, self.until = 0, None

    def room(self, full: int, at: datetime) -> int:
        """Return how many messages may be under way at once now."""
        if self.until is not None and at < self.until:
            return 0
        return full if self.lost < LOST else 1
