"""Turning 18: the person is asked for a consent of their own, and no service is cut until then.

An age is known in whole years on the day of the report, so that the day is when they surely are 18.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from services.intake.casework.desk import carry_out
from services.intake.casework.tasks import ASK_AT_18, Orders, Task
from services.intake.consent.record import OVERRIDES, TRUSTED_ADULT
from services.intake.store import lock_facts
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.consent.record import Consent

ADULT: Final = 18

AGAIN: Final = timedelta(days=90)
"""After this long without a consent of their own it is asked once more."""

MANY: Final = 500
"""Cases of one day."""

ACTOR: Final = "service:intake.consent"

_TURNED = text("""
SELECT c.case_id FROM cases c JOIN submissions b USING (submission_id)
WHERE c.status IN ('open', 'review_due') AND CAST(c.facts ->> 'age' AS integer) < 18
  AND b.received_at + make_interval(years => 18 - CAST(c.facts ->> 'age' AS integer)) <= :at
  AND EXISTS (SELECT 1 FROM consents a WHERE a.case_id = c.case_id AND a.state = 'current'
    AND (a.given_by <> 'person' OR a.basis = :beside) AND a.basis <> ALL(CAST(:over AS text[])))
  AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.case_id = c.case_id AND t.kind = :kind
    AND (t.state <> 'done' OR t.opened_at > :again))
ORDER BY c.case_id LIMIT :n
""")


def has_turned(old: int | None, new: int | None, since: datetime, at: datetime) -> bool:
    """Say whether a person grew to be 18, as against an age that was not told rightly before."""
    if old is None or new is None or not old < ADULT <= new:
        return False
    return new - old <= (at - since).days // 365 + 1


def by_others(consents: Iterable[Consent]) -> bool:
    """Say whether one of some consents was a caregiver's, or needed an adult beside the child."""
    return any(
        (c.given_by != "person" or c.basis == TRUSTED_ADULT) and c.basis not in OVERRIDES
        for c in consents
    )


async def ask_at_18(conn: AsyncConnection, at: datetime) -> int:
    """Let the desk ask whoever has turned 18 for a consent of their own; return how many."""
    rows = await conn.execute(
        _TURNED,
        {
            "at": at,
            "again": at - AGAIN,
            "beside": TRUSTED_ADULT,
            "over": list(OVERRIDES),
            "kind": ASK_AT_18,
            "n": MANY,
        },
    )
    known = await lock_facts(conn, [row.case_id for row in rows])
    orders = [(case_id, Orders((Task(ASK_AT_18),)), facts) for case_id, facts in known.items()]
    await carry_out(conn, orders, by=ACTOR, at=at)
    return len(orders)
