"""Who is close to whom: kin and partners of workers, committee members and providers.

Whoever a case names loses sight of it, and whoever is close to them at the same moment: a tie makes
both names of a conflict when one is. It is said by a supervisor, in pseudonyms and keys alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import msgspec

from services.intake import store as cases
from services.intake.casework.course import bare, is_excluded, told
from services.intake.casework.desk import carry_out
from services.intake.casework.tasks import SUPERVISOR, Orders, Task
from shared.lean import text
from shared.outbox import Stamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.events import CaseFacts, Draft
    from shared.outbox import Outbox

_WITH: Final = text(
    "SELECT DISTINCT CASE WHEN one = ANY(CAST(:n AS text[])) THEN other ELSE one END AS name"
    " FROM ties WHERE ended_at IS NULL"
    " AND (one = ANY(CAST(:n AS text[])) OR other = ANY(CAST(:n AS text[]))) ORDER BY name"
)


async def with_ties(conn: AsyncConnection, names: Sequence[str]) -> list[str]:
    """Return names of a conflict, and whoever is close to one of them."""
    if not names:
        return []
    rows = await conn.execute(_WITH, {"n": [bare(name) for name in names]})
    return list(dict.fromkeys([*names, *(row.name for row in rows)]))


def excluding(
    opened: Sequence[tuple[UUID, CaseFacts, Draft]], names: Sequence[str]
) -> list[tuple[UUID, CaseFacts, Draft]]:
    """Return cases that are being opened, and their events, with all of whom they must not meet."""
    found = []
    for case_id, facts, draft in opened:
        new = msgspec.structs.replace(facts, excluded=list(names))
        found.append((case_id, new, replace(draft, data=new)))
    return found


async def list_ties(conn: AsyncConnection) -> list[dict[str, Any]]:
    """Return the ties that hold."""
    rows = await conn.execute(
        text("SELECT tie_id, one, other, said_at FROM ties WHERE ended_at IS NULL ORDER BY said_at")
    )
    return [dict(row._mapping) for row in rows]  # noqa: SLF001  (SQLAlchemy's public name for it)


async def add_tie(
    conn: AsyncConnection, outbox: Outbox, one: str, other: str, by: str, at: datetime
) -> UUID:
    """Say that two are close; in each open case that names one of them both are named from now."""
    tie_id = uuid4()
    await conn.execute(
        text(
            "INSERT INTO ties (tie_id, one, other, said_by, said_at)"
            " VALUES (:i, :one, :other, :by, :at)"
        ),
        {"i": tie_id, "one": one, "other": other, "by": by, "at": at},
    )
    found = await conn.scalars(
        text(
            "SELECT case_id FROM cases WHERE status <> 'erased'"
            " AND facts -> 'excluded' ?| CAST(:n AS text[]) ORDER BY case_id"
        ),
        {"n": [one, other]},
    )
    for case_id, facts in sorted((await cases.lock_facts(conn, list(found))).items()):
        named = await with_ties(conn, facts.excluded)
        new = msgspec.structs.replace(facts, excluded=named)
        if named == facts.excluded:
            continue
        cases.save_cases(conn, [(case_id, new)])
        await outbox.append(conn, [(told(case_id, "case-updated", new), Stamp(at, by))])
        await let_go(conn, case_id, new, by, at)
    return tie_id


async def end_tie(conn: AsyncConnection, tie_id: UUID, at: datetime) -> bool:
    """End a tie; what cases name already stays until a person triages them."""
    rows = await conn.execute(
        text("UPDATE ties SET ended_at = :at WHERE tie_id = :i AND ended_at IS NULL RETURNING 1"),
        {"i": tie_id, "at": at},
    )
    return rows.first() is not None


async def let_go(
    conn: AsyncConnection, case_id: UUID, facts: CaseFacts, by: str, at: datetime
) -> None:
    """Take the open tasks of a case from whom it names; a case whose worker that is needs another.

    The task to find one is a supervisor's who is not named.
    """
    await conn.execute(
        text(
            "UPDATE tasks SET named = NULL, state = 'open', claimed_by = NULL, claimed_at = NULL"
            " WHERE case_id = :c AND state <> 'done' AND regexp_replace("
            "coalesce(claimed_by, named), '^.*:', '') = ANY(CAST(:n AS text[]))"
        ),
        {"c": case_id, "n": [bare(name) for name in facts.excluded]},
    )
    held = [name for name in (facts.work.worker, facts.work.supervisor) if name is not None]
    if any(is_excluded(facts, name) for name in held):
        task = Task("reassign", urgency=facts.urgency, level=SUPERVISOR)
        await carry_out(conn, [(case_id, Orders((task,)), facts)], by=by, at=at)
