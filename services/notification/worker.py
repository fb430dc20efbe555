"""The delivery worker: sends what is due, many subscriptions at once, one notice of each.

Two lanes, each with its own bound: a subscription that fails or answers slowly is served in the
slow one, so that receivers that hang never take the places of those that answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from services.notification.facts import render_body
from services.notification.signature import headers_of
from shared import telemetry
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from services.notification.dispatch import Dispatch, Job
    from services.notification.outbound import Outbound
    from services.notification.seal import Sealer
    from services.notification.verdicts import Answer

QUICK_LANE: Final = 128
SLOW_LANE: Final = 64
"""Attempts under way at once in each lane of a process."""

CONNECTIONS: Final = QUICK_LANE + SLOW_LANE
"""Connections of a process, at most."""

POLL: Final = 0.5
"""Seconds between looks for what is due, beside the wake-up after each commit."""

SETTLING: Final = 3
"""Database connections that settling attempts may use at once."""

SETTLE_TRIES: Final = 8
LONGEST_PAUSE: Final = 3.0
"""Tries to store an outcome while the database is away, and seconds between them at most."""

GRACE: Final = 2.0
"""Seconds that attempts under way get when the process stops."""

_log = Log("worker")


class Worker:
    """Serves subscriptions until cancelled; any number of replicas may run."""

    def __init__(
        self,
        *,
        dispatch: Dispatch,
        outbound: Outbound,
        sealer: Sealer,
        public_url: str,
        clock: Callable[[], datetime],
        wake_relay: Callable[[], None],
        lanes: tuple[int, int] = (QUICK_LANE, SLOW_LANE),
    ) -> None:
        """Take what claims, what posts, what opens secrets, and the bounds of both lanes."""
        self._dispatch = dispatch
        self._outbound = outbound
        self._sealer = sealer
        self._public_url = public_url
        self._clock = clock
        self._wake_relay = wake_relay
        self._lanes = lanes
        self._running: tuple[set[asyncio.Task[None]], set[asyncio.Task[None]]] = (set(), set())
        self._more = asyncio.Event()
        self._settling = asyncio.Semaphore(SETTLING)

    def wake(self) -> None:
        """Look for what is due now; called after a commit. Never blocks, never fails."""
        self._more.set()

    async def run(self) -> None:
        """Serve for ever; a database that is down only makes it wait."""
        try:
            await self._dispatch.free_mine()
            await self._serve()
        finally:
            await self._stop()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        pause, look = POLL, 0.0
        while True:
            self._more.clear()
            try:
                await self._fill(slow=False)
                if loop.time() >= look:
                    await self._fill(slow=True)
                    look = loop.time() + POLL
                pause = POLL
            except Exception as error:  # noqa: BLE001  (the worker outlives a lost database)
                _log.error("claim-failed", error)
                pause = min(pause * 2, LONGEST_PAUSE)
                await asyncio.sleep(pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._more.wait()

    async def _fill(self, *, slow: bool) -> None:
        running = self._running[slow]
        room = self._lanes[slow] - len(running)
        if room <= 0:
            return
        for job in await self._dispatch.claim(room, slow=slow):
            task = asyncio.create_task(self._work(job))
            running.add(task)
            task.add_done_callback(self._quick_done if not slow else self._slow_done)

    def _quick_done(self, task: asyncio.Task[None]) -> None:
        quick = self._running[False]
        if len(quick) == self._lanes[False]:
            self._more.set()  # the lane was full: somebody may wait for this place
        quick.discard(task)

    def _slow_done(self, task: asyncio.Task[None]) -> None:
        self._running[True].discard(task)

    async def _work(self, first: Job) -> None:
        """Make a subscription's attempts one after the other, as long as one is due."""
        job: Job | None = first
        while job is not None:
            try:
                with telemetry.span("notification.webhook send", job.head.entry.traceparent):
                    answer = await self._attempt(job)
                    job = await self._settle(job, answer)
            except Exception as error:  # noqa: BLE001  (the lease runs out, and it is tried again)
                _log.error("attempt-lost", error, subscription=first.held.id)
                return
            self._wake_relay()

    async def _attempt(self, job: Job) -> Answer:
        held, entry, at = job.held, job.head.entry, self._clock()
        key = self._sealer.open(held.id, held.organisation, held.secret)
        body = render_body(entry, self._public_url)
        headers = headers_of(key, str(entry.event_id), int(at.timestamp()), body)
        answer = await self._outbound.post(held.url, headers, body, at)
        telemetry.WEBHOOK_SECONDS.labels(answer.word).observe(answer.took.total_seconds())
        if answer.word == "2xx":
            late = (self._clock() - entry.happened_at).total_seconds()
            telemetry.NOTICE_DELAY.labels("webhook").observe(max(late, 0.0))
        else:
            _log.warning(
                "webhook-not-taken", subscription=held.id, answer=answer.word, attempt=job.attempt
            )
        return answer

    async def _settle(self, job: Job, answer: Answer) -> Job | None:
        """Store the outcome; while the database is away try again, well inside the lease."""
        pause = 0.05
        for left in reversed(range(SETTLE_TRIES)):
            try:
                async with self._settling:
                    return await self._dispatch.settle(job, answer)
            except Exception as error:
                if not left:
                    raise
                _log.warning("settle-again", error=telemetry.describe(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        return None

    async def _stop(self) -> None:
        """Give attempts under way a moment to end; what is left is sent again by the next."""
        tasks = [task for lane in self._running for task in lane]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            with contextlib.suppress(Exception):  # the leases run out by themselves
                await self._dispatch.free_mine()
