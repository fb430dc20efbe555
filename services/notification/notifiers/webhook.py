"""`notification.webhook`: tells providers' systems by Standard Webhooks what their feeds hold."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from services.notification import feed
from services.notification.dispatch import Dispatch
from services.notification.domain import (
    REFERRAL_TYPES,
    WEBHOOK,
    Entry,
    Notice,
    NoticeState,
    Subscription,
    entry_of,
    plan_notices,
)
from services.notification.facts import notice_draft
from services.notification.gaps import Gaps
from services.notification.webhook_worker import WebhookWorker
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
    entries: list[Entry] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    drafts: list[tuple[Draft, Stamp]] = field(default_factory=list)


class WebhookHandler:
    """Puts each referral event into its provider's feed, with a notice a subscription."""

    def __init__(self, outbox: Outbox, clock: Callable[[], datetime] = now) -> None:
        """Take the outbox for what is withheld, and the clock."""
        self._outbox = outbox
        self._clock = clock

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        """Care about every event of one referral: the feed must have no gaps of our making."""
        del needs
        return event_type in REFERRAL_TYPES

    async def load(self, conn: AsyncConnection, events: Sequence[Event]) -> Planning:
        """Read the subscriptions of the providers concerned."""
        providers = {event.data.provider_id for event in events} - {None}
        return Planning(await feed.list_subscribers(conn, providers, WEBHOOK) if providers else {})

    def decide(self, state: Planning, event: Event, stamp: Stamp) -> None:
        """Decide who is told, and who is not and why."""
        entry = entry_of(event)
        if entry is None:
            return
        planned = plan_notices(
            entry, state.subscriptions.get(entry.organisation, ()), stamp.at, new_event_id
        )
        state.entries.append(entry)
        state.notices += planned
        state.drafts += [
            (
                notice_draft(
                    WEBHOOK,
                    notice_id=notice.id,
                    subscription_id=notice.subscription_id,
                    entry=entry,
                    state=notice.state,
                    attempt=0,
                    reason=notice.reason,
                ),
                stamp,
            )
            for notice in planned
            if notice.state is NoticeState.WITHHELD
        ]

    async def flush(self, conn: AsyncConnection, state: Planning) -> None:
        """Store entries and notices, and make the subscriptions due."""
        if not state.entries:
            return
        at = self._clock()
        late = await feed.insert_entries(conn, state.entries, at)
        if state.notices:
            feed.insert_notices(conn, WEBHOOK, state.notices, at)
        waiting = [n.subscription_id for n in state.notices if n.state is NoticeState.WAITING]
        feed.call_up(conn, (e.organisation for e in state.entries), waiting, at)
        await self._outbox.append(conn, state.drafts)
        telemetry.FEED_LATE.inc(late)
        if state.drafts:
            telemetry.NOTICES.labels(WEBHOOK, str(NoticeState.WITHHELD)).inc(len(state.drafts))


class WebhookNotifier:
    """The notifier: the handler of its group, and the worker that sends."""

    name: Final = WEBHOOK
    topics: Final = (REFERRALS,)
    guards: Final = True

    def __init__(self, desk: Desk) -> None:
        """Wire the handler and the worker."""
        service = desk.service
        self.handler = WebhookHandler(service.outbox)
        dispatch = Dispatch(
            service.flow, service.outbox, desk.settings, service.settings.replica, now
        )
        self._worker = WebhookWorker(
            dispatch=dispatch,
            outbound=desk.outbound,
            sealer=desk.sealer,
            public_url=service.settings.public_url,
            clock=now,
            wake_relay=service.waker.wake,
        )
        self._gaps = Gaps(
            service.flow,
            f"notification.{WEBHOOK}",
            desk.settings.gap_wait,
            clock=now,
            wake=self._worker.wake,
        )

    def wake(self) -> None:
        """Let the worker look at once."""
        self._worker.wake()

    async def run(self) -> None:
        """Send, and watch over the feeds' gaps, until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._worker.run())
            both.create_task(self._gaps.run())


def make_notifier(desk: Desk) -> Notifier:
    """Make the webhook notifier."""
    return WebhookNotifier(desk)
