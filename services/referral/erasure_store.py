"""SQL of erasure: what referral keeps of a person's case beside ids, states and times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from shared.erasure import blank_events, schedule_blanking
from shared.erasure_list import CASE
from shared.events import CaseFacts
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.erasure_list import Line

ERASED_STATUS: Final = "erased"

_THESE = " WHERE referral_id = ANY(CAST(:ids AS uuid[]))"

_BLANK = (
    """body || '{"summary": {}, "provider_reference": null, "outcome": null, "cost": null,"""
    """ "medical_until": null, "milestones": [], "appointments": []}'"""
)

_TOLD = (
    "jsonb_set(jsonb_set(CAST(body AS jsonb), '{referral,summary}', '{}'),"
    " '{referral,appointments}', '[]')::text"
)
"""What a provider's system was told of the person; number, type and referral stay in the feed."""

_STATEMENTS = (
    f"DELETE FROM explanations{_THESE}",  # noqa: S608  (constants)
    f"DELETE FROM referral_texts{_THESE}",  # noqa: S608
    f"UPDATE feed_entries SET body = {_TOLD}{_THESE}",  # noqa: S608
    f"UPDATE referrals SET body = {_BLANK}{_THESE}",  # noqa: S608
)


_CASES: Final = text(
    "UPDATE cases SET status = 'erased', facts = CAST(:facts AS jsonb) || jsonb_build_object("
    "'report_id', facts -> 'report_id', 'channel', facts -> 'channel')"
    " WHERE case_id = CAST(:c AS uuid)"
)


async def erase_again(conn: AsyncConnection, line: Line) -> None:
    """Erase what a database that was put back holds of a case that was erased since.

    Its open referrals end when `case-erased` comes, which intake tells again.
    """
    if line.subject != CASE:
        return
    case = str(line.case_id)
    left = CaseFacts(report_id=line.case_id, channel="", status=ERASED_STATUS)
    await conn.execute(_CASES, {"c": case, "facts": msgspec.json.encode(left).decode()})
    await erase_referrals(conn, [case])
    await blank_events(conn, case)
    await schedule_blanking(conn, [case], line.at)


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
