"""SQL that counts how offers did for each need, for the ranking: served, waited, and how many."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from shared.lean import text

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

WINDOW: Final = timedelta(days=180)
"""How far back referrals count for success and wait."""

RECENT: Final = timedelta(days=30)
"""How far back they count for fairness."""

_LOCK: Final = "referral.records"

_REFRESH: Final = text("""
WITH sent AS (
  SELECT offer_id, need, state, created_at,
    CAST(body ->> 'assigned_at' AS timestamptz) AS assigned,
    CAST(body ->> 'first_contact_at' AS timestamptz) AS met
  FROM referrals WHERE offer_id IS NOT NULL AND NOT test AND created_at > :since
), counted AS (
  SELECT offer_id, need,
    count(*) FILTER (WHERE state IN ('delivered', 'in_service')) AS served,
    count(*) FILTER (WHERE state IN ('delivered', 'in_service', 'declined', 'expired', 'failed'))
      AS ended,
    coalesce(round(CAST(extract(epoch FROM avg(met - assigned)) / 3600 AS numeric), 1), 0) AS waits,
    count(*) FILTER (WHERE created_at > :recent) AS recent
  FROM sent GROUP BY offer_id, need
), told AS (
  SELECT offer_id, jsonb_object_agg(need, jsonb_build_object('served', served, 'ended', ended,
    'wait_hours', greatest(waits, 0), 'recent', recent)) AS records
  FROM counted GROUP BY offer_id
), news AS (
  SELECT o.offer_id, t.records FROM offers o LEFT JOIN told t USING (offer_id)
  WHERE o.records IS DISTINCT FROM t.records ORDER BY o.offer_id FOR UPDATE OF o
)
UPDATE offers o SET records = news.records FROM news WHERE o.offer_id = news.offer_id
""")


async def refresh_records(conn: AsyncConnection, at: datetime) -> int:
    """Count anew, in the caller's transaction; return how many offers changed.

    Nothing is done while another process does it.
    """
    mine = await conn.scalar(
        text("SELECT pg_try_advisory_xact_lock(hashtextextended(:lock, 0))"), {"lock": _LOCK}
    )
    if not mine:
        return 0
    done = await conn.execute(_REFRESH, {"since": at - WINDOW, "recent": at - RECENT})
    return int(done.rowcount)
