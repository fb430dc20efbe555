"""Like cases are found by blind marks and coarse facts; a person says what two of them are."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from services.intake.alike import store
from services.intake.alike.blocks import are_compared
from services.intake.alike.comparing import compare
from services.intake.alike.service import Alikes
from services.intake.casework.families import Families
from services.intake.casework.stages import Asked, Stages
from services.intake.disclosure.look_ups import AN_HOUR, LookUps, TooManyLookUps
from services.intake.erasure.rules import Proposal
from shared.access import Caller
from shared.errors import Conflict, NotFound
from shared.vocabulary import Role
from tests.support.alike_set import make_set
from tests.support.room import COORDINATOR, SUPERVISOR, Room, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID


@pytest.fixture
async def room(postgres_admin_dsn: str) -> AsyncIterator[Room]:
    async with open_room(postgres_admin_dsn) as made:
        yield made


def alikes(room: Room) -> Alikes:
    return Alikes(Stages(room.vault, room.outbox), LookUps(b"k", room.clock))


async def similar(
    room: Room, case_id: UUID, caller: Caller = COORDINATOR, *, different: bool = False
) -> list[dict[str, Any]]:
    async with room.engine.begin() as conn:
        asked = Asked(case_id, caller, room.now)
        return await alikes(room).look(conn, asked, different=different)


async def say(room: Room, verb: str, one: UUID, other: UUID, caller: Caller = COORDINATOR) -> Any:
    asked = Asked(one, caller, room.now)
    families = Families(Stages(room.vault, room.outbox), room.secrets.index)
    ways = {
        "different": alikes(room).differ,
        "not-different": alikes(room).not_differ,
        "merge": families.merge,
        "unmerge": families.unmerge,
    }
    async with room.engine.begin() as conn:
        return await ways[verb](conn, asked, other)


async def case(room: Room, name: str, phone: str | None = None, **more: Any) -> UUID:
    (case_id,) = await room.report(persons=[{"ref": "a", "name": name, "phone": phone}], **more)
    return case_id


async def test_cases_of_one_number_or_name_are_found_and_no_others(room: Room) -> None:
    first = await case(room, "Canary Rina", "01712345678")
    number = await case(room, "Canary Rina", "+880 1712-345678")
    name = await case(room, "রিনা CANARY", "01712345678")
    await case(room, "Canary Nobody", "01912345678")
    child = await case(room, "Canary Child", reporter={"phone": "০১৭১২৩৪৫৬৭৮"})
    found = {item["case_id"]: item for item in await similar(room, first)}
    assert found.keys() == {number, name, child}
    assert [reason["level"] for reason in found[number]["reasons"]][:2] == ["whole", "own"]
    assert found[child]["reasons"][0]["en"]
    assert "anary" not in str(found)
    rows = await room.rows("SELECT t::text AS shown FROM subjects t")
    assert "1712345678" not in "".join(row.shown for row in rows)


async def test_each_look_is_an_event_of_every_case_that_it_showed(room: Room) -> None:
    first = await case(room, "Canary Rina", "01712345678")
    second = await case(room, "Canary Rina", "01712345678")
    await similar(room, first)
    for case_id in (first, second):
        event = (await room.events(case_id))[-1]
        assert event["type"] == "person-data-read"
        assert event["data"]["read"]["reason"] == "alike"


async def test_what_was_said_to_be_different_is_shown_again_when_more_is_known(room: Room) -> None:
    mother: dict[str, Any] = {"reporter": {"phone": "01712345678"}}
    first, twin = await case(room, "Canary Mim", **mother), await case(room, "Canary Mim", **mother)
    await say(room, "different", first, twin)
    assert await similar(room, first) == await similar(room, twin) == []
    (apart,) = await similar(room, twin, different=True)
    assert (apart["case_id"], apart["said"], apart["new"]) == (first, "different", [])
    assert "cases-told-apart" in [event["type"] for event in await room.events(twin)]
    for case_id in (first, twin):
        async with room.engine.begin() as conn:
            await conn.exec_driver_sql(
                'UPDATE cases SET facts = facts || \'{"sex": "female"}\' WHERE case_id = $1',
                (case_id,),
            )
    (again,) = await similar(room, first)
    assert (again["said"], again["new"]) == ("different", ["sex:same"])
    await say(room, "different", first, twin)
    assert await similar(room, first) == []
    await say(room, "not-different", twin, first)
    assert [item["said"] for item in await similar(room, first)] == [None]
    with pytest.raises(Conflict):
        await say(room, "not-different", twin, first)


async def test_a_merge_moves_nothing_and_taken_back_leaves_both_as_they_were(room: Room) -> None:
    first = await case(room, "Canary Rina", "01712345678")
    other = await case(room, "Canary Rina", "01712345678")
    before = {key: await room.facts(key) for key in (first, other)}
    await say(room, "merge", first, other)
    assert (await room.facts(first))["work"]["merged"] == [str(other)]
    assert [item["said"] for item in await similar(room, other)] == ["merged"]
    for verb, one, two in (
        ("merge", other, first),
        ("merge", first, other),
        ("different", first, other),
    ):
        with pytest.raises(Conflict):
            await say(room, verb, one, two)
    await say(room, "unmerge", other, first)
    assert {key: await room.facts(key) for key in (first, other)} == before
    told = [event["type"] for event in await room.events(other)]
    assert [kind for kind in told if "merged" in kind] == ["cases-merged", "cases-unmerged"]


async def test_who_may_not_see_both_says_nothing_of_them(room: Room) -> None:
    here, there = "BD30260038", "BD20220016"
    first = await case(room, "Canary Rina", "01712345678", places=[{"pcode": here}])
    other = await case(room, "Canary Rina", "01712345678", places=[{"pcode": there}])
    local = Caller("c7", Role.COORDINATOR, places=("BD3026",))
    assert await similar(room, first, local) == []
    assert [item["case_id"] for item in await similar(room, first)] == [other]
    for verb in ("merge", "different", "not-different", "unmerge"):
        with pytest.raises(NotFound):
            await say(room, verb, first, other, local)


async def test_the_query_takes_what_the_rule_compares(room: Room) -> None:
    """The figures of docs/linkage.md are of the rule; this holds the query to it."""
    told = make_set(7, incidents=14, upazilas=3)
    for one in told:
        room.now = one.at
        await room.report(**one.body | {"channel": "partner"})
    async with room.engine.connect() as conn:
        rows = await room.rows("SELECT case_id FROM cases")
        known = await store.load_features(conn, [row.case_id for row in rows])
        assert len(known) == len(told)
        wanted = {
            key: {away for away, (two, _) in known.items() if are_compared(one, two)}
            for key, (one, _) in known.items()
        }
        found = {
            key: set(await store.list_candidates(conn, one, test=False))
            for key, (one, _) in known.items()
        }
    assert any(wanted.values())
    assert {key: wanted[key] - found[key] for key in wanted} == {key: set() for key in wanted}
    shown = {item["case_id"] for item in await similar(room, rows[0].case_id)}
    mine = known[rows[0].case_id][0]
    assert shown <= {key for key in wanted[rows[0].case_id] if compare(mine, known[key][0])}


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
