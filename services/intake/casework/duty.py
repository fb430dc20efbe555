"""Who is told, purely: somebody on duty at the level, of the district first, without a conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.intake.casework.course import bare

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from services.intake.casework.roster import Duty


def who_is_told(
    roster: Sequence[Duty], level: str, district: str | None, excluded: Collection[str]
) -> str | None:
    """Return the pseudonym of whom a task names, or None when nobody is on duty there.

    Whoever the case excludes is never named. The roster has those of one district first.
    """
    named = {bare(name) for name in excluded}
    for duty in roster:
        here = duty.district is None or duty.district == district
        if duty.level == level and here and bare(duty.person) not in named:
            return duty.person
    return None
