"""Slows down whoever guesses receipts; a report is never refused by it (SAFETY 10, 18).

Wrong receipts are counted in the database: a restart or a second process forgets none. Whoever made
no mistake is served, however much others guess: words that somebody adds are not lost to it.
"""

from __future__ import annotations

import ipaddress
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Final

from services.intake.limits import Limit
from shared import telemetry
from shared.clock import now
from shared.errors import NotFound, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

WINDOW: Final = timedelta(seconds=60)
"""Over which wrong receipts are counted."""

FROM_ONE: Final = 10
"""Wrong receipts of one network address in `WINDOW`, after which it waits."""

FROM_ALL: Final = 300
"""Wrong receipts of everybody in `WINDOW`, after which whoever guessed at all waits."""

NETWORK: Final = 64
"""Bits of an IPv6 address that count: below, one household has as many as it wants."""


class TooManyGuesses(Problem):
    """Too many receipts that do not exist were asked for."""

    slug, status, title = "too-many-guesses", 429, "Wait a minute, then try again"
    retry_after: ClassVar[int] = 60


class Guesses:
    """Counts wrong receipts of the last minute, by who asks and in all."""

    def __init__(self, key: bytes, clock: Callable[[], datetime] = now) -> None:
        """Take the key of the marks of who asks, and the clock."""
        self._limit = Limit("receipts", WINDOW, key)
        self._clock = clock

    async def check(self, conn: AsyncConnection, who: str) -> None:
        """Refuse the next look-up of whoever guessed too often.

        Raises:
            TooManyGuesses: wait `retry_after` seconds.

        """
        mine, everybody = await self._limit.seen(conn, network_of(who), self._clock())
        if mine >= FROM_ONE or (mine and everybody >= FROM_ALL):
            telemetry.GUESSES.labels("refused").inc()
            raise TooManyGuesses

    async def count(self, conn: AsyncConnection, who: str) -> None:
        """Count a receipt that does not exist."""
        telemetry.GUESSES.labels("wrong").inc()
        await self._limit.count(conn, network_of(who), self._clock())

    @asynccontextmanager
    async def guard(self, engine: AsyncEngine, who: str) -> AsyncIterator[None]:
        """Refuse before and count after what is inside, each in a transaction of its own.

        What is inside raises `NotFound` for a receipt that does not exist, which ends its own
        transaction without a trace.

        Raises:
            TooManyGuesses: wait `retry_after` seconds.

        """
        async with engine.connect() as conn:
            await self.check(conn, who)
        try:
            yield
        except NotFound:
            async with engine.begin() as conn:
                await self.count(conn, who)
            raise


def network_of(who: str) -> str:
    """Return what of a network address is one household's; what is no address stays as it is."""
    try:
        address = ipaddress.ip_address(who)
    except ValueError:
        return who
    if address.version == 4:  # noqa: PLR2004  (the version of the protocol)
        return str(address)
    return str(ipaddress.ip_network((address, NETWORK), strict=False))
