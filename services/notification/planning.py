"""The handler of every notifier to people: what an event gives rise to, stored with the offset."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from services.notification import person_store
from services.notification.domain import NoticeId, NoticeState
from services.notification.facts import person_draft
from services.notification.person_store import PersonNotice
from services.notification.policy import Reason, plan
from shared import telemetry
from shared.clock import new_event_id, now
from shared.errors import RecordInvalid
from shared.events import DigestFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.notification.policy import Policy
    from shared.events import CaseFacts, Draft, Event, ReferralFacts
    from shared.outbox import Outbox, Stamp


@dataclass(slots=True)
class Planning:
    """One batch: what is to be told, and what is withheld already."""

    notices: list[PersonNotice] = field(default_factory=list)
    drafts: list[tuple[Draft, Stamp]] = field(default_factory=list)


class PersonHandler:
    """Plans a notice for each recipient that the table names at an event."""

    def __init__(
        self,
        policy: Policy,
        outbox: Outbox,
        *,
        notifier: str,
        carried: bool,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Take the table, the outbox, who plans, whether it can send at all, and the clock."""
        self._policy = policy
        self._events = policy.events(notifier)
        self._outbox = outbox
        self._notifier = notifier
        self._carried = carried
        self._clock = clock

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        """Care about the events that a row of the table names."""
        del needs
        return event_type in self._events

    async def load(self, conn: AsyncConnection, events: Sequence[Event]) -> Planning:
        """Read nothing: whether and how a person may be reached is asked at the time of sending."""
        del conn, events
        return Planning()

    def decide(self, state: Planning, event: Event, stamp: Stamp) -> None:
        """Decide who is to be told, and who is not and why."""
        facts: ReferralFacts | CaseFacts | DigestFacts = event.data
        digest = facts if isinstance(facts, DigestFacts) else None
        urgency = None if isinstance(facts, DigestFacts) else facts.urgency
        test = False if isinstance(facts, DigestFacts) else facts.test
        try:
            case_id = UUID(event.subject)
        except ValueError:
            raise RecordInvalid("invalid-subject", "its subject is a case id") from None
        for planned in plan(
            self._policy,
            event.type,
            urgency,
            event.time,
            stamp.at,
            test=test,
            notifier=self._notifier,
        ):
            reason = planned.reason
            if reason is None and not self._carried:
                reason = Reason.NO_GATEWAY
            notice = PersonNotice(
                id=NoticeId(new_event_id()),
                notifier=self._notifier,
                recipient=planned.recipient,
                case_id=case_id,
                referral_id=getattr(facts, "referral_id", None),
                event_id=event.id,
                type=event.type,
                happened_at=event.time,
                template=planned.template,
                state=NoticeState.WITHHELD if reason else NoticeState.WAITING,
                useful_until=planned.useful_until,
                test=test,
                reason=str(reason) if reason else None,
                traceparent=stamp.traceparent or event.traceparent,
                waiting=digest.waiting if digest else None,
                soon=digest.soon if digest else None,
            )
            state.notices.append(notice)
            if reason:
                state.drafts.append((person_draft(notice), stamp))

    async def flush(self, conn: AsyncConnection, state: Planning) -> None:
        """Store the notices, with the events of those that are withheld."""
        if not state.notices:
            return
        await person_store.insert(conn, state.notices, self._clock())
        await self._outbox.append(conn, state.drafts)
        if state.drafts:
            telemetry.NOTICES.labels(self._notifier, str(NoticeState.WITHHELD)).inc(
                len(state.drafts)
            )
