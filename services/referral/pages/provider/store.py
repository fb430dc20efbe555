"""SQL of a provider's pages: what waits for its answer, what goes on, what ended.

Read as the web role in the caller's scope, so that row-level security says what is seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.referral.store import referral_in
from shared.lean import text

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.referral.referral import Referral

MOST: Final = 200
"""Open referrals on one page; a provider with more sees the most urgent."""

RECENT: Final = 50
"""Ended referrals on one page."""

_UNHEARD: Final = (
    "(state IN ('withdrawn', 'entered_in_error') AND NOT acknowledged"
    " AND body ->> 'withdrawn_at' IS NOT NULL)"
)
_OPEN: Final = "state IN ('assigned', 'accepted', 'waitlisted', 'in_service', 'on_hold')"
_MINE: Final = "provider_id = :provider AND feed_seq IS NOT NULL AND NOT test"


async def list_open(conn: AsyncConnection, provider_id: str) -> list[Referral]:
    """Return what the provider must answer, goes on with, or must say it heard the end of.

    The most urgent first, then whose answer is due first.
    """
    rows = await conn.execute(
        text(
            f"SELECT body FROM referrals WHERE {_MINE} AND ({_OPEN} OR {_UNHEARD})"  # noqa: S608
            " ORDER BY urgency, answer_by NULLS LAST, changed_at LIMIT :n"
        ),
        {"provider": provider_id, "n": MOST},
    )
    return [referral_in(row) for row in rows]


async def list_ended(conn: AsyncConnection, provider_id: str) -> list[Referral]:
    """Return the latest of the provider's referrals that ended, the newest first."""
    rows = await conn.execute(
        text(
            f"SELECT body FROM referrals WHERE {_MINE} AND NOT {_OPEN} AND NOT {_UNHEARD}"  # noqa: S608
            " ORDER BY feed_seq DESC LIMIT :n"
        ),
        {"provider": provider_id, "n": RECENT},
    )
    return [referral_in(row) for row in rows]
