"""SQL of paging: whose name is on an open task, and whether anybody took it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection


async def name_tasks(
    conn: AsyncConnection, case_id: UUID, kinds: Sequence[str], person: str
) -> None:
    """Name open tasks of a case to somebody."""
    await conn.execute(
        text(
            "UPDATE tasks SET named = :p WHERE case_id = :c AND state = 'open'"
            " AND urgency = 'T0' AND kind = ANY(CAST(:k AS text[]))"
        ),
        {"c": case_id, "p": person, "k": list(kinds)},
    )


async def page_now(
    conn: AsyncConnection, kind: str, pages: Collection[tuple[UUID, UUID]], at: datetime
) -> None:
    """Let the timers of pages (case, page) fire at once: whoever was paged was not reached.

    Only of the last page of a case: one before it has been followed by another already.
    """
    found = sorted(pages)
    await conn.execute(
        text(
            "UPDATE timers SET due_at = :at FROM unnest(CAST(:c AS text[]), CAST(:p AS text[]))"
            " AS t (case_id, page) WHERE kind = :k AND subject = t.case_id"
            " AND payload ->> 'page' = t.page AND due_at > :at"
        ),
        {
            "k": kind,
            "c": [str(case_id) for case_id, _ in found],
            "p": [str(page) for _, page in found],
            "at": at,
        },
    )


async def find_paged(conn: AsyncConnection, case_id: UUID, page: UUID | None) -> str | None:
    """Return whom a page of a case was to, None when nobody was.

    The last page stands for one that is not known: an earlier version asks without saying which.
    """
    found: str | None = await conn.scalar(
        text(
            "SELECT detail ->> 'to' FROM case_steps WHERE case_id = :c AND kind = 'page'"
            " ORDER BY coalesce(step_id = CAST(:p AS uuid), false) DESC, at DESC LIMIT 1"
        ),
        {"p": page, "c": case_id},
    )
    return found


async def is_unclaimed(conn: AsyncConnection, case_id: UUID, kinds: Sequence[str]) -> bool:
    """Say whether a case has a task at T0 of these kinds that nobody took on."""
    found = await conn.scalar(
        text(
            "SELECT 1 FROM tasks WHERE case_id = :c AND state = 'open' AND urgency = 'T0'"
            " AND kind = ANY(CAST(:k AS text[])) LIMIT 1"
        ),
        {"c": case_id, "k": list(kinds)},
    )
    return found is not None


async def has_timer(conn: AsyncConnection, kind: str, subject: str) -> bool:
    """Say whether a timer of this kind waits for this subject."""
    found = await conn.scalar(
        text("SELECT 1 FROM timers WHERE kind = :k AND subject = :s"), {"k": kind, "s": subject}
    )
    return found is not None
