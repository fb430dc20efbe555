"""`intake.desk`: brings what referrals, notices and cases need from a person before a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID

from services.intake import store as cases
from services.intake.casework import store
from services.intake.casework.desk import carry_out
from services.intake.casework.paging import PAGE_TIMER
from services.intake.casework.paging_store import page_now
from services.intake.casework.review import CLOSED, Attempt, is_review_due, mark_review_due
from services.intake.casework.rules import rules_on
from services.intake.casework.tasks import (
    Orders,
    after_case,
    after_erasure,
    after_notice,
    after_parking,
    after_referral,
    asks_nobody,
    most_urgent,
    was_not_reached,
    without_going_out,
)
from services.intake.contacts.workers_store import without_worker
from services.intake.figures import count_stage
from shared.clock import now
from shared.errors import RecordInvalid
from shared.events import DATA_TYPES, EventParked, NoticeFacts, ReferralFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.events import CaseFacts, Draft, Event
    from shared.outbox import Outbox, Stamp

WANTED: Final = frozenset(
    name
    for name, kind in DATA_TYPES.items()
    if kind in (ReferralFacts, NoticeFacts, EventParked) and name != "subscription-disabled"
)
"""Event types that may put something on the desk or take it off."""

STAGES: Final = {
    "referral-assigned": "assigned",
    "referral-accepted": "accepted",
    "first-contact-made": "first_contact",
    "service-delivered": "delivered",
}
"""Events of a referral whose time since the report is counted."""


@dataclass(slots=True)
class Desk:
    """What was locked and read, and what was decided.

    `unmanned`: referrals with a notice to workers whom their provider does not have here.
    """

    facts: dict[UUID, CaseFacts]
    attempts: dict[UUID, dict[UUID, Attempt]]
    unmanned: set[UUID]
    orders: list[tuple[UUID, Orders]] = field(default_factory=list)
    tracked: dict[UUID, tuple[UUID, Attempt]] = field(default_factory=dict)
    changed: dict[UUID, CaseFacts] = field(default_factory=dict)
    unreached: set[tuple[UUID, UUID]] = field(default_factory=set)
    drafts: list[tuple[Draft, Stamp]] = field(default_factory=list)
    received: dict[UUID, datetime] = field(default_factory=dict)
    reached: list[tuple[str, str, timedelta]] = field(default_factory=list)


class DeskHandler:
    """Opens and ends tasks, and marks a case for review when its last referral is final."""

    def __init__(self, outbox: Outbox, clock: Callable[[], datetime] = now) -> None:
        """Take the outbox of the service, and the clock that tasks are opened by."""
        self._outbox = outbox
        self._clock = clock

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        """Care about everything that may need a person."""
        del needs
        return event_type in WANTED

    async def load(self, conn: AsyncConnection, events: Sequence[Event]) -> Desk:
        """Lock the cases in order of id; read their referrals and who is on duty."""
        ids = sorted({case_id for event in events if (case_id := _case_id(event)) is not None})
        facts, attempts = await cases.lock_facts(conn, ids), await store.attempts_of(conn, ids)
        asked = {
            about
            for event in events
            if isinstance(event.data, NoticeFacts)
            and asks_nobody(event.data)
            and (about := event.data.referral_id) is not None
        }
        unmanned = await without_worker(conn, asked) if asked else set()
        state = Desk(facts, attempts, unmanned)
        if any(event.type in STAGES for event in events):
            state.received = await store.received_of(conn, ids)
        return state

    def decide(self, state: Desk, event: Event, stamp: Stamp) -> None:
        """Decide what the event puts on the desk or takes off it.

        Raises:
            RecordInvalid: its subject is no case.

        """
        case_id = _case_id(event)
        if case_id is None:
            raise RecordInvalid("invalid-subject", "the subject is a case id")
        data = event.data
        facts = state.facts.get(case_id)
        if facts is not None and facts.status == "erased":
            if isinstance(data, ReferralFacts):
                state.orders.append((case_id, after_erasure(event.type, data)))
            return
        if isinstance(data, ReferralFacts):
            orders = after_referral(event.type, data, rules_on(event.time).told_beside)
            if facts is not None and facts.status == CLOSED:
                orders = without_going_out(orders)
            since = state.received.get(case_id)
            if event.type in STAGES and since is not None and not data.test:
                state.reached.append((STAGES[event.type], data.urgency, event.time - since))
            self._track(state, case_id, data, stamp)
        elif isinstance(data, NoticeFacts):
            if asks_nobody(data) and data.referral_id in state.unmanned:
                return
            orders = after_notice(event.type, data, _urgency(state, case_id))
            if was_not_reached(event.type, data):
                state.unreached.add((case_id, data.about_event))
        else:
            orders = after_parking(data.consumer, data.cause, _urgency(state, case_id))
        state.orders.append((case_id, orders))

    @staticmethod
    def _track(state: Desk, case_id: UUID, data: ReferralFacts, stamp: Stamp) -> None:
        known = state.attempts.setdefault(case_id, {})
        old = known.get(data.referral_id)
        if old is not None and old.version >= data.version:
            return
        attempt = Attempt(
            data.referral_id,
            data.need,
            data.attempt,
            data.state,
            data.how_much,
            data.urgency,
            data.version,
            data.provider_id,
        )
        known[data.referral_id] = attempt
        state.tracked[data.referral_id] = (case_id, attempt)
        facts = state.facts.get(case_id)
        if facts is not None and is_review_due(facts, known.values()):
            new, draft = mark_review_due(case_id, facts)
            state.facts[case_id] = state.changed[case_id] = new
            state.drafts.append((draft, stamp))
            state.orders.append((case_id, after_case("case-updated", new)))

    async def flush(self, conn: AsyncConnection, state: Desk) -> None:
        """Store tasks, what is known of referrals, and cases that are due for review."""
        await store.save_attempts(conn, list(state.tracked.values()))
        orders = [(case_id, order, state.facts.get(case_id)) for case_id, order in state.orders]
        await carry_out(conn, orders, by="service:intake.desk", at=self._clock())
        cases.save_cases(conn, sorted(state.changed.items()))
        if state.unreached:
            await page_now(conn, PAGE_TIMER, state.unreached, self._clock())
        await self._outbox.append(conn, state.drafts)
        for reached in state.reached:
            count_stage(*reached)


def _case_id(event: Event) -> UUID | None:
    try:
        return UUID(event.subject)
    except ValueError:
        return None


def _urgency(state: Desk, case_id: UUID) -> str | None:
    """Return the urgency of a case: its own, or its open referrals' where that is more."""
    facts = state.facts.get(case_id)
    referrals = [a.urgency for a in state.attempts.get(case_id, {}).values() if a.open]
    return most_urgent([facts.urgency if facts else None, *referrals])
