"""What intake tells people of operations: what nobody opened, what waits for a person, erasures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from services.intake import store
from services.intake.channels import NAMES
from shared import telemetry
from shared.operations.figures import Block, Figure, Row
from shared.pages.words import N_

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

_ERASURES: Final = text("""
SELECT count(*) FILTER (WHERE erased_at IS NULL) AS proposed,
  min(proposed_at) FILTER (WHERE erased_at IS NULL) AS since,
  count(*) FILTER (WHERE erased_at IS NOT NULL AND listed_at IS NULL) AS unlisted,
  count(*) FILTER (WHERE erased_at > CAST(:at AS timestamptz) - interval '30 days') AS done
FROM erasures
""")
_TASKS: Final = text("""
SELECT kind, urgency, count(*) AS n, min(opened_at) AS since FROM tasks
WHERE state <> 'done' AND level <> 'safeguarding_focal_person'
GROUP BY kind, urgency ORDER BY urgency NULLS LAST, n DESC LIMIT 20
""")
_REPLIES: Final = text("""
SELECT count(*) FILTER (WHERE state IN ('planned', 'sending')) AS waiting,
  count(*) FILTER (WHERE state NOT IN ('planned', 'sending', 'sent')
    AND send_before > CAST(:at AS timestamptz) - interval '1 day') AS lost
FROM replies
""")


async def look(conn: AsyncConnection, at: datetime) -> list[Block]:
    """Return what waits here; never of whom."""
    waiting = await store.count_waiting(conn, at)
    erased = (await conn.execute(_ERASURES, {"at": at})).one()
    replies = (await conn.execute(_REPLIES, {"at": at})).one()
    tasks = tuple(
        Row((("", row.kind.replace("_", " ")), ("urgency", row.urgency or "–")), row.n, row.since)
        for row in await conn.execute(_TASKS)
    )
    return [
        Block(
            N_("Reports"),
            (
                Figure(N_("Reports without a case, overdue"), waiting.unopened, care=True),
                Figure(
                    N_("Minutes that danger waits unseen"), int(waiting.t0_unseen // 60), care=True
                ),
                Figure(N_("Failures of channels since the start"), _failures(), care=True),
                Figure(N_("Replies that wait"), replies.waiting),
                Figure(N_("Replies that were not sent, one day"), replies.lost, care=True),
            ),
        ),
        Block(
            N_("Before the desk"),
            heads=(N_("What"), N_("Urgency"), N_("How many")),
            rows=tasks,
        ),
        Block(
            N_("Erasures"),
            (
                Figure(N_("Wait for the second person"), erased.proposed, since=erased.since),
                Figure(N_("Not yet in the list outside the database"), erased.unlisted, care=True),
                Figure(N_("Done in 30 days"), erased.done),
            ),
        ),
    ]


def _failures() -> int:
    """Return what channels of this process could not do, as the metric counts it."""
    counted = (
        telemetry.REGISTRY.get_sample_value("pashe_channel_failures_total", {"channel": name})
        for name in NAMES
    )
    return int(sum(one or 0 for one in counted))
