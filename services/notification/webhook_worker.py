"""The worker of the `webhook` notifier: many subscriptions at once, one notice of each.

Two lanes, each with its own bound: a subscription that fails or answers slowly is served in the
slow one, so that receivers that hang never take the places of those that answer.
"""

from __future__ import annotations

import contextlib
import itertools
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from services.notification.crew import POLL, Crew
from services.notification.facts import render_body
from services.notification.signature import Keys, headers_of
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

GRACE: Final = timedelta(seconds=2)
"""What attempts under way get when the process stops; what is left is sent again by the next."""

_log = Log("worker")


class WebhookWorker(Crew):
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
        super().__init__(_log, wake_relay, chores=timedelta(seconds=POLL), grace=GRACE)
        self._dispatch = dispatch
        self._outbound = outbound
        self._sealer = sealer
        self._public_url = public_url
        self._clock = clock
        self._lanes = lanes
        self._under_way = [0, 0]

    async def run(self) -> None:
        """Serve for ever; at the end let go at once: another replica may send these again."""
        try:
            await super().run()
        finally:
            with contextlib.suppress(Exception):  # else the leases run out by themselves
                await self.free_mine()

    async def free_mine(self) -> None:
        """Let go of the subscriptions that this replica held."""
        await self._dispatch.free_mine()

    async def fill(self) -> None:
        """Serve what is due in the quick lane."""
        await self._fill(slow=False)

    async def do_chores(self) -> None:
        """Serve what is due in the slow lane: no more often than the poll, whatever wakes."""
        await self._fill(slow=True)

    async def _fill(self, *, slow: bool) -> None:
        room = self._lanes[slow] - self._under_way[slow]
        if room <= 0:
            return
        for job in await self._dispatch.claim(room, slow=slow):
            self._under_way[slow] += 1
            self.begin(self._work(job), partial(self._done, slow=slow))

    def _done(self, *, slow: bool) -> None:
        if not slow and self._under_way[slow] == self._lanes[slow]:
            self.wake()  # the lane was full: somebody may wait for this place
        self._under_way[slow] -= 1

    async def _work(self, first: Job) -> None:
        """Make a subscription's attempts one after the other, as long as one is due.

        The more it has had in a row, the later it is its turn: a flood of one provider's is no
        queue for the others.
        """
        job: Job | None = first
        for turn in itertools.count():
            if job is None:
                return
            try:
                with telemetry.span("notification.webhook send", job.head.entry.traceparent):
                    answer = await self._attempt(job)
                    job = await self.stored(partial(self._dispatch.settle, job, answer), turn)
            except Exception as error:  # noqa: BLE001  (the lease runs out, and it is tried again)
                _log.error("attempt-lost", error, subscription=first.held.id)
                return
            self._wake_relay()

    async def _attempt(self, job: Job) -> Answer:
        held, entry, at = job.held, job.head.entry, self._clock()
        keys = Keys.unpack(self._sealer.open(held.id, held.organisation, held.secret))
        body = render_body(entry, self._public_url)
        headers = headers_of(keys, str(entry.event_id), int(at.timestamp()), body)
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
