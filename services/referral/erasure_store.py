"""SQL of erasure: what referral keeps of a person's case beside ids, states and times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncConnection

_THESE = " WHERE referral_id = ANY(CAST(:ids AS uuid[]))"

_BLANK = (
    """body || '{"summary": {}, "provider_reference": null, "outcome": null, "cost": null,"""
    """ "medical_until": null, "milestones": []}'"""
)

_TOLD = "jsonb_set(CAST(body AS jsonb), '{referral,summary}', '{}')::text"
"""What a provider's system was told of the person; number, type and referral stay in the feed."""

_STATEMENTS = (
    f"DELETE FROM explanations{_THESE}",  # noqa: S608  (constants)
    f"DELETE FROM referral_texts{_THESE}",  # noqa: S608
    f"UPDATE feed_entries SET body = {_TOLD}{_THESE}",  # noqa: S608
    f"UPDATE referrals SET body = {_BLANK}{_THESE}",  # noqa: S608
)


async def erase_referrals(conn: AsyncConnection, cases: Collection[str]) -> None:
    """Erase explanations, texts and summaries of the referrals of cases; ids and states stay."""
    rows = await conn.execute(
        text("SELECT referral_id FROM referrals WHERE case_id = ANY(CAST(:c AS uuid[]))"),
        {"c": sorted(cases)},
    )
    ids = [row.referral_id for row in rows]
    if ids:
        for statement in _STATEMENTS:
            await conn.execute(text(statement), {"ids": ids})
