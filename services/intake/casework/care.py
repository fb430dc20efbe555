"""Care for those who work on cases: how many heavy ones somebody takes on, purely, and by count.

Heavy is a case at T0 or with a concern that the rules name. Over the first number there is a
warning; over the second a supervisor has to say, with a reason, that it is to be.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from services.intake.casework.course import bare
from services.intake.casework.rules import rules_on
from shared.errors import Conflict
from shared.lean import text
from shared.vocabulary import Role, Urgency

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.rules import Exposure
    from shared.access import Caller
    from shared.events import CaseFacts

OVERRIDE: Final = "exposure_override"
"""The reason that an assignment's event carries when a supervisor set the limit aside."""

WARNING: Final = "many_heavy_cases"


class Heavy(NamedTuple):
    """How many heavy cases somebody took on in a day and in a week."""

    day: int
    week: int


def is_heavy(facts: CaseFacts, rules: Exposure) -> bool:
    """Say whether a case is heavy for whoever works on it."""
    return facts.urgency == Urgency.T0 or not set(rules.concerns).isdisjoint(facts.concerns)


def weigh(rules: Exposure, taken: Heavy, caller: Caller, *, reason: str | None) -> tuple[str, ...]:
    """Say what stands against one heavy case more: nothing, a warning, or an override.

    Raises:
        Conflict: it is too many, and no supervisor gave a reason.

    """
    day, week = taken.day + 1, taken.week + 1
    if day > rules.day.refuse or week > rules.week.refuse:
        if caller.role is not Role.SUPERVISOR or not reason:
            raise Conflict(
                "too many heavy cases for one person: a supervisor can say why it is to be",
                rule="exposure",
                day=taken.day,
                week=taken.week,
            )
        return (OVERRIDE,)
    return (WARNING,) if day > rules.day.warn or week > rules.week.warn else ()


_TAKEN: Final = text(
    "SELECT count(DISTINCT c.case_id) FILTER (WHERE s.at > :day) AS day,"
    " count(DISTINCT c.case_id) AS week FROM case_steps s JOIN cases c USING (case_id)"
    " WHERE s.at > :week AND s.kind IN ('assign', 'claim') AND c.case_id <> :case"
    " AND regexp_replace(coalesce(s.detail ->> 'worker', s.by), '^.*:', '') = :who"
    " AND (c.facts ->> 'urgency' = 'T0' OR c.facts -> 'concerns' ?| CAST(:concerns AS text[]))"
)


async def taken_by(conn: AsyncConnection, who: str, case_id: UUID, at: datetime) -> Heavy:
    """Count the heavy cases, without this one, that somebody took on; one count at a time."""
    name = bare(who)
    await conn.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:n, 0))"), {"n": f"exposure {name}"}
    )
    rows = await conn.execute(
        _TAKEN,
        {
            "who": name,
            "case": case_id,
            "day": at - timedelta(days=1),
            "week": at - timedelta(weeks=1),
            "concerns": list(rules_on(at).exposure.concerns),
        },
    )
    row = rows.one()
    return Heavy(row.day, row.week)
