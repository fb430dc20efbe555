"""How many reports came around a talk: by upazila and day in Dhaka, small numbers hidden."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from services.intake.awareness.service import Awareness, make_talk
from shared.access import Caller
from shared.errors import Forbidden, InvalidBody, NotFound
from shared.membership import Membership
from shared.vocabulary import Role
from tests.support.room import COORDINATOR, open_room

if TYPE_CHECKING:
    from services.intake.awareness.store import Talk
    from tests.support.room import Room

HERE, ELSEWHERE = "BD30260038", "BD30260014"
DAY = date(2026, 10, 10)
MIDNIGHT = datetime(2026, 10, 9, 18, tzinfo=UTC)
"""Where the day begins in Dhaka."""
AROUND = timedelta(days=30)
TICK = timedelta(seconds=1)
LATER = datetime(2026, 11, 9, 6, tzinfo=UTC)


def talk(place: str = HERE) -> Talk:
    return make_talk(of="online", place=place, day=DAY, women=3, men=0, girls=9, boys=1)


async def reports(room: Room, *times: datetime, place: str = HERE, test: bool = False) -> None:
    for at in times:
        room.now = at
        persons = [{"ref": "a"}, {"ref": "b"}]  # two persons, one report
        where = [{"role": "now", "pcode": place}]
        await room.report(persons=persons, places=where, needs=["education"], test=test)


async def test_reports_before_and_after_a_talk_are_counted_where_it_was(
    postgres_admin_dsn: str,
) -> None:
    async with open_room(postgres_admin_dsn) as room:
        awareness = Awareness(room.engine)
        async with room.engine.begin() as conn:
            await awareness.count(conn, talk(), COORDINATOR, LATER)
        before = [MIDNIGHT - AROUND, *[MIDNIGHT - TICK * n for n in range(1, 5)]]
        after = [MIDNIGHT + TICK * n for n in range(3)] + [MIDNIGHT + AROUND - TICK]
        await reports(room, *before, *after)
        await reports(room, MIDNIGHT - AROUND - TICK, MIDNIGHT + AROUND)
        await reports(room, MIDNIGHT, place=ELSEWHERE)
        await reports(room, MIDNIGHT, test=True)
        (found,) = await awareness.list(LATER)
        assert (found.talk.girls, found.before, found.after, found.whole) == (9, 5, None, True)
        await reports(room, MIDNIGHT + AROUND - 2 * TICK)
        (found,) = await awareness.list(LATER - timedelta(days=1))
        assert (found.before, found.after, found.whole) == (5, 5, False)
        (kept,) = await room.rows("SELECT * FROM awareness_sessions")
        assert kept.counted_by == COORDINATOR.actor
        await awareness.drop(found.talk.session_id)
        assert await awareness.list(LATER) == []
        with pytest.raises(NotFound):
            await awareness.drop(found.talk.session_id)


async def test_what_cannot_be_so_is_not_kept(postgres_admin_dsn: str) -> None:
    async with open_room(postgres_admin_dsn) as room:
        awareness = Awareness(room.engine)
        membership = Membership("ctc_member", ELSEWHERE)
        member = Caller("m", Role.COMMITTEE_MEMBER, memberships=(membership,))
        async with room.engine.begin() as conn:
            wrong = replace(talk("BD3026"), set_name="nothing", women=0, girls=0, boys=0)
            with pytest.raises(InvalidBody) as refused:
                await awareness.count(conn, wrong, COORDINATOR, MIDNIGHT - TICK)
            with pytest.raises(Forbidden):
                await awareness.count(conn, talk(), member, LATER)
        assert refused.value.members["errors"] == [
            {"field": "set", "rule": "unknown"},
            {"field": "place", "rule": "not-an-upazila"},
            {"field": "day", "rule": "in-the-future"},
            {"field": "women", "rule": "nobody-came"},
        ]
        assert await awareness.list(LATER) == []
