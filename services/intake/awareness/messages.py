"""Notices of awareness: a set goes out by SMS to those who asked, and to nobody else.

Somebody named decides it. Each number gets a set at most once in 90 days, and at most one notice in
seven; by day only, and never what may have been sent already.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from services.intake.awareness import messages_store as store
from services.intake.awareness import subscribers
from services.intake.awareness.messages_store import Message
from services.intake.awareness.service import AROUND, hide
from services.intake.awareness.sets import find_set
from shared.clock import DHAKA, day_of
from shared.errors import InvalidBody
from shared.places import Level, all_places, ancestors, find
from shared.telemetry import DIVISIONS

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

SAME_SET: Final = timedelta(days=90)
"""How long a number does not get the same set again."""

ANY_SET: Final = timedelta(days=7)
"""How long a number gets no further notice."""

SEND_WITHIN: Final = timedelta(days=3)
"""What is not out by then is not sent at all."""

FROM, UNTIL = time(10), time(18)
"""When notices go out, in Dhaka: from the first, and before the last."""

SHOWN: Final = 30
"""Notices in the list, the latest first."""

_WHOLE: Final = frozenset({Level.DIVISION, Level.DISTRICT})


@dataclass(frozen=True, slots=True)
class Sent:
    """A notice with how it went; each number under `SMALLEST` is None.

    `before` and `after` are reports from its places, `whole` says that the days after are over.
    """

    message: Message
    states: dict[str, int | None]
    before: int | None
    after: int | None
    whole: bool


@dataclass(frozen=True, slots=True)
class Messages:
    """The use cases of notices."""

    engine: AsyncEngine

    async def plan(self, conn: AsyncConnection, message: Message, at: datetime) -> int | None:
        """Plan a notice to those who ask now, in the caller's transaction; return to how many.

        None is fewer than `SMALLEST`.

        Raises:
            InvalidBody: there is no such set, or a place is neither a division nor a district.

        """
        if wrong := faults(message):
            raise InvalidBody(errors=[{"field": name, "rule": rule} for name, rule in wrong])
        await store.forget_old(conn, at - SAME_SET)
        planned = await store.plan(
            conn,
            message,
            at=at,
            until=at + SEND_WITHIN,
            same_set=at - SAME_SET,
            any_set=at - ANY_SET,
        )
        return hide(planned)

    async def list(self, at: datetime) -> list[Sent]:
        """Return the latest notices with what came before and after, small numbers hidden."""
        async with self.engine.connect() as conn:
            found = await store.list_messages(conn, AROUND, SHOWN)
        today = day_of(at)
        return [
            Sent(
                one,
                {state: hide(number) for state, number in states.items()},
                hide(before),
                hide(after),
                day_of(one.planned_at) + AROUND <= today,
            )
            for one, states, before, after in found
        ]

    async def count(self) -> dict[str | None, int | None]:
        """Return how many ask, by division (P-code) and None for no place; small numbers hidden."""
        async with self.engine.connect() as conn:
            found = await subscribers.count_by_division(conn)
        return {code: hide(found.get(code, 0)) for code in (*DIVISIONS, None)}


def make_message(of: str, places: Collection[str], by: str, at: datetime) -> Message:
    """Return a notice with a new id; no places are everywhere."""
    named = tuple(sorted(set(places)))
    return Message(uuid4(), of, named, _districts(named), by, at)


def faults(message: Message) -> list[tuple[str, str]]:
    """Return what is wrong with a notice: pairs of field and rule."""
    wrong = []
    if find_set("bn", message.set_name) is None:
        wrong.append(("set", "unknown"))
    found = [find(code) for code in message.places]
    if any(place is None or place.level not in _WHOLE for place in found):
        wrong.append(("places", "not-a-division-or-district"))
    return wrong


def may_send(at: datetime) -> bool:
    """Say whether notices go out at a time."""
    return FROM <= at.astimezone(DHAKA).time() < UNTIL


def text_of(set_name: str, language: str) -> str | None:
    """Return what a notice says; None when there is no such set any more."""
    found = find_set("en" if language == "en" else "bn", set_name)
    return None if found is None else found.sms


def _districts(places: Collection[str]) -> tuple[str, ...]:
    """Return the districts that these divisions and districts are."""
    if not places:
        return ()
    among = set(places)
    return tuple(
        sorted(
            place.pcode
            for place in all_places().values()
            if place.level is Level.DISTRICT and among & {place.pcode, *ancestors(place.pcode)}
        )
    )
