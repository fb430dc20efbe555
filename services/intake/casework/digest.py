"""A supervisor's digest: once a shift how much waits for one, in place of a notice for each thing.

What is at T0 is never in it: that is paged. With nothing that waits there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from services.intake.casework.course import bare
from services.intake.casework.roster import roster_at
from services.intake.casework.rules import rules_on
from services.intake.casework.tasks import SUPERVISOR
from shared.clock import DHAKA, now
from shared.events import CASES, DigestFacts, Draft
from shared.lean import text
from shared.outbox import Stamp
from shared.timers import TimerKind, schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.intake.casework.roster import Duty
    from shared.outbox import Outbox
    from shared.timers import Timer

KIND: Final = "digest"
"""The one timer of this kind has the subject `intake`."""

ACTOR: Final = "service:intake.digest"


def next_digest(at: datetime, hours: Sequence[int]) -> datetime:
    """Return when the next digest is due after a time; `hours` are of the clock in Dhaka."""
    today = at.astimezone(DHAKA).replace(hour=0, minute=0, second=0, microsecond=0)
    times = [today + timedelta(days=day, hours=hour) for day in (0, 1) for hour in sorted(hours)]
    return next(time for time in times if time > at)


def who_gets_one(roster: Sequence[tuple[UUID, Duty]]) -> list[tuple[UUID, Duty]]:
    """Return the entries of supervisors on duty, one a person; who only looks at the desk has none.

    Whoever is on duty for all districts hears of all.
    """
    found: dict[str, tuple[UUID, Duty]] = {}
    for duty_id, duty in sorted(roster, key=lambda entry: entry[1].district is not None):
        if duty.level == SUPERVISOR and duty.way != "desk":
            found.setdefault(duty.person, (duty_id, duty))
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Digest:
    """Makes the digests of a shift, by its timer."""

    outbox: Outbox
    clock: Callable[[], datetime] = now

    def timer(self) -> TimerKind:
        """Make the timer; it sets itself again."""

        async def fire(conn: AsyncConnection, timer: Timer) -> None:
            at = self.clock()
            for duty_id, duty in who_gets_one(await roster_at(conn, at)):
                facts = await count_for(conn, duty)
                if facts.waiting:
                    draft = Draft(CASES, "digest-due", str(duty_id), facts)
                    await self.outbox.append(conn, [(draft, Stamp(at, ACTOR))])
            await schedule(conn, KIND, timer.subject, next_digest(at, rules_on(at).digest_hours))

        return TimerKind(KIND, fire)

    async def begin(self, engine: AsyncEngine) -> None:
        """See to it that the timer is set."""
        at = self.clock()
        async with engine.begin() as conn:
            await conn.execute(
                text(
                    "INSERT INTO timers (id, kind, subject, due_at) VALUES"
                    " (gen_random_uuid(), :k, 'intake', :at) ON CONFLICT DO NOTHING"
                ),
                {"k": KIND, "at": next_digest(at, rules_on(at).digest_hours)},
            )


async def count_for(conn: AsyncConnection, duty: Duty) -> DigestFacts:
    """Count what nobody took and is before a supervisor, in a district or in all.

    Nothing of a case that excludes this person, and nothing at T0.
    """
    rows = await conn.execute(
        text(
            "SELECT count(*) AS waiting, count(*) FILTER (WHERE t.urgency = 'T1') AS soon"
            " FROM tasks t JOIN cases c USING (case_id) WHERE t.state = 'open' AND t.level = :l"
            " AND t.urgency IS DISTINCT FROM 'T0'"
            " AND (CAST(:d AS text) IS NULL OR c.facts ->> 'district' = :d)"
            " AND NOT coalesce(c.facts -> 'excluded' ?| CAST(:names AS text[]), false)"
        ),
        {"l": SUPERVISOR, "d": duty.district, "names": [duty.person, bare(duty.person)]},
    )
    row = rows.one()
    return DigestFacts(to=duty.person, waiting=row.waiting, soon=row.soon)
