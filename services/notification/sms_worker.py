"""The worker of the notifiers by SMS: asks intake, applies the policy, sends once."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from services.notification.contacts import Away, Denied, Reachable
from services.notification.crew import Crew
from services.notification.policy import Later, Reason, Send, Withhold, decide
from services.notification.sending import Brake
from shared import telemetry
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from services.notification.contacts import Contacts
    from services.notification.policy import Decision, Policy
    from services.notification.sending import Job, Sending
    from services.notification.templates import Templates
    from shared.sms import Gateway, Outcome

LANE: Final = 4
"""Notices under way at once: what a gateway that hangs makes unknown before the brake holds."""

HOUSE: Final = timedelta(seconds=5)
"""Time between looks for what dead replicas left, blanking of marks, and measuring."""

GRACE: Final = timedelta(seconds=3)
"""What sends under way get when the process stops; what is left in flight becomes unknown."""

_log = Log("sms")


class SmsWorker(Crew):
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
        super().__init__(_log, wake_relay, chores=HOUSE, grace=GRACE)
        self._sending = sending
        self._contacts = contacts
        self._gateway = gateway
        self._policy = policy
        self._templates = templates
        self._mark = mark
        self._clock = clock
        self._brake = Brake()
        self._under_way = 0

    async def free_mine(self) -> None:
        """Free what waits; what this replica had in flight is unknown."""
        await self._sending.free_mine()

    async def fill(self) -> None:
        """Tell as many persons as the lane has room for and the brake allows."""
        allowed = self._brake.room(LANE, self._clock())
        telemetry.SMS_BRAKED.labels(self._sending.notifier).set(0 if allowed == LANE else 1)
        room = allowed - self._under_way
        if room <= 0:
            return
        for job in await self._sending.claim(room):
            self._under_way += 1
            self.begin(self._work(job), self._done)

    async def do_chores(self) -> None:
        """Look after what dead replicas left, blank old marks, measure."""
        await self._sending.give_up()
        await self._sending.forget_marks()
        await self._sending.measure()

    def _done(self) -> None:
        self._under_way -= 1
        self.wake()  # somebody may wait for this place

    async def _work(self, job: Job) -> None:
        try:
            with telemetry.span(
                f"notification.{self._sending.notifier} send", job.notice.traceparent
            ):
                await self._tell(job)
        except Exception as error:  # noqa: BLE001  (its lease runs out, and it is looked at again)
            _log.error("notice-lost", error, notice=job.notice.id)
            return
        self._wake_relay()

    async def _tell(self, job: Job) -> None:
        """Ask, decide and send; the number lives in this frame alone."""
        notice = job.notice
        if self._clock() > notice.useful_until:
            await self.stored(lambda: self._sending.withhold(job, Reason.STALE))
            return
        answer = await self._contacts.resolve(
            notice.case_id, notice.recipient, notice.template, notice.id
        )
        match answer:
            case Away(why=why):
                _log.warning("intake-away", notice=notice.id, why=why, tries=notice.tries)
                await self.stored(lambda: self._sending.put_off(job))
            case Denied(reason=reason):
                await self.stored(lambda: self._sending.withhold(job, reason))
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
                await self.stored(lambda: self._sending.withhold(job, reason))
            case Later(until=until):
                await self.stored(lambda: self._sending.wait(job, until))
            case Send(template=template, language=language):
                text = self._templates.text(template, language)
                async with self._storing.take(0):  # not tried again: nothing was sent yet
                    begun = await self._sending.begin(job, self._mark(number))
                if begun is False:
                    await self.stored(lambda: self._sending.withhold(job, Reason.REPEATED))
                elif begun:
                    outcome = await self._send(job, number, text)
                    await self.stored(lambda: self._sending.settle(job, outcome))

    async def _send(self, job: Job, number: str, text: str) -> Outcome:
        started = time.monotonic()
        outcome = await self._gateway.send(number, text, str(job.notice.id))
        word = type(outcome).__name__.lower()
        telemetry.SMS_SECONDS.labels(word).observe(time.monotonic() - started)
        at = self._clock()
        self._brake.note(outcome, at)
        if word == "sent":
            late = (at - job.notice.happened_at).total_seconds()
            telemetry.NOTICE_DELAY.labels(job.notice.notifier).observe(max(late, 0.0))
        else:
            _log.error(
                "sms-not-sent",
                notice=job.notice.id,
                outcome=word,
                reason=getattr(outcome, "reason", ""),
            )
        return outcome
