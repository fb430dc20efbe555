"""Who learns that the help did harm: the safeguarding focal person on duty, and nobody else.

A task of that level, and what was noted with it, is not there for anybody else: in no list, no
timeline, no note. A case that is closed keeps it: whoever is named in it could close it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from services.intake.casework.course import bare
from services.intake.casework.roster import roster_at
from services.intake.casework.tasks import SAFEGUARDING

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.access import Caller
    from shared.access_rules import Scope

HARM: Final = "harm"
"""Kind of the step in which somebody noted that the person was harmed."""


async def is_focal(conn: AsyncConnection, caller: Caller, at: datetime) -> bool:
    """Say whether somebody is on duty as the safeguarding focal person."""
    roster = await roster_at(conn, at)
    return any(d.level == SAFEGUARDING and bare(d.person) == caller.subject for _, d in roster)


def seeing_harm(scope: Scope) -> Scope:
    """Return a reach by which row-level security shows the tasks of the focal person too."""
    return replace(scope, names=(*scope.names, SAFEGUARDING))
