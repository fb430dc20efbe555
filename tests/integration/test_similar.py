"""Like cases are found by blind marks, and erasure takes the marks too."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from services.intake.disclosure.similar import (
    AN_HOUR,
    LookUps,
    TooManyLookUps,
    find_similar,
)
from services.intake.erasure.rules import Proposal
from shared.access import Caller
from shared.errors import NotFound
from shared.vocabulary import Role
from tests.support.room import COORDINATOR, SUPERVISOR, Room, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID


@pytest.fixture
async def room(postgres_admin_dsn: str) -> AsyncIterator[Room]:
    async with open_room(postgres_admin_dsn) as made:
        yield made


async def similar(room: Room, case_id: UUID, caller: Caller = COORDINATOR) -> list[dict[str, Any]]:
    async with room.engine.begin() as conn:
        return await find_similar(conn, case_id, caller, LookUps(b"k", room.clock))


async def case(room: Room, name: str, phone: str | None = None, **more: Any) -> UUID:
    (case_id,) = await room.report(persons=[{"ref": "a", "name": name, "phone": phone}], **more)
    return case_id


async def test_cases_of_one_number_or_name_are_found_and_no_others(room: Room) -> None:
    first = await case(room, "Canary Rina", "01712345678")
    number = await case(room, "Canary Other", "+880 1712-345678")
    name = await case(room, "rina CANARY", "01812345678")
    await case(room, "Canary Nobody", "01912345678")
    caller = await case(room, "Canary Child", reporter={"phone": "০১৭১২৩৪৫৬৭৮"})
    found = {item["case_id"]: item for item in await similar(room, first)}
    assert found.keys() == {number, name, caller}
    assert (found[number]["by"], found[name]["by"]) == (["phone"], ["name"])
    assert found[caller]["of"] == ["reporter"]
    assert "anary" not in str(found)
    rows = await room.rows("SELECT t::text AS shown FROM subjects t")
    assert "1712345678" not in "".join(row.shown for row in rows)


async def test_whom_a_case_excludes_does_not_learn_of_it(room: Room) -> None:
    hidden = await case(room, "Canary Rina", exclude={"providers": ["c9"]})
    shown = await case(room, "Canary Rina")
    named = Caller("c9", Role.COORDINATOR)
    assert [item["case_id"] for item in await similar(room, shown)] == [hidden]
    assert await similar(room, shown, named) == []
    with pytest.raises(NotFound):
        await similar(room, hidden, named)


async def test_an_erased_person_is_like_nobody(room: Room) -> None:
    one, two = await case(room, "Canary Rina"), await case(room, "Canary Rina")
    assert await similar(room, two)
    for caller in (COORDINATOR, SUPERVISOR):
        async with room.engine.begin() as conn:
            wish = Proposal(caller.subject, "person", "document")
            await room.erasures.erase(conn, one, wish, caller, room.now)
    assert await similar(room, two) == []


async def test_a_person_who_looks_often_waits_and_others_do_not(room: Room) -> None:
    case_id = await case(room, "Canary Rina")
    for _ in range(AN_HOUR):
        await similar(room, case_id)
    with pytest.raises(TooManyLookUps):
        await similar(room, case_id)
    assert await similar(room, case_id, SUPERVISOR) == []
    room.now += timedelta(hours=1)
    assert await similar(room, case_id) == []
