"""Whose history a reader may not read: decided by the newest facts of each case in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.audit import lines
from shared.access_rules import Verb, decide, matter_of
from shared.errors import RecordInvalid
from shared.events import CaseFacts, NewerVersion, decode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.access import Caller


async def refused_of(
    conn: AsyncConnection, caller: Caller, subjects: Iterable[str | None], at: datetime
) -> set[str]:
    """Return those of these subjects of which the caller may read nothing.

    Only what is proven counts, and of a case that the log does not know, or whose events are
    erased, nothing speaks against the reader.
    """
    newest = await lines.newest_cases(conn, {subject for subject in subjects if subject})
    return {
        subject
        for subject, value in newest.items()
        if not decide(caller, Verb.HISTORY, matter_of(_facts(value)), at)
    }


def _facts(value: bytes) -> CaseFacts | None:
    try:
        data = decode(value).data
    except (RecordInvalid, NewerVersion):
        return None
    return data if isinstance(data, CaseFacts) else None
