"""Slows down whoever guesses receipts; a report is never refused by it (SAFETY 10, 18)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar, Final

from shared.clock import now
from shared.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

WINDOW: Final = 60.0
"""Seconds over which wrong receipts are counted."""

FROM_ONE: Final = 10
"""Wrong receipts of one network address in `WINDOW`, after which it waits."""

FROM_ALL: Final = 300
"""Wrong receipts of everybody in `WINDOW`, after which everybody waits."""


class TooManyGuesses(Problem):
    """Too many receipts that do not exist were asked for."""

    slug, status, title = "too-many-guesses", 429, "Wait a minute, then try again"
    retry_after: ClassVar[int] = 60


class Guesses:
    """Counts wrong receipts of the last minute, by network address and in all, in memory only."""

    def __init__(self, clock: Callable[[], datetime] = now) -> None:
        """Take the clock."""
        self._clock = clock
        self._all: deque[tuple[float, str]] = deque()
        self._by: dict[str, int] = {}

    def check(self, address: str) -> None:
        """Refuse the next look-up of whoever guessed too often.

        Raises:
            TooManyGuesses: wait `retry_after` seconds.

        """
        self._forget()
        if self._by.get(address, 0) >= FROM_ONE or len(self._all) >= FROM_ALL:
            raise TooManyGuesses

    def count(self, address: str) -> None:
        """Count a receipt that does not exist."""
        self._all.append((self._clock().timestamp(), address))
        self._by[address] = self._by.get(address, 0) + 1

    def _forget(self) -> None:
        until = self._clock().timestamp() - WINDOW
        while self._all and self._all[0][0] <= until:
            _, address = self._all.popleft()
            self._by[address] -= 1
            if not self._by[address]:
                del self._by[address]
