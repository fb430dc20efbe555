"""The worker of every notifier to people: asks intake, applies the policy, sends once."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from services.notification.brake import Brake
from services.notification.contacts import Away, Denied, Reachable
from services.notification.crew import Crew
from services.notification.limits import Begun
from services.notification.policy import WAYS, Later, Reason, Recipient, Send, Withhold, decide
from shared import telemetry
from shared.sms import Asks, Question, Refused
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from services.notification.carrier import Carrier, Message
    from services.notification.contacts import Contacts
    from services.notification.deliveries import Deliveries
    from services.notification.person_store import PersonNotice
    from services.notification.policy import Decision, Policy
    from services.notification.sending import Job, Sending
    from services.notification.words import Words
    from shared.sms import Outcome

LANE: Final = 4
"""Notices under way at once: what a gateway that hangs makes unknown before the brake holds."""

HOUSE: Final = timedelta(seconds=5)
"""Time between looks for what dead replicas left, blanking of marks, and measuring."""

GRACE: Final = timedelta(seconds=3)
"""What sends under way get when the process stops; what is left in flight becomes unknown."""

SIFT_EVERY: Final = 0.5
"""Seconds between two looks at notices that are none."""

REMEMBERED: Final = 2000
"""Notices that are remembered as sifted."""

FULL_PAUSE: Final = timedelta(minutes=1)
CROWDED_PAUSE: Final = timedelta(minutes=20)
"""How long a notice waits when its notifier, or its recipient, had enough for now."""

_log = Log("teller")


class Teller(Crew):
    """Tells people until cancelled; any number of replicas may run."""

    def __init__(
        self,
        *,
        sending: Sending,
        contacts: Contacts,
        carrier: Carrier,
        policy: Policy,
        words: Words,
        deliveries: Deliveries,
        mark: Callable[[str], bytes],
        clock: Callable[[], datetime],
        wake_relay: Callable[[], None],
    ) -> None:
        """Take what claims, who is asked, what sends, decides, says and hears, and the clock."""
        super().__init__(_log, wake_relay, chores=HOUSE, grace=GRACE)
        self._sending = sending
        self._contacts = contacts
        self._carrier = carrier
        self._policy = policy
        self._words = words
        self._deliveries = deliveries
        self._mark = mark
        self._clock = clock
        self._brake = Brake()
        self._under_way = 0
        self._sifts = policy.may_tell(sending.notifier, Recipient.PROVIDER)
        self._sifted: set[UUID] = set()
        self._sift_at = 0.0

    async def free_mine(self) -> None:
        """Free what waits; what this replica had in flight is unknown."""
        await self._sending.free_mine()

    async def fill(self) -> None:
        """Tell as many persons as the lane has room for and the brake allows."""
        if self._sifts and time.monotonic() >= self._sift_at:
            self._sift_at = time.monotonic() + SIFT_EVERY
            if len(self._sifted) > REMEMBERED:
                self._sifted.clear()
            await self._sending.sift(self._contacts, self._sifted)
        allowed = self._brake.room(LANE, self._clock())
        telemetry.SMS_BRAKED.labels(self._sending.notifier).set(0 if allowed == LANE else 1)
        room = allowed - self._under_way
        if room <= 0:
            return
        for job in await self._sending.claim(room):
            self._under_way += 1
            self.begin(self._work(job), self._done)

    async def do_chores(self) -> None:
        """Look after what dead replicas left, ask what is unknown, blank old marks, measure."""
        await self._sending.give_up()
        await self._sending.withhold_overdue()
        for notice, since in await self._sending.claim_asks(LANE):
            self.begin(self._ask(notice, since), self.wake)
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
        """Ask, decide and send; the address lives in this frame alone."""
        notice = job.notice
        if self._clock() > notice.useful_until:
            await self.stored(lambda: self._sending.withhold(job, Reason.STALE))
            return
        answer = await self._contacts.resolve(notice, self._ways(notice))
        match answer:
            case Away(why=why):
                note = _log.warning if notice.tries else _log.info  # intake may hear a moment later
                note("intake-away", notice=notice.id, why=why, tries=notice.tries)
                await self.stored(lambda: self._sending.put_off(job))
            case Denied(reason=reason) if _is_moot(notice, reason):
                await self.stored(lambda: self._sending.drop(job))
            case Denied(reason=reason):
                await self.stored(lambda: self._sending.withhold(job, reason))
            case Reachable(address=address, contact=contact):
                decision = decide(
                    self._policy,
                    notice.type,
                    notice.recipient,
                    contact,
                    self._clock(),
                    notice.useful_until,
                )
                await self._carry_out(job, decision, address)

    def _ways(self, notice: PersonNotice) -> tuple[str, ...]:
        """Return the ways that the table allows from this notifier on."""
        names = self._policy.senders(notice.type, notice.recipient, notice.notifier)
        return tuple(dict.fromkeys(WAYS[name] for name in names))

    async def _carry_out(self, job: Job, decision: Decision, address: str) -> None:
        match decision:
            case Withhold(reason=reason):
                await self.stored(lambda: self._sending.withhold(job, reason))
            case Later(until=until):
                await self.stored(lambda: self._sending.wait(job, until))
            case Send(by=by) if by != self._sending.notifier:
                await self.stored(lambda: self._sending.hand_over(job, by))
            case Send(template=template, language=language):
                message = self._words.message(job.notice, template, language)
                async with self._storing.take(0):  # not tried again: nothing was sent yet
                    begun = await self._sending.begin(job, self._mark(address))
                await self._begun(job, begun, address, message)

    async def _begun(self, job: Job, begun: Begun, address: str, message: Message) -> None:
        """Send what was begun; what may not be sent now waits while it is useful."""
        match begun:
            case Begun.YES:
                outcome = await self._send(job, address, message)
                await self._settle(job, outcome)
            case Begun.REPEATED:
                await self.stored(lambda: self._sending.withhold(job, Reason.REPEATED))
            case Begun.CROWDED | Begun.FULL:
                pause = CROWDED_PAUSE if begun is Begun.CROWDED else FULL_PAUSE
                until = self._clock() + pause
                if until > job.notice.useful_until:
                    await self.stored(lambda: self._sending.withhold(job, Reason.TOO_MANY))
                else:
                    await self.stored(lambda: self._sending.wait(job, until))
            case Begun.LOST:
                _log.warning("lease-lost", notice=job.notice.id)

    async def _settle(self, job: Job, outcome: Outcome) -> None:
        """Store what came of it, or let another way be tried when this one certainly did not send.

        The next notifier asks again whether its way is safe.
        """
        notice = job.notice
        after = None
        if isinstance(outcome, Refused) and not outcome.again:
            after = self._policy.next_sender(notice.type, notice.recipient, notice.notifier)
        if after is None:
            await self.stored(lambda: self._sending.settle(job, outcome))
        else:
            await self.stored(lambda: self._sending.hand_over(job, after))

    async def _ask(self, notice: PersonNotice, since: datetime) -> None:
        """Ask the gateway what it did with a notice of which nobody knows."""
        number = ""
        if self._carrier.asks is Asks.NUMBER:
            answer = await self._contacts.resolve(notice, self._ways(notice))
            if not isinstance(answer, Reachable):
                return
            number = answer.address
        question = Question(str(notice.id), since, self._words.texts(notice), number)
        fate = await self._carrier.ask(question)
        if fate is not None:
            way = WAYS[self._sending.notifier]
            await self.stored(lambda: self._deliveries.hear(notice.id, fate, way))
            self._wake_relay()

    async def _send(self, job: Job, address: str, message: Message) -> Outcome:
        started = time.monotonic()
        outcome = await self._carrier.send(address, message, str(job.notice.id))
        word = type(outcome).__name__.lower()
        telemetry.SMS_SECONDS.labels(word).observe(time.monotonic() - started)
        at = self._clock()
        self._brake.note(outcome, at)
        if word == "sent":
            late = (at - job.notice.happened_at).total_seconds()
            telemetry.NOTICE_DELAY.labels(job.notice.notifier).observe(max(late, 0.0))
        else:
            _log.error(
                "not-sent",
                notice=job.notice.id,
                outcome=word,
                reason=getattr(outcome, "reason", ""),
            )
        return outcome


def _is_moot(notice: PersonNotice, reason: Reason) -> bool:
    """Say whether a notice is none after all: nobody was meant, or nothing is asked of them now.

    One of which something was tried is never forgotten: its end is an event.
    """
    untried = notice.attempt == 0
    to_provider = notice.recipient is Recipient.PROVIDER
    return untried and to_provider and reason in (Reason.NO_WORKER, Reason.TAKEN)
