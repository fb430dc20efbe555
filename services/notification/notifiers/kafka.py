"""`notification.kafka`: writes what providers' feeds hold to the topics of those that read Kafka.

Each event goes through the outbox, so that it is in the topic once it is decided, however long
Kafka is away. A topic has all of one case in its order; the order of cases among one another is
Kafka's, and `cursor` says the place in the feed. It is written from the provider's subscription on.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from services.notification import feed
from services.notification.domain import (
    KAFKA,
    REFERRAL_TYPES,
    Notice,
    NoticeState,
    Subscription,
    entry_of,
    plan_notices,
)
from services.notification.facts import notice_draft, provider_draft
from shared import telemetry
from shared.clock import new_event_id, now
from shared.events import REFERRALS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.notification.notifiers import Desk, Notifier
    from shared.events import Draft, Event
    from shared.outbox import Outbox, Stamp


@dataclass(slots=True)
class Planning:
    """One batch: the subscriptions it may concern, and what was decided."""

    subscriptions: dict[str, list[Subscription]]
    notices: list[Notice] = field(default_factory=list)
    drafts: list[tuple[Draft, Stamp]] = field(default_factory=list)


class KafkaHandler:
    """Appends each entry of a subscribed provider to its topic, and says what became of it."""

    def __init__(
        self, outbox: Outbox, public_url: str, clock: Callable[[], datetime] = now
    ) -> None:
        """Take the outbox, the origin that entries point to, and the clock."""
        self._outbox = outbox
        self._public_url = public_url
        self._clock = clock

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        """Care about every event of one referral."""
        del needs
        return event_type in REFERRAL_TYPES

    async def load(self, conn: AsyncConnection, events: Sequence[Event]) -> Planning:
        """Read the subscriptions of the providers concerned."""
        providers = {event.data.provider_id for event in events} - {None}
        return Planning(await feed.list_subscribers(conn, providers, KAFKA) if providers else {})

    def decide(self, state: Planning, event: Event, stamp: Stamp) -> None:
        """Decide whether its provider is told of it, or why not."""
        entry = entry_of(event)
        if entry is None:
            return
        subscriptions = state.subscriptions.get(entry.organisation, ())
        for planned in plan_notices(entry, subscriptions, stamp.at, new_event_id):
            told = planned.reason is None
            notice = replace(planned, state=NoticeState.SENT) if told else planned
            state.notices.append(notice)
            if told:
                draft = provider_draft(entry, self._public_url)
                state.drafts.append((draft, replace(stamp, at=entry.happened_at)))
            ended = notice_draft(
                KAFKA,
                notice_id=notice.id,
                subscription_id=notice.subscription_id,
                entry=entry,
                state=notice.state,
                attempt=1 if told else 0,
                reason=notice.reason,
            )
            state.drafts.append((ended, stamp))

    async def flush(self, conn: AsyncConnection, state: Planning) -> None:
        """Store what was told, with the events for the providers' topics."""
        if not state.notices:
            return
        feed.insert_notices(conn, KAFKA, state.notices, self._clock())
        await self._outbox.append(conn, state.drafts)
        for notice in state.notices:
            telemetry.NOTICES.labels(KAFKA, str(notice.state)).inc()


class KafkaNotifier:
    """The notifier: all of it is its consumer, for the relay sends."""

    name: Final = KAFKA
    topics: Final = (REFERRALS,)
    guards: Final = False

    def __init__(self, desk: Desk) -> None:
        """Wire the handler."""
        service = desk.service
        self.handler = KafkaHandler(service.outbox, service.settings.public_url)

    def wake(self) -> None:
        """Do nothing: the consumer wakes the relay itself."""

    async def run(self) -> None:
        """Do nothing until cancelled."""
        await asyncio.Event().wait()


def make_notifier(desk: Desk) -> Notifier:
    """Make the Kafka notifier."""
    return KafkaNotifier(desk)
