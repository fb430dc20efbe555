"""Courtyard talks are counted, and set beside the reports that came from around them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from services.intake.awareness import store
from services.intake.awareness.sets import find_set
from services.intake.awareness.store import Talk
from shared.clock import day_of
from shared.errors import Forbidden, InvalidBody, NotFound
from shared.places import Level, coarse, find
from shared.vocabulary import Role

if TYPE_CHECKING:
    from datetime import date, datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from shared.access import Caller

AROUND: Final = timedelta(days=30)
"""How long before a talk and from its day on reports are counted."""

OLDEST: Final = timedelta(days=365)
"""How long after a talk its count is still taken."""

SHOWN: Final = 100
"""Talks in the list, the latest first."""

SMALLEST: Final = 5
"""A number of reports under this is never shown (SAFETY 13)."""

_UPAZILAS: Final = frozenset({Level.UPAZILA, Level.THANA})


@dataclass(frozen=True, slots=True)
class Counted:
    """A talk with how many reports came from its upazila; None is fewer than `SMALLEST`.

    `whole` says that the days after it are over.
    """

    talk: Talk
    before: int | None
    after: int | None
    whole: bool


@dataclass(frozen=True, slots=True)
class Awareness:
    """The use cases of awareness."""

    engine: AsyncEngine

    async def count(self, conn: AsyncConnection, talk: Talk, caller: Caller, at: datetime) -> None:
        """Keep a count in the caller's transaction.

        Raises:
            InvalidBody: there is no such set or upazila, nobody came, or the day is not one.
            Forbidden: a committee member whose place is another one.

        """
        if wrong := faults(talk, day_of(at)):
            raise InvalidBody(errors=[{"field": name, "rule": rule} for name, rule in wrong])
        if not is_near(caller, talk.place, day_of(at)):
            raise Forbidden("count talks of your own upazila")
        await store.keep(conn, talk, caller.actor)

    async def drop(self, session_id: UUID) -> None:
        """Take out a count that was wrong. Raises `NotFound`."""
        async with self.engine.begin() as conn:
            if not await store.drop(conn, session_id):
                raise NotFound

    async def list(self, at: datetime) -> list[Counted]:
        """Return the latest talks with what came before and after, small numbers hidden."""
        async with self.engine.connect() as conn:
            found = await store.list_talks(conn, AROUND, SHOWN)
        today = day_of(at)
        return [
            Counted(talk, hide(before), hide(after), talk.held_on + AROUND <= today)
            for talk, before, after in found
        ]


def make_talk(
    *, of: str, place: str, day: date, women: int, men: int, girls: int, boys: int
) -> Talk:
    """Return a talk with a new id."""
    return Talk(uuid4(), of, place, day, women, men, girls, boys)


def faults(talk: Talk, today: date) -> list[tuple[str, str]]:
    """Return what is wrong with a count: pairs of field and rule."""
    wrong = []
    place = find(talk.place)
    if find_set("bn", talk.set_name) is None:
        wrong.append(("set", "unknown"))
    if place is None or place.level not in _UPAZILAS:
        wrong.append(("place", "not-an-upazila"))
    if talk.held_on > today:
        wrong.append(("day", "in-the-future"))
    if talk.held_on < today - OLDEST:
        wrong.append(("day", "too-long-ago"))
    if not talk.women + talk.men + talk.girls + talk.boys:
        wrong.append(("women", "nobody-came"))
    return wrong


def is_near(caller: Caller, place: str, day: date) -> bool:
    """Say whether somebody may count in an upazila: a committee member only in their own."""
    if caller.role is not Role.COMMITTEE_MEMBER:
        return True
    held = [one.place for one in caller.memberships if one.holds(day)]
    return any(one is None or coarse(one) == place for one in held)


def own_upazila(caller: Caller, day: date) -> str:
    """Return the one upazila or thana that the caller's memberships of a day name; else nothing."""
    held = {coarse(one.place) for one in caller.memberships if one.holds(day) and one.place}
    return held.pop() if len(held) == 1 else ""


def hide(number: int) -> int | None:
    """Return a number that may be shown; None for a smaller one, zero too."""
    return number if number >= SMALLEST else None
