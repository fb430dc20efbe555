"""The end of a consent: a timer takes it back, as a person would (SAFETY 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from services.intake import store as cases
from services.intake.casework.desk import carry_out
from services.intake.casework.tasks import ASK_AT_18, Orders, Task
from services.intake.consent import store
from services.intake.consent.gate import still_counts
from services.intake.consent.of_age import by_others
from services.intake.consent.record import narrows, state_of
from shared.clock import day_of, now
from shared.events import CASES, Draft
from shared.outbox import Stamp
from shared.timers import Timer, TimerKind, cancel_many, schedule_many

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.consent.record import Consent
    from shared.events import CaseFacts
    from shared.outbox import Outbox

KIND: Final = "consent-expiry"
"""Timers by this name have a consent's id as their subject and its case in the payload."""

ACTOR: Final = "service:intake.consent"


async def keep_consents(conn: AsyncConnection, given: Sequence[tuple[UUID, Consent]]) -> None:
    """Store consents, each with the timer of its end if it has one."""
    store.add_consents(conn, given)
    due = {
        str(c.consent_id): (c.expires_at, {"case_id": str(case_id)})
        for case_id, c in given
        if c.expires_at is not None
    }
    await schedule_many(conn, KIND, due)


async def look_again(
    conn: AsyncConnection,
    case_id: UUID,
    facts: CaseFacts,
    stamp: Stamp,
    *,
    turned: bool = False,
) -> tuple[CaseFacts, list[tuple[Draft, Stamp]]]:
    """End the consents that do not count at the age a case has now; return its facts, and events.

    The caller has locked the case and stores the facts. `turned`: the person grew to be 18. Then
    they are asked for a consent of their own, and what others gave holds until it ends.
    """
    old = await store.consents_of(conn, case_id)
    if turned:
        if by_others(old):
            order = Orders((Task(ASK_AT_18, urgency=facts.urgency),))
            await carry_out(conn, [(case_id, order, facts)], by=stamp.actor, at=stamp.at)
        return facts, []
    day = day_of(stamp.at)
    left = [c for c in old if still_counts(c.given_by, c.basis, facts.age, day)]
    if len(left) == len(old):
        return facts, []
    ended = [c.consent_id for c in old if c not in left]
    await store.end_consents(conn, ended, "changed", stamp.actor, stamp.at)
    await cancel_many(conn, KIND, [str(key) for key in ended])
    new = msgspec.structs.replace(facts, consent=state_of(left))
    if not narrows(old, left):
        return new, []
    told = msgspec.structs.replace(new, reason="changed")
    draft = Draft(CASES, "consent-withdrawn", str(case_id), told, tuple(new.needs))
    return new, [(draft, stamp)]


def make_timer(outbox: Outbox, clock: Callable[[], datetime] = now) -> TimerKind:
    """Make the timer that ends consents, whose end is an event as a withdrawal is."""

    def case_of(timer: Timer) -> UUID:
        return UUID(str(timer.payload["case_id"]))

    async def lock(conn: AsyncConnection, timer: Timer) -> None:
        await cases.lock_case(conn, case_of(timer))

    async def fire(conn: AsyncConnection, timer: Timer) -> None:
        case_id, at = case_of(timer), clock()
        row = await cases.lock_case(conn, case_id)
        old = await store.consents_of(conn, case_id)
        over = [c for c in old if c.expires_at is not None and c.expires_at <= at]
        if row is None or row.facts is None or not over:
            return
        left = [c for c in old if c not in over]
        await store.end_consents(conn, [c.consent_id for c in over], "expired", ACTOR, at)
        facts = msgspec.structs.replace(row.facts, consent=state_of(left))
        cases.save_cases(conn, [(case_id, facts)])
        if narrows(old, left):
            told = msgspec.structs.replace(facts, reason="expired")
            draft = Draft(CASES, "consent-withdrawn", str(case_id), told, tuple(facts.needs))
            await outbox.append(conn, [(draft, Stamp(at, ACTOR))])

    return TimerKind(KIND, fire, lock)
