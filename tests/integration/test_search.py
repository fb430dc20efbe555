"""The desk finds a case by what somebody has in hand; each look-up of a person counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from services.intake.disclosure.look_ups import AN_HOUR, LookUps, TooManyLookUps
from services.intake.disclosure.search import Search
from shared.access import Caller
from shared.errors import InvalidBody
from shared.vocabulary import Role
from tests.support.room import COORDINATOR, Room, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

NAMED = Caller("c9", Role.COORDINATOR)
ELSEWHERE = Caller("c8", Role.COORDINATOR, places=("BD2022",))


@pytest.fixture
async def room(postgres_admin_dsn: str) -> AsyncIterator[Room]:
    async with open_room(postgres_admin_dsn) as made:
        yield made


def search_of(room: Room) -> Search:
    return Search(room.outbox, room.secrets, LookUps(b"k", room.clock))


async def find(room: Room, caller: Caller = COORDINATOR, **person: Any) -> list[UUID]:
    async with room.engine.begin() as conn:
        items = await search_of(room).by_person(conn, caller, room.now, **person)
    return [item["case_id"] for item in items]


async def case(room: Room, **more: Any) -> UUID:
    person = {"ref": "a", "name": "Canary Rina", "phone": "01712345678"}
    (case_id,) = await room.report(persons=[person], **more)
    return case_id


async def test_a_number_and_a_name_find_in_any_writing_and_nobody_else(room: Room) -> None:
    case_id = await case(room)
    await room.report(persons=[{"ref": "a", "name": "Canary Other", "phone": "01812345678"}])
    assert await find(room, phone="০১৭১২-৩৪৫৬৭৮") == [case_id]
    assert await find(room, name="rina CANARY") == [case_id]
    assert await find(room, name="Canary Nobody") == []
    with pytest.raises(InvalidBody):
        await find(room, phone="12")
    with pytest.raises(InvalidBody):
        await find(room, name="?!")


async def test_that_it_was_found_is_an_event_and_says_nothing_of_what_was_looked_for(
    room: Room,
) -> None:
    case_id = await case(room)
    await find(room, name="Canary Rina")
    rows = await room.rows("SELECT convert_from(value, 'UTF8') AS told FROM outbox")
    told = [row.told for row in rows if "person-data-read" in row.told]
    assert len(told) == 1
    assert str(case_id) in told[0]
    assert '"reason":"search"' in told[0]
    assert "anary" not in told[0]


async def test_whom_a_case_excludes_and_who_works_elsewhere_find_nothing(room: Room) -> None:
    case_id = await case(
        room,
        exclude={"providers": ["c9"]},
        places=[{"role": "now", "pcode": "BD30260038"}],
    )
    for caller in (NAMED, ELSEWHERE):
        assert await find(room, caller, name="Canary Rina") == []
        async with room.engine.begin() as conn:
            short = str(case_id)[:8]
            assert await search_of(room).by_short(conn, caller, short, room.now) == []
    assert await find(room, name="Canary Rina") == [case_id]


async def test_by_the_short_number_and_by_no_receipt_that_is_none(room: Room) -> None:
    case_id = await case(room)
    async with room.engine.begin() as conn:
        found = await search_of(room).by_short(conn, COORDINATOR, str(case_id)[:8], room.now)
        assert [one["case_id"] for one in found] == [case_id]
        with pytest.raises(InvalidBody):
            await search_of(room).by_receipt(conn, COORDINATOR, "not a receipt", room.now)


async def test_who_looks_often_waits(room: Room) -> None:
    await case(room)
    for _ in range(AN_HOUR):
        await find(room, name="Canary Rina")
    with pytest.raises(TooManyLookUps):
        await find(room, name="Canary Rina")
