"""Carries out what a decision wants of the desk, inside the caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.intake import store as cases
from services.intake.casework import store
from services.intake.casework.duty import who_is_told
from services.intake.casework.roster import roster_at
from services.intake.casework.tasks import after_parking
from shared import telemetry
from shared.events import CASES
from shared.parked import tell_of_parked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.tasks import Orders, Task
    from shared.events import CaseFacts
    from shared.outbox import Outbox
    from shared.parked import OnParked


async def carry_out(
    conn: AsyncConnection,
    orders: Iterable[tuple[UUID, Orders, CaseFacts | None]],
    *,
    by: str,
    at: datetime,
) -> None:
    """End and open tasks, each named to whoever is on duty and not excluded by its case.

    However many orders there are, it is one statement for what ends and one for what opens.
    """
    net, facts_of = _net(orders)
    ends = [key for key, task in net.items() if task is None]
    opens = [(key[0], task) for key, task in net.items() if task is not None]
    await store.end_tasks(conn, ends, by, at)
    if not opens:
        return
    roster = [duty for _, duty in await roster_at(conn, at)]
    named = []
    for case_id, task in opens:
        facts = facts_of.get(case_id)
        district, excluded = (facts.district, facts.excluded) if facts else (None, ())
        person = who_is_told(roster, task.level, district, excluded)
        if person is None:
            telemetry.TASKS_UNNAMED.labels(task.level).inc()
        named.append((case_id, task, person))
    await store.open_tasks(conn, named, at)


_Key = tuple["UUID", str | None, "UUID | None"]


def _net(
    orders: Iterable[tuple[UUID, Orders, CaseFacts | None]],
) -> tuple[dict[_Key, Task | None], dict[UUID, CaseFacts | None]]:
    """Return what orders come to in the end: a task to open, or None to end it."""
    net: dict[_Key, Task | None] = {}
    facts_of: dict[UUID, CaseFacts | None] = {}
    for case_id, order, facts in orders:
        facts_of[case_id] = facts
        for kind, about in order.ends:
            if kind is None:  # everything of the case
                net = {key: task for key, task in net.items() if key[0] != case_id}
            net[case_id, kind, about] = None
        for task in order.opens:
            net[case_id, task.kind, task.about] = task
    return net, facts_of


def put_on_desk(outbox: Outbox) -> OnParked:
    """Bring a case before a person at once when intake itself parks an event of it."""
    tell = tell_of_parked(outbox, CASES)

    async def on_parked(
        conn: AsyncConnection, consumer: str, parked: Sequence[tuple[UUID, str]], at: datetime
    ) -> None:
        known = await cases.lock_facts(conn, sorted({case_id for case_id, _ in parked}))
        orders = []
        for case_id, reason in parked:
            facts = known.get(case_id)
            urgency = facts.urgency if facts else None
            orders.append((case_id, after_parking(consumer, reason, urgency), facts))
        await carry_out(conn, orders, by=f"service:{consumer}", at=at)
        await tell(conn, consumer, parked, at)

    return on_parked
