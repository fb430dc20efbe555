"""Which closed cases were kept long enough: a list for two persons, never an act of its own."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

_RULES: Final = Path(__file__).with_name("retention.toml")

MANY: Final = 500
"""Cases that are listed at most; the oldest first."""


@dataclass(frozen=True, slots=True)
class Due:
    """A closed case that could be erased; `held`: not before its legal hold is lifted."""

    case_id: UUID
    reason: str | None
    closed_at: datetime
    held: bool


@cache
def load_retention() -> Mapping[str, Any]:
    """Read how long what is kept."""
    return tomllib.loads(_RULES.read_text("utf-8"))


def kept_for(reason: str | None) -> timedelta:
    """Return how long a case is kept after it was closed for a reason; unknown: the longest."""
    rules = load_retention()
    return timedelta(days=rules["days"].get(reason, rules["other"]["days"]))


async def list_due(conn: AsyncConnection, at: datetime) -> list[Due]:
    """List closed cases that were kept long enough at a time; changes nothing: a dry run.

    Of those alone that are in the reach that the transaction was given (`set_reach`).
    """
    shortest = min(kept_for(reason) for reason in load_retention()["days"])
    rows = await conn.execute(
        text(
            "SELECT c.case_id, c.facts ->> 'reason' AS reason, c.changed_at, EXISTS (SELECT 1"
            " FROM holds h WHERE h.case_id = c.case_id AND h.lifted_at IS NULL) AS held"
            " FROM cases c WHERE c.status = 'closed' AND c.changed_at <= :at"
            " AND in_reach(c.facts) ORDER BY c.changed_at"
        ),
        {"at": at - shortest},
    )
    due = [
        Due(row.case_id, row.reason, row.changed_at, row.held)
        for row in rows
        if row.changed_at + kept_for(row.reason) <= at
    ]
    return due[:MANY]
