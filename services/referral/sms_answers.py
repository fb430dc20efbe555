"""`referral.answers`: what providers without a system answered by SMS, as intake matched it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final
from uuid import UUID

from services.referral import domain, store
from services.referral.answers import follow
from services.referral.consumers import Taken
from services.referral.domain import Actor, Order
from shared import telemetry
from shared.errors import Problem
from shared.vocabulary import Reason, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.referral.service import Referrals
    from shared.events import Event, ProviderAnswered
    from shared.outbox import Stamp

ANSWERED: Final = "provider-answered"
ACTOR: Final = "provider_worker:sms"

_VERBS: Final = {"yes": "accept", "no": "decline"}
_BY_SMS: Final = "by SMS"
"""What stands for the text that `other` asks for: an answer by keyword has none."""


class SmsAnswers:
    """Does `accept` or `decline` as the provider; what is not possible any more is nothing."""

    def __init__(self, referrals: Referrals) -> None:
        """Take the use cases."""
        self._referrals = referrals

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        """Care about providers' answers only."""
        del needs
        return event_type == ANSWERED

    async def load(self, conn: AsyncConnection, events: Sequence[Event]) -> Taken:
        """Lock the cases of the referrals, and read the offers that may be asked after a no."""
        needs = await store.needs_of(conn, {event.data.referral_id for event in events})
        return Taken(await self._referrals.load(conn, list(needs), needs))

    def decide(self, state: Taken, event: Event, stamp: Stamp) -> None:
        """Answer as the provider would have; count what the state does not allow, or not any more.

        A value of `answer` that this version does not know is nothing, and counted.
        """
        data: ProviderAnswered = event.data
        verb = _VERBS.get(data.answer)
        if verb is None:
            telemetry.UNKNOWN_VALUES.labels("answer").inc()
            return
        case_id = _case_id(event)
        referral = state.world.referrals.get(case_id, {}).get(data.referral_id) if case_id else None
        actor = Actor(Role.PROVIDER_WORKER, ACTOR, data.provider_id)
        if case_id is None or referral is None or not referral.heard:
            telemetry.SMS_ANSWERS.labels(verb, "nothing").inc()
            return
        reason = None if verb == "accept" else data.reason
        if verb == "decline" and reason not in set(Reason):
            reason = Reason.OTHER
        order = Order(verb, reason=reason, text=_BY_SMS)
        try:
            possible = domain.check(referral, order, actor)
        except Problem:
            possible = False
        if possible:
            done = follow(state.world, state.world.cases[case_id], referral, order, stamp.at)
            state.take(done, replace(stamp, actor=ACTOR))
        telemetry.SMS_ANSWERS.labels(verb, "done" if possible else "nothing").inc()

    async def flush(self, conn: AsyncConnection, state: Taken) -> None:
        """Store what changed."""
        await self._referrals.save(conn, state.world, state.made)


def _case_id(event: Event) -> UUID | None:
    try:
        return UUID(event.subject)
    except ValueError:
        return None
