"""What referral tells people of operations: what nobody answers, who must still acknowledge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.lean import text
from shared.operations.figures import Block, Figure, Row
from shared.pages.words import N_

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

_STATES: Final = text("""
SELECT state, count(*) AS n FROM referrals WHERE NOT test AND state IN
  ('planned', 'waiting', 'assigned', 'accepted', 'waitlisted', 'in_service', 'on_hold')
GROUP BY state ORDER BY n DESC
""")
_LATE: Final = text("""
SELECT provider_id, need, urgency, count(*) AS n, min(answer_by) AS since FROM referrals
WHERE NOT test AND state IN ('assigned', 'accepted') AND answer_by < :at
GROUP BY provider_id, need, urgency ORDER BY urgency, since LIMIT 30
""")
_UNHEARD: Final = text("""
SELECT provider_id, count(*) AS n, min(CAST(body ->> 'withdrawn_at' AS timestamptz)) AS since
FROM referrals WHERE NOT test AND state IN ('withdrawn', 'entered_in_error')
  AND NOT acknowledged AND provider_id IS NOT NULL
GROUP BY provider_id ORDER BY since NULLS LAST LIMIT 30
""")


async def look(conn: AsyncConnection, at: datetime) -> list[Block]:
    """Return what is silent here: needs, urgencies and keys of providers, never of whom."""
    states = {row.state: row.n for row in await conn.execute(_STATES)}
    late = [
        Row(
            (("", row.provider_id or "–"), ("need", row.need), ("urgency", row.urgency)),
            row.n,
            row.since,
        )
        for row in await conn.execute(_LATE, {"at": at})
    ]
    unheard = [
        Row((("", row.provider_id),), row.n, row.since) for row in await conn.execute(_UNHEARD)
    ]
    return [
        Block(
            N_("Answers that are late"),
            (Figure(N_("Late answers"), sum(row.count for row in late), care=True),),
            heads=(N_("Place of help"), N_("Need"), N_("Urgency"), N_("How many")),
            rows=tuple(late),
        ),
        Block(
            N_("Withdrawals that nobody acknowledged"),
            (Figure(N_("Not acknowledged"), sum(row.count for row in unheard), care=True),),
            heads=(N_("Place of help"), N_("How many")),
            rows=tuple(unheard),
        ),
        Block(
            N_("Where referrals are"),
            (Figure(N_("Nobody serves"), states.get("waiting", 0), care=True),),
            heads=(N_("State"), N_("How many")),
            rows=tuple(Row((("state", state),), n) for state, n in states.items()),
        ),
    ]
