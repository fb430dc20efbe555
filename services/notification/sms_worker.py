"""The worker of the `sms` notifier: asks intake, applies the policy, sends once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from services.notification.contacts import Away, Denied, Reachable
from services.notification.policy import Later, Reason, Send, Withhold, decide
from services.notification.sending import Brake
from shared import telemetry
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from services.notification.contacts import Contacts
    from services.notification.policy import Decision, Policy
    from services.notification.sending import Job, Sending
    from services.notification.templates import Templates
    from shared.sms import Gateway, Outcome

LANE: Final = 4
"""Notices under way at once: what a gateway that hangs makes unknown before the brake holds."""

POLL: Final = 0.5
"""Seconds between looks for what is due, beside the wake-up after each commit."""

HOUSE: Final = 5.0
"""Seconds between looks for what dead replicas left, blanking of marks, and measuring."""

STORING: Final = 2
"""Database connections that the worker may use at once."""

STORE_TRIES: Final = 6
LONGEST_PAUSE: Final = 3.0
"""Tries to store what a gateway said while the database is away, and seconds between them."""

GRACE: Final = 3.0
"""Seconds that sends under way get when the process stops."""

_log = Log("sms")


class SmsWorker:
    """Tells persons until cancelled; any number of replicas may run."""

    def __init__(
        self,
        *,
        sending: Sending,
        contacts: Contacts,
        gateway: Gateway,
        policy: Policy,
        templates: Templates,
        mark: Callable[[str], bytes],
        clock: Callable[[], datetime],
        wake_relay: Callable[[], None],
    ) -> None:
        """Take what claims, who is asked, what sends, what decides and says, and the clock."""
        self._sending = sending
        self._contacts = contacts
        self._gateway = gateway
        self._policy = policy
        self._templates = templates
        self._mark = mark
        self._clock = clock
        self._wake_relay = wake_relay
        self._brake = Brake()
        self._running: set[asyncio.Task[None]] = set()
        self._more = asyncio.Event()
        self._storing = asyncio.Semaphore(STORING)

    def wake(self) -> None:
        """Look for what is due now; called after a commit. Never blocks, never fails."""
        self._more.set()

    async def run(self) -> None:
        """Serve for ever; a database that is down only makes it wait."""
        try:
            await self._sending.free_mine()
            self._wake_relay()
            await self._serve()
        finally:
            await self._stop()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        pause, house = POLL, 0.0
        while True:
            self._more.clear()
            try:
                await self._fill()
                if loop.time() >= house:
                    await self._sending.give_up()
                    await self._sending.forget_marks()
                    await self._sending.measure()
                    house = loop.time() + HOUSE
                pause = POLL
            except Exception as error:  # noqa: BLE001  (the worker outlives a lost database)
                _log.error("claim-failed", error)
                pause = min(pause * 2, LONGEST_PAUSE)
                await asyncio.sleep(pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._more.wait()

    async def _fill(self) -> None:
        allowed = self._brake.room(LANE, self._clock())
        telemetry.SMS_BRAKED.set(0 if allowed == LANE else 1)
        room = allowed - len(self._running)
        if room <= 0:
            return
        for job in await self._sending.claim(room):
            task = asyncio.create_task(self._work(job))
            self._running.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._more.set()  # somebody may wait for this place

    async def _work(self, job: Job) -> None:
        try:
            with telemetry.span("notification.sms send", job.notice.traceparent):
                await self._tell(job)
        except Exception as error:  # noqa: BLE001  (its lease runs out, and it is looked at again)
            _log.error("notice-lost", error, notice=job.notice.id)
            return
        self._wake_relay()

    async def _tell(self, job: Job) -> None:
        """Ask, decide and send; the number lives in this frame alone."""
        notice = job.notice
        if self._clock() > notice.useful_until:
            await self._stored(lambda: self._sending.withhold(job, Reason.STALE))
            return
        answer = await self._contacts.resolve(
            notice.case_id, notice.recipient, notice.template, notice.id
        )
        match answer:
            case Away(why=why):
                _log.warning("intake-away", notice=notice.id, why=why, tries=notice.tries)
                await self._stored(lambda: self._sending.put_off(job))
            case Denied(reason=reason):
                await self._stored(lambda: self._sending.withhold(job, reason))
            case Reachable(number=number, contact=contact):
                decision = decide(
                    self._policy,
                    notice.type,
                    notice.recipient,
                    contact,
                    self._clock(),
                    notice.useful_until,
                )
                await self._carry_out(job, decision, number)

    async def _carry_out(self, job: Job, decision: Decision, number: str) -> None:
        match decision:
            case Withhold(reason=reason):
                await self._stored(lambda: self._sending.withhold(job, reason))
            case Later(until=until):
                await self._stored(lambda: self._sending.wait(job, until))
            case Send(template=template, language=language):
                text = self._templates.text(template, language)
                async with self._storing:  # not tried again: nothing was sent yet
                    begun = await self._sending.begin(job, self._mark(number))
                if begun is False:
                    await self._stored(lambda: self._sending.withhold(job, Reason.REPEATED))
                elif begun:
                    outcome = await self._send(job, number, text)
                    await self._stored(lambda: self._sending.settle(job, outcome))

    async def _send(self, job: Job, number: str, text: str) -> Outcome:
        started = time.monotonic()
        outcome = await self._gateway.send(number, text, str(job.notice.id))
        word = type(outcome).__name__.lower()
        telemetry.SMS_SECONDS.labels(word).observe(time.monotonic() - started)
        at = self._clock()
        self._brake.note(outcome, at)
        if word == "sent":
            late = (at - job.notice.happened_at).total_seconds()
            telemetry.NOTICE_DELAY.labels("sms").observe(max(late, 0.0))
        else:
            _log.error(
                "sms-not-sent",
                notice=job.notice.id,
                outcome=word,
                reason=getattr(outcome, "reason", ""),
            )
        return outcome

    async def _stored(self, store: Callable[[], Awaitable[None]]) -> None:
        """Store an outcome; while the database is away try again, inside the lease's margin."""
        pause = 0.05
        for left in reversed(range(STORE_TRIES)):
            try:
                async with self._storing:
                    await store()
                    return
            except Exception as error:
                if not left:
                    raise
                _log.warning("store-again", error=telemetry.describe(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _stop(self) -> None:
        """Give sends under way a moment to end; what is left in flight becomes unknown."""
        tasks = set(self._running)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
