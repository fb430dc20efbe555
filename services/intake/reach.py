"""Whether a caller may do something with a case of intake: asked before every read and change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.intake import store
from shared.access_rules import Allowed, Matter, Verb, decide, matter_of
from shared.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.store import CaseRow
    from shared.access import Caller


def matter(row: CaseRow, **referral: Any) -> Matter:  # noqa: ANN401  (see `matter_of`)
    """Return what a decision must know of a stored case."""
    return matter_of(row.facts, row.owner, **referral)


def must(
    caller: Caller,
    verb: Verb,
    row: CaseRow | None,
    at: datetime,
    **referral: Any,  # noqa: ANN401  (see `matter_of`)
) -> tuple[CaseRow, Allowed]:
    """Return a case that the caller may do this with; whoever may not learns nothing of it.

    Raises:
        NotFound: there is no such case, or not for this caller; it is not told which.

    """
    if row is None:
        raise NotFound
    decision = decide(caller, verb, matter(row, **referral), at)
    if not isinstance(decision, Allowed):
        raise NotFound
    return row, decision


async def must_reach(
    conn: AsyncConnection, cases: Iterable[UUID], caller: Caller, verb: Verb, at: datetime
) -> None:
    """Refuse what is about cases of which the caller may not reach every one.

    A case that intake does not know speaks against nobody.

    Raises:
        NotFound: as `must`.

    """
    for case_id in cases:
        row = await store.find_case(conn, case_id)
        if row is not None:
            must(caller, verb, row, at)


_OPEN = ("open", "review_due", "submitted")


def shown(row: CaseRow, allowed: Allowed) -> dict[str, Any]:
    """Return a case as the interface reads it: whole, or as a stub.

    A stub says that the report is there and whether its case has ended, and nothing of what came
    of it: no facts, no urgency, no version, no time of the last change.
    """
    if allowed.stub:
        return {
            "case_id": row.case_id,
            "submission_id": row.submission_id,
            "status": "open" if row.status in _OPEN else "closed",
            "stub": True,
        }
    return {
        "case_id": row.case_id,
        "submission_id": row.submission_id,
        "status": row.status,
        "facts": row.facts,
        "version": row.version,
        "changed_at": row.changed_at,
    }
