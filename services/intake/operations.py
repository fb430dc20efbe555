"""What intake tells people of operations: what nobody opened, what waits for a person, erasures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.intake.pages.desk.names import TASKS
from shared.lean import text
from shared.metrics import total
from shared.operations.figures import Block, Figure, Row
from shared.pages.words import N_

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

TEXTS: Final = (Path(__file__).parent / "pages" / "desk",)
"""Where what is before the desk has its words."""

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
_UNSEEN: Final = text("""
SELECT coalesce(extract(epoch FROM CAST(:at AS timestamptz) - min(s.received_at)), 0)
FROM cases c JOIN submissions s USING (submission_id)
WHERE c.facts ->> 'urgency' = 'T0' AND c.status = 'open' AND s.seen_at IS NULL AND NOT s.test
""")
_UNOPENED: Final = text(
    "SELECT count(*) FROM submissions WHERE state = 'received' AND open_at <= :at"
)
_REPLIES: Final = text("""
SELECT count(*) FILTER (WHERE state IN ('planned', 'sending')) AS waiting,
  count(*) FILTER (WHERE state NOT IN ('planned', 'sending', 'sent')
    AND send_before > CAST(:at AS timestamptz) - interval '1 day') AS lost
FROM replies
""")


async def look(conn: AsyncConnection, at: datetime) -> list[Block]:
    """Return what waits here; never of whom."""
    unseen = float(await conn.scalar(_UNSEEN, {"at": at}) or 0)
    unopened = int(await conn.scalar(_UNOPENED, {"at": at}) or 0)
    failures = int(total("pashe_channel_failures_total") or 0)
    erased = (await conn.execute(_ERASURES, {"at": at})).one()
    replies = (await conn.execute(_REPLIES, {"at": at})).one()
    tasks = tuple(
        Row((("text", TASKS.get(row.kind, row.kind)), _urgency(row.urgency)), row.n, row.since)
        for row in await conn.execute(_TASKS)
    )
    return [
        Block(
            N_("Reports"),
            (
                Figure(N_("Reports without a case, overdue"), unopened, care=True),
                Figure(N_("Minutes that danger waits unseen"), int(unseen // 60), care=True),
                Figure(N_("Failures of channels since the start"), failures, care=True),
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


def _urgency(code: str | None) -> tuple[str, str]:
    return ("urgency", code) if code else ("text", "–")
