"""Case work on a real database: stages, kin, pages, visits, under a clock that the test moves."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from services.intake.casework import course, handover, word
from services.intake.casework import store as desk
from services.intake.casework.due import Due
from services.intake.casework.families import Families
from services.intake.casework.pager import Pager
from services.intake.casework.risk import assess as by_instrument
from services.intake.casework.risk import load_instruments
from services.intake.casework.roster import Duty, add_duty
from services.intake.casework.service import Casework
from services.intake.casework.stages import Asked, Entry, Stages
from services.intake.casework.steps import loads, open_cases_of
from services.intake.casework.visits import Visits
from shared.access import Caller
from shared.errors import Conflict, NotFound, Stale
from shared.timers import TimerLoop
from shared.vocabulary import Role
from tests.support.room import COORDINATOR, SUPERVISOR, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from services.intake.casework.course import Done
    from shared.events import CaseFacts
    from tests.support.room import Room

OTHER = Caller("c2", Role.COORDINATOR)
KEY = "pashe-risk-1"
CHILD = {"ref": "a", "age": {"min": 14, "max": 14}, "sex": "female", "name": "Example Rina"}


@pytest_asyncio.fixture
async def room(postgres_admin_dsn: str) -> AsyncIterator[Room]:
    async with open_room(postgres_admin_dsn) as room:
        yield room


class Office:
    """The desk in a room: one call a step."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.stages = Stages(room.vault, room.outbox)
        self.families = Families(self.stages, room.secrets.index)
        self.pager = Pager(room.outbox, room.clock)
        self.visits = Visits(self.stages, self.pager, room.clock)
        self.casework = Casework(room.outbox)

    def loop(self) -> TimerLoop:
        kinds = [
            *Due(self.room.outbox, self.room.clock).timers(),
            self.pager.timer(),
            self.visits.timer(),
        ]
        return TimerLoop(self.room.engine, kinds, clock=self.room.clock)

    def asked(self, case_id: UUID, by: Caller = COORDINATOR, version: int | None = None) -> Asked:
        return Asked(case_id, by, self.room.now, version)

    async def step(
        self,
        case_id: UUID,
        kind: str,
        decide: Callable[[CaseFacts], Done],
        *,
        by: Caller = COORDINATOR,
        version: int | None = None,
        detail: dict[str, Any] | None = None,
        **private: object,
    ) -> int:
        entry = Entry(kind, detail or {}, private)
        async with self.room.engine.begin() as conn:
            row, _ = await self.stages.take(conn, self.asked(case_id, by, version), entry, decide)
        return row.version

    async def assign(self, case_id: UUID, **how: Any) -> int:
        return await self.step(
            case_id, "assign", lambda f: course.assign(case_id, f, "c1", "s1"), **how
        )

    async def assess(self, case_id: UUID, risk: str = "high", **how: Any) -> int:
        questions = load_instruments()[KEY].question
        answers: dict[str, Any] = dict.fromkeys((q.key for q in questions), "no")
        answers |= {"high": {"harm_goes_on": "yes"}, "medium": {"needs_care": "yes"}}.get(risk, {})
        found = by_instrument(load_instruments(), KEY, answers, self.room.now.date())
        return await self.step(case_id, "assess", lambda f: course.assess(case_id, f, found), **how)

    async def contact(self, case_id: UUID, result: str = "reached", **how: Any) -> int:
        made = course.Contact("person", "phone", result)
        return await self.step(
            case_id,
            "contacts",
            lambda f: course.record_contact(case_id, f, made),
            detail={"with": "person", "result": result},
            **how,
        )

    async def close(self, case_id: UUID, reason: str = "goals_met_and_safe") -> None:
        async with self.room.engine.begin() as conn:
            await self.casework.close_case(conn, case_id, reason, COORDINATOR, None, self.room.now)

    async def split(self, case_id: UUID, *persons: dict[str, Any]) -> list[UUID]:
        async with self.room.engine.begin() as conn:
            _, ids = await self.families.split(conn, self.asked(case_id), persons)
        return ids

    async def on_duty(self, *persons: str) -> None:
        async with self.room.engine.begin() as conn:
            for n, person in enumerate(persons):
                begins = self.room.now - timedelta(hours=9 - n)
                entry = Duty(person, "coordinator", None, begins, self.room.now + timedelta(days=1))
                await add_duty(conn, entry, "supervisor:s1")

    async def tasks(self, case_id: UUID) -> dict[str, dict[str, Any]]:
        async with self.room.engine.connect() as conn:
            rows = await desk.list_tasks(
                conn, state=None, kind=None, case_id=case_id, after=None, limit=200
            )
        return {row["kind"]: row for row in rows}

    async def types(self, case_id: UUID) -> list[str]:
        return [e["type"] for e in await self.room.events(case_id)]


@pytest.fixture
def office(room: Room) -> Office:
    return Office(room)


async def a_case(room: Room, **more: Any) -> UUID:
    (case_id,) = await room.report(persons=[CHILD], concerns=["child_labour"], **more)
    return case_id


async def test_each_step_is_in_the_history_in_order_and_says_no_word(
    room: Room, office: Office
) -> None:
    case_id = await a_case(room)
    await office.assign(case_id)
    secret = "the grandmother's house by the river"
    await office.step(
        case_id,
        "verify",
        lambda f: course.verify(case_id, f, "substantiated", "visit"),
        text=secret,
    )
    await office.assess(case_id)
    await office.step(
        case_id, "safety-plan", lambda f: course.make_safety_plan(case_id, f), text=secret
    )
    goals = [course.Goal("legal_aid", "c1", room.now.date())]
    await office.step(
        case_id, "plan", lambda f: course.agree_plan(case_id, f, goals, room.now.date())
    )
    await office.contact(case_id, text=secret)
    events = await room.events(case_id)
    assert [e["type"] for e in events] == [
        "case-created",
        "case-assigned",
        "case-verified",
        "risk-assessed",
        "safety-plan-made",
        "plan-agreed",
        "case-updated",
        "contact-recorded",
    ]
    assert [int(e["sequence"]) for e in events] == list(range(1, 9))
    assert events[3]["data"]["step"]["reasons"] == ["harm_goes_on"]
    assert secret not in str(events)
    for table in ("case_steps", "tasks", "cases", "sealed", "timers"):
        rows = await room.rows(f"SELECT t::text AS line FROM {table} t")
        assert not any("grandmother" in row.line for row in rows), table
    async with room.engine.begin() as conn:
        notes = await office.stages.read_notes(conn, office.asked(case_id), "test")
    assert [(n["kind"], n["said"]) for n in notes] == [
        (kind, {"text": secret}) for kind in ("verify", "safety-plan", "contacts")
    ]
    assert (await office.types(case_id))[-1] == "person-data-read"


async def test_two_who_assess_at_once_get_one_risk_and_a_name(room: Room, office: Office) -> None:
    case_id = await a_case(room)
    await office.assign(case_id)

    async def one(by: Caller, risk: str) -> int | Exception:
        try:
            return await office.assess(case_id, risk, by=by)
        except (Conflict, Stale) as error:
            return error

    first, second = await asyncio.gather(one(COORDINATOR, "high"), one(OTHER, "low"))
    (lost,) = [r for r in (first, second) if isinstance(r, Exception)]
    assert isinstance(lost, Conflict)
    winner = COORDINATOR if lost is second else OTHER
    assert lost.members["held_by"] == winner.actor
    (row,) = await room.rows("SELECT version FROM cases WHERE case_id = :c", c=case_id)
    assert lost.members["version"] == row.version
    assert (await office.types(case_id)).count("risk-assessed") == 1
    with pytest.raises(Stale) as stale:
        await office.assess(case_id, by=OTHER, version=row.version - 1)
    assert stale.value.members["held_by"] == winner.actor
    assert await office.assess(case_id, by=OTHER, version=row.version) == row.version + 1


async def test_whom_a_case_names_finds_nothing_and_is_given_nothing(
    room: Room, office: Office
) -> None:
    case_id = await a_case(room, exclude={"providers": ["c2"], "kinds": []})
    with pytest.raises(NotFound):
        await office.assess(case_id, by=OTHER)
    with pytest.raises(NotFound):
        await office.contact(case_id, by=OTHER)
    with pytest.raises(Conflict):
        await office.step(
            case_id, "assign", lambda f: course.assign(case_id, f, "coordinator:c2", "s1")
        )
    assert await office.types(case_id) == ["case-created"]


async def test_open_cases_of_a_worker_are_counted(room: Room, office: Office) -> None:
    for _ in range(3):
        await office.assign(await a_case(room))
    closed = await a_case(room)
    await office.assign(closed)
    await office.close(closed)
    room.now += timedelta(hours=14)  # two in the night in Dhaka
    await office.contact(closed, by=OTHER)
    room.now += timedelta(hours=6)
    await office.contact(closed, by=OTHER)
    async with room.engine.connect() as conn:
        assert await open_cases_of(conn, "c1") == 3
        week = room.now - timedelta(weeks=1)
        found = await loads(conn, room.now - timedelta(days=30), ["child_labour"], week)
    assert found == [
        {"who": "c1", "open_cases": 3, "t0": 0, "steps": 4, "by_night": 0, "heavy_this_week": 4},
        {"who": "c2", "open_cases": 0, "t0": 0, "steps": 2, "by_night": 1, "heavy_this_week": 0},
    ]


@pytest.mark.parametrize(("risk", "count"), [("high", 52), ("medium", 26), ("low", 12)])
async def test_over_a_year_somebody_looks_as_often_as_the_risk_asks(
    room: Room, office: Office, risk: str, count: int
) -> None:
    case_id = await a_case(room)
    await office.assign(case_id)
    await office.assess(case_id, risk)
    loops = [office.loop(), office.loop()]
    begin = room.now
    while room.now < begin + timedelta(days=365):
        room.now += timedelta(days=1)
        await asyncio.gather(*(loop.round() for loop in loops))
    due = [
        e["data"]["step"]["kind"]
        for e in await room.events(case_id)
        if e["type"] == "follow-up-due"
    ]
    assert due.count("follow_up") == count
    assert due.count("periodic_review") == 4
    tasks = await office.tasks(case_id)
    assert {"follow_up", "periodic_review"} <= tasks.keys()
    await office.contact(case_id)
    assert "follow_up" not in await office.tasks(case_id)


async def test_one_check_comes_after_closing_and_none_after_an_error(
    room: Room, office: Office
) -> None:
    helped, wrong = await a_case(room), await a_case(room)
    for case_id, reason in ((helped, "goals_met_and_safe"), (wrong, "entered_in_error")):
        await office.assign(case_id)
        await office.close(case_id, reason)
    loop = office.loop()
    for _ in range(120):
        room.now += timedelta(days=1)
        await loop.round()
    assert (await office.types(helped)).count("follow-up-due") == 1
    assert set(await office.tasks(helped)) == {"check_after_closing"}
    assert (await office.types(wrong)).count("follow-up-due") == 0
    await office.contact(helped)
    assert await office.tasks(helped) == {}


async def test_a_case_opened_again_shows_what_was_before(room: Room, office: Office) -> None:
    first, second = await a_case(room), await a_case(room)
    await office.assign(first)
    await office.close(first)
    async with room.engine.begin() as conn:
        await office.families.link(conn, office.asked(second), first, "same_person")
    await office.step(
        first, "reopen", lambda f: course.reopen(first, f, "returned_to_harm"), by=OTHER
    )
    facts = await room.facts(first)
    assert (facts["status"], facts["work"]["risk"], facts["work"]["reopened"]) == (
        "open",
        "high",
        1,
    )
    assert {"assess", "review_closing"} <= (await office.tasks(first)).keys()
    assert facts["work"]["linked"] == [str(second)]
    async with room.engine.begin() as conn:
        await office.families.unlink(conn, office.asked(first), second)
    for case_id in (first, second):
        assert (await room.facts(case_id))["work"]["linked"] == []
        assert [t for t in await office.types(case_id) if t.startswith("cases-")] == [
            "cases-linked",
            "cases-unlinked",
        ]


async def test_twenty_children_of_one_report(room: Room, office: Office) -> None:
    (place,) = await room.report(about="place", concerns=["hazardous_child_labour"])
    people: list[dict[str, Any]] = [
        {"name": f"Example Child {n}", "age": {"min": 8, "max": 9}, "sex": "male"}
        for n in range(20)
    ]
    for person in people[:2]:
        person["household"] = "brothers"
    ids = await office.split(place, *people)
    assert len(set(ids)) == 20
    (report,) = await room.rows(
        "SELECT count(DISTINCT submission_id) AS reports, count(*) FILTER (WHERE"
        " facts ->> 'about' = 'person') AS cases FROM cases"
    )
    assert (report.reports, report.cases) == (1, 20)
    facts = [await room.facts(key) for key in ids]
    assert len({f["report_id"] for f in facts}) == 1
    assert facts[0]["household_id"] == facts[1]["household_id"] is not None
    assert [f["keep_together"] for f in facts[:3]] == [True, True, False]
    told = [await room.events(key) for key in ids]
    assert "Example Child" not in str(told)
    async with room.engine.begin() as conn:
        who = await room.disclosures.read_persons(conn, ids[4], "test", (), COORDINATOR, room.now)
    assert [p["name"] for p in who["persons"]] == ["Example Child 4"]
    with pytest.raises(Conflict, match="a split"):
        await office.split(ids[0], people[0], people[1])


async def test_two_boys_are_two_cases_and_each_is_asked(room: Room, office: Office) -> None:
    (first,) = await room.report(
        persons=[{"ref": "a", "count": 2, "sex": "male"}], concerns=["child_labour"]
    )
    boys = [
        {"name": f"Example Boy {n}", "age": {"min": n, "max": n}, "sex": "male"} for n in (11, 13)
    ]
    (second,) = await office.split(first, *boys)
    assert [(await room.facts(k))["age"] for k in (first, second)] == [11, 13]
    assert [(await room.facts(k))["count"] for k in (first, second)] == [1, 1]
    for key, name in ((first, "Example Boy 11"), (second, "Example Boy 13")):
        async with room.engine.begin() as conn:
            told = await room.disclosures.read_persons(conn, key, "test", (), COORDINATOR, room.now)
        assert [p["name"] for p in told["persons"]] == [name]
    with pytest.raises(Conflict):
        await office.split(first, *boys)


async def test_a_page_goes_on_until_somebody_takes_it(room: Room, office: Office) -> None:
    await office.on_duty("d1", "a1", "a2", "a3")
    case_id = await a_case(room, danger_now=True)
    loops = [office.loop(), office.loop()]

    async def paged() -> list[Any]:
        return [
            e["data"]["step"]["to"] for e in await room.events(case_id) if e["type"] == "duty-paged"
        ]

    assert await paged() == ["d1"]
    assert (await office.tasks(case_id))["triage"]["named"] == "d1"
    for expected in (["d1", "a1"], ["d1", "a1", "a2"], ["d1", "a1", "a2", None]):
        room.now += timedelta(minutes=14)
        await asyncio.gather(*(loop.round() for loop in loops))
        assert await paged() == expected[:-1]
        room.now += timedelta(minutes=1)
        await asyncio.gather(*(loop.round() for loop in loops))
        assert await paged() == expected
    assert (await office.tasks(case_id))["nobody_on_duty"]["level"] == "supervisor"
    async with room.engine.begin() as conn:
        task = (await office.tasks(case_id))["triage"]
        await office.casework.claim(conn, task["task_id"], COORDINATOR, room.now)
    before = await paged()
    room.now += timedelta(hours=25)
    for loop in loops:
        await loop.round()
    assert await paged() == before
    debrief = (await office.tasks(case_id))["debrief"]
    assert (debrief["level"], debrief["detail"]) == ("supervisor", COORDINATOR.actor)


async def test_with_nobody_on_duty_it_is_an_alert_until_somebody_comes(
    room: Room, office: Office
) -> None:
    case_id = await a_case(room, danger_now=True)
    assert "nobody_on_duty" in await office.tasks(case_id)
    loop = office.loop()
    for _ in range(4):
        room.now += timedelta(minutes=15)
        await loop.round()
    assert (await office.types(case_id)).count("duty-paged") == 1
    await office.on_duty("late")
    room.now += timedelta(minutes=15)
    await loop.round()
    assert (await room.events(case_id))[-1]["data"]["step"]["to"] == "late"


async def test_who_is_not_back_is_looked_for_and_who_is_back_is_not(
    room: Room, office: Office
) -> None:
    case_id = await a_case(room)
    visits = []
    for _ in range(2):
        async with room.engine.begin() as conn:
            back = room.now + timedelta(hours=3)
            visits.append(await office.visits.start(conn, office.asked(case_id), "c1", back))
    async with room.engine.begin() as conn:
        await office.visits.back(conn, office.asked(case_id), visits[0])
    room.now += timedelta(hours=3)
    await office.loop().round()
    task = (await office.tasks(case_id))["visit_overdue"]
    assert (task["about"], task["urgency"]) == (visits[1], "T0")
    assert (await office.types(case_id))[-1] == "duty-paged"
    async with room.engine.begin() as conn:
        await office.visits.back(conn, office.asked(case_id), visits[1])
    assert "visit_overdue" not in await office.tasks(case_id)
    with pytest.raises(NotFound):
        async with room.engine.begin() as conn:
            await office.visits.back(conn, office.asked(case_id), visits[1])


async def test_harm_is_before_the_focal_person_alone_and_in_no_event_is_a_word(
    room: Room, office: Office
) -> None:
    case_id = await a_case(room)
    await office.step(
        case_id,
        "feedback",
        lambda f: word.hear(case_id, f, "harmed", "staff"),
        by=SUPERVISOR,
        text="he shouted at me",
    )
    task = (await office.tasks(case_id))["harmed"]
    assert task["level"] == "safeguarding_focal_person"
    assert "shouted" not in str(await room.events(case_id))


async def test_a_handover_is_the_givers_until_accepted(room: Room, office: Office) -> None:
    case_id = await a_case(room)
    await office.assign(case_id)
    await office.step(case_id, "handover", lambda f: handover.offer(case_id, f, "centre-b"))
    with pytest.raises(Conflict):
        await office.step(case_id, "handover", lambda f: handover.offer(case_id, f, "centre-c"))
    await office.step(
        case_id, "handover", lambda f: handover.answer(case_id, f, "centre-b", "accepted")
    )
    facts = await room.facts(case_id)
    assert (facts["status"], facts["work"]["handed_to"]) == ("open", "centre-b")
    assert [t for t in await office.types(case_id) if t.startswith("handover")] == [
        "handover-offered",
        "handover-accepted",
    ]
