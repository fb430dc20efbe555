"""The frame of every notifier's worker: claim what is due, work on much at once, end cleanly.

A database that is away only makes it wait; an outcome that is known is stored as soon as it can be.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, TypeVar

from services.notification.slots import Slots
from shared import telemetry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from datetime import timedelta

    from shared.telemetry import Log

POLL: Final = 0.5
"""Seconds between looks for what is due, beside the wake-up after each commit."""

STORING: Final = 2
"""Database connections that storing outcomes may use at once."""

STORE_TRIES: Final = 8
LONGEST_PAUSE: Final = 3.0
"""Tries to store an outcome while the database is away, and seconds between them at most."""

R = TypeVar("R")


class Crew(ABC):
    """Serves one notifier until cancelled; any number of replicas may run."""

    def __init__(
        self, log: Log, wake_relay: Callable[[], None], *, chores: timedelta, grace: timedelta
    ) -> None:
        """Take the log, what a commit wakes, and two lengths of time.

        `chores` lie between two calls of `do_chores`; `grace` is what work under way gets when the
        process stops.
        """
        self._log = log
        self._wake_relay = wake_relay
        self._chores = chores.total_seconds()
        self._grace = grace.total_seconds()
        self._tasks: set[asyncio.Task[None]] = set()
        self._more = asyncio.Event()
        self._storing = Slots(STORING)

    @abstractmethod
    async def free_mine(self) -> None:
        """Let go of what this replica held when it died; called at the start."""

    @abstractmethod
    async def fill(self) -> None:
        """Claim what is due and there is room for, and `begin` it."""

    @abstractmethod
    async def do_chores(self) -> None:
        """Do what is to be done now and then."""

    def wake(self) -> None:
        """Look for what is due now; called after a commit. Never blocks, never fails."""
        self._more.set()

    async def run(self) -> None:
        """Serve for ever; a database that is down only makes it wait."""
        try:
            await self.free_mine()
            self._wake_relay()
            await self._serve()
        finally:
            await self._stop()

    def begin(self, work: Coroutine[None, None, None], done: Callable[[], None]) -> None:
        """Work on one thing beside the others; `done` is called when it ended, however it did."""

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            done()

        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(ended)

    async def stored(self, store: Callable[[], Awaitable[R]], rank: int = 0) -> R:
        """Store an outcome; while the database is away try again, well inside the lease.

        Of outcomes that wait to be stored the one with the lowest `rank` is next.

        Raises:
            Exception: what the last of `STORE_TRIES` tries met.

        """
        pause = 0.05
        for _ in range(STORE_TRIES - 1):
            try:
                async with self._storing.take(rank):
                    return await store()
            except Exception as error:  # noqa: BLE001  (the last try below lets it out)
                self._log.warning("store-again", error=telemetry.describe(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        async with self._storing.take(rank):
            return await store()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        pause, chores = POLL, 0.0
        while True:
            self._more.clear()
            try:
                await self.fill()
                if loop.time() >= chores:
                    await self.do_chores()
                    chores = loop.time() + self._chores
                pause = POLL
            except Exception as error:  # noqa: BLE001  (the worker outlives a lost database)
                self._log.error("claim-failed", error)
                pause = min(pause * 2, LONGEST_PAUSE)
                await asyncio.sleep(pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._more.wait()

    async def _stop(self) -> None:
        """Give work under way a moment to end; leases let go of the rest."""
        tasks = set(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
