"""What waits for a person, and how soon people were helped, as metrics from the database.

Kafka or not, an operations person sees it (DECISIONS 15). No label holds more than a kind, a level
or an urgency, and test traffic counts nowhere (SAFETY 30).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from services.intake.casework.rules import rules_on
from shared import telemetry
from shared.clock import now
from shared.lean import text
from shared.metrics import set_known
from shared.timers import Timer, TimerKind, schedule
from shared.vocabulary import Urgency

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

DUE: Final = "reports.due"
"""The one timer of this kind has the subject `intake`; its payload says how far it counted."""

_URGENCIES: Final = frozenset(Urgency)

LOOK: Final = timedelta(seconds=15)
"""Between two counts of the reports whose time is over."""

MEASURE: Final = 5.0
"""Seconds between readings of what waits for a person."""

SELDOM: Final = 60
"""Readings between two countings of who has how many cases."""

AT_ONCE: Final = 2_000
"""Reports counted in one step."""

_UNSEEN: Final = text(
    "SELECT coalesce(extract(epoch FROM :at - min(s.received_at)"
    " FILTER (WHERE s.seen_at IS NULL)), 0) AS unseen,"
    " count(*) FILTER (WHERE EXISTS (SELECT FROM tasks t WHERE t.case_id = c.case_id"
    "   AND t.state = 'open')) AS unclaimed"
    " FROM cases c JOIN submissions s USING (submission_id)"
    " WHERE c.facts ->> 'urgency' = 'T0' AND c.status = 'open' AND NOT s.test"
)
_UNOPENED: Final = text(
    "SELECT count(*) FROM submissions WHERE state = 'received' AND open_at <= :at"
)
_TASKS: Final = text(
    "SELECT kind, coalesce(urgency, 'none') AS urgency, count(*) AS n FROM tasks"
    " WHERE state <> 'done' GROUP BY 1, 2"
)
_DUTY: Final = text(
    "SELECT level, count(DISTINCT person) AS n FROM duty WHERE begins <= :at AND ends > :at"
    " GROUP BY 1"
)
_OVER: Final = text(
    "SELECT count(*) FROM (SELECT 1 FROM cases WHERE status IN ('open', 'review_due')"
    " AND facts #>> '{work,worker}' IS NOT NULL"
    " GROUP BY regexp_replace(facts #>> '{work,worker}', '^.*:', '') HAVING count(*) > :most) w"
)
_SOME: Final = text(
    "SELECT s.seq, s.test, s.received_at, s.seen_at, coalesce(c.facts ->> 'urgency',"
    "   CASE WHEN s.state = 'received' THEN 'T1' END) AS urgency,"  # what nobody opened is urgent
    # LIMIT keeps the planner from hashing all of the table for a few cases, as it does of EXISTS
    " coalesce((SELECT true FROM case_referrals r WHERE r.case_id = c.case_id"
    "   AND r.state NOT IN ('planned', 'waiting') LIMIT 1), false) AS assigned"
    " FROM submissions s LEFT JOIN cases c USING (submission_id)"
    " WHERE s.seq > :after AND s.seq <= (SELECT max(seq) FROM (SELECT seq FROM submissions"
    "   WHERE seq > :after ORDER BY seq LIMIT :most) x) ORDER BY s.seq"
)
_BEGIN: Final = text(
    "INSERT INTO timers (id, kind, subject, due_at) VALUES (gen_random_uuid(), :k, 'intake', :at)"
    " ON CONFLICT DO NOTHING"
)
_LAST: Final = text("SELECT coalesce(max(seq), 0) FROM submissions WHERE received_at <= :at")


def expect() -> None:
    """Say that this process takes these readings."""
    for reading in (telemetry.DESK, telemetry.WORKLOAD, telemetry.LISTED):
        reading.expect()


async def watch(engine: AsyncEngine) -> None:
    """Read for ever; the caseload seldom."""
    turn = 0
    while True:
        async with engine.connect() as conn:
            await measure(conn, now())
            if turn % SELDOM == 0:
                await measure_caseload(conn, now())
        turn += 1
        await asyncio.sleep(MEASURE)


async def measure(conn: AsyncConnection, at: datetime) -> None:
    """Read what waits for a person."""
    t0 = (await conn.execute(_UNSEEN, {"at": at})).one()
    telemetry.T0_UNSEEN.set(float(t0.unseen))
    telemetry.T0_UNCLAIMED.set(t0.unclaimed)
    telemetry.UNOPENED.set(await conn.scalar(_UNOPENED, {"at": at}) or 0)
    tasks = await conn.execute(_TASKS)
    set_known(telemetry.TASKS_OPEN, {(row.kind, row.urgency): row.n for row in tasks})
    duty = await conn.execute(_DUTY, {"at": at})
    set_known(telemetry.DUTY, {(row.level,): row.n for row in duty})
    telemetry.DESK.done()


async def measure_caseload(conn: AsyncConnection, at: datetime) -> None:
    """Count workers with too many open cases; it reads all of those, so do it seldom."""
    most = rules_on(at).open_cases_warning
    telemetry.CASELOAD.set(await conn.scalar(_OVER, {"most": most}) or 0)
    telemetry.WORKLOAD.done()


def count_stage(stage: str, urgency: str | None, since: timedelta) -> None:
    """Count how long after its report a case came so far; one without an urgency counts nowhere."""
    if urgency in _URGENCIES:
        telemetry.STAGE_SECONDS.labels(stage, urgency).observe(max(0.0, since.total_seconds()))


# --- The objective: before a person, or assigned, within the urgency's time ----------------------


def make_timer(clock: Callable[[], datetime] = now) -> TimerKind:
    """Make the timer that counts each report once, when its time is over; it sets itself again.

    How far it counted is in the row: a restart skips nothing, and of several processes one counts.
    What fell due while nothing ran is judged by how it stands then.
    """

    async def fire(conn: AsyncConnection, timer: Timer) -> None:
        at = clock()
        counted: dict[str, int] = {}
        more = False
        for urgency, within in rules_on(at).before_person.items():
            after = timer.payload.get(urgency)
            if after is None:
                after = await conn.scalar(_LAST, {"at": at - within}) or 0
            rows = (await conn.execute(_SOME, {"after": after, "most": AT_ONCE})).all()
            counted[urgency], told = _judge(rows, urgency, within, at, int(after))
            more = more or counted[urgency] > int(after)
            for outcome, count in told.items():
                telemetry.REPORTS_DUE.labels(urgency, outcome).inc(count)
        await schedule(conn, DUE, timer.subject, at if more else at + LOOK, counted)

    return TimerKind(DUE, fire)


def _judge(
    rows: Any,  # noqa: ANN401  (rows have no type of their own)
    urgency: str,
    within: timedelta,
    at: datetime,
    after: int,
) -> tuple[int, Mapping[str, int]]:
    """Judge the reports of an urgency whose time is over, up to the first whose time is not."""
    told: Counter[str] = Counter()
    for row in rows:
        if row.received_at + within > at:
            break
        after = row.seq
        if row.urgency != urgency or row.test:
            continue
        seen = row.seen_at is not None and row.seen_at <= row.received_at + within
        told["in_time" if seen or (row.seen_at is None and row.assigned) else "late"] += 1
    return after, told


async def begin(engine: AsyncEngine, at: datetime) -> None:
    """See to it that the timer is set."""
    async with engine.begin() as conn:
        await conn.execute(_BEGIN, {"k": DUE, "at": at})
