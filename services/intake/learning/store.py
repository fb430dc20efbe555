"""Who signs in here and what they passed. No SQL elsewhere; people are pseudonyms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.access import Caller


@dataclass(frozen=True, slots=True)
class Passed:
    """A module that somebody passed: on which day, until which it holds, and who entered it.

    `taken_by` is None when it was passed here.
    """

    subject: str
    module: str
    passed_on: date
    until: date
    taken_by: str | None = None


@dataclass(frozen=True, slots=True)
class Covered:
    """People of one place or organisation and one role: how many, and how many are trained.

    `ending` of the trained ones are so only for the next days.
    """

    organisation: str | None
    place: str | None
    role: str
    people: int
    trained: int
    ending: int


async def note(conn: AsyncConnection, caller: Caller, at: datetime) -> None:
    """Remember who signed in, as what and where."""
    held = next((m.place for m in caller.memberships if m.place), None)
    await conn.execute(
        text(
            "INSERT INTO learners (subject, role, organisation, place, seen_at)"
            " VALUES (:subject, :role, :organisation, :place, :at) ON CONFLICT (subject) DO UPDATE"
            " SET role = excluded.role, organisation = excluded.organisation,"
            " place = excluded.place, seen_at = excluded.seen_at"
        ),
        {
            "subject": caller.subject,
            "role": str(caller.role),
            "organisation": caller.org,
            "place": held or next(iter(caller.places), None),
            "at": at,
        },
    )


async def held(conn: AsyncConnection, subject: str) -> list[Passed]:
    """Return what somebody passed, whether it still holds or not."""
    rows = await conn.execute(
        text(
            "SELECT subject, module, passed_on, until, taken_by FROM trainings"
            " WHERE subject = :subject ORDER BY module"
        ),
        {"subject": subject},
    )
    return [Passed(*row) for row in rows]


async def keep(conn: AsyncConnection, passed: Sequence[Passed]) -> None:
    """Keep what was passed; what holds longer already stays."""
    for one in sorted(passed, key=lambda one: (one.subject, one.module)):
        await conn.execute(
            text(
                "INSERT INTO trainings AS t (subject, module, passed_on, until, taken_by)"
                " VALUES (:subject, :module, :passed_on, :until, :taken_by)"
                " ON CONFLICT (subject, module) DO UPDATE SET passed_on = excluded.passed_on,"
                " until = excluded.until, taken_by = excluded.taken_by"
                " WHERE t.until < excluded.until"
            ),
            {
                "subject": one.subject,
                "module": one.module,
                "passed_on": one.passed_on,
                "until": one.until,
                "taken_by": one.taken_by,
            },
        )


async def cover(
    conn: AsyncConnection, needed: dict[str, str], since: datetime, today: date, soon: date
) -> list[Covered]:
    """Count who signed in since then, by organisation or place, and who is trained.

    `needed` is by role the module that counts; other roles are left out.
    """
    rows = await conn.execute(
        text(
            "SELECT l.organisation, CASE WHEN l.organisation IS NULL THEN l.place END AS place,"
            " l.role, count(*) AS people, count(*) FILTER (WHERE t.until >= :today) AS trained,"
            " count(*) FILTER (WHERE t.until BETWEEN :today AND :soon) AS ending"
            " FROM learners l JOIN unnest(CAST(:roles AS text[]), CAST(:modules AS text[]))"
            " AS n (role, module) ON n.role = l.role"
            " LEFT JOIN trainings t ON t.subject = l.subject AND t.module = n.module"
            " WHERE l.seen_at >= :since GROUP BY 1, 2, 3 ORDER BY 1 NULLS LAST, 2 NULLS LAST, 3"
        ),
        {
            "roles": list(needed),
            "modules": list(needed.values()),
            "since": since,
            "today": today,
            "soon": soon,
        },
    )
    return [Covered(*row) for row in rows]
