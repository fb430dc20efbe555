"""Silence acts, on a real PostgreSQL: the clock is moved, loops race, stop and start; each once."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.referral import funnel
from services.referral.referral import Referral
from services.referral.silence import LADDER
from shared.database import make_engine
from shared.errors import Conflict
from shared.events import ConsentState
from shared.telemetry import REGISTRY
from tests.support.office import NEED, Office, open_office
from tests.support.referrals import AT
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


pytestmark = pytest.mark.timeout(600)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATE = DAY + timedelta(seconds=1)
NEAR = {"area_level": "district", "area_pcode": "BD3026"}
"""Where an offer is nearer than one for the whole country, and is asked first."""


@pytest.fixture
async def office(postgres_admin_dsn: str) -> AsyncIterator[Office]:
    async with open_office(postgres_admin_dsn) as opened:
        yield opened


def types(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("referral-") for event in events]


def up(silence: str) -> list[tuple[str, str]]:
    """Return the whole ladder of a silence."""
    return [(silence, step) for step in LADDER]


async def test_silence_ends_asks_the_next_waits_and_is_told_up_to_the_district(
    office: Office,
) -> None:
    await office.list_offer("a-first", **NEAR)
    await office.list_offer("b-second")
    case_id = uuid4()
    await office.tell("case-created", case_id)
    [one] = await office.of(case_id)
    assert (one.state, one.provider_id) == ("assigned", "a-first")
    assert await office.later(DAY - HOUR) == 0
    assert await office.later(HOUR) == 1
    assert await office.later(LATE) == 1
    assert [r.state for r in await office.of(case_id)] == ["expired", "expired", "waiting"]
    assert await office.told(case_id) == [("nobody_serves", "coordinator")]
    for _ in range(6):
        await office.later(HOUR)
    assert await office.told(case_id) == up("nobody_serves")
    events = await office.events(case_id)
    assert types(events) == [
        *("planned", "released", "assigned", "expired"),
        *("planned", "assigned", "expired"),
        *("planned", "waiting", "escalated", "escalated", "escalated"),
    ]
    assert [int(e["sequence"]) for e in events] == list(range(1, 13))
    assert events[-1]["actor"] == "service:referral.deadlines"
    await office.list_offer("c-third")
    assert await office.later(timedelta()) == 1, "it did not wait for the hour"
    *_, got = await office.of(case_id)
    assert (got.state, got.provider_id, got.escalation) == ("assigned", "c-third", None)
    assert await office.timers() == 1
    assert types(await office.feed("a-first")) == ["assigned", "expired"]


async def _missed(office: Office) -> tuple[UUID, Referral, Referral]:
    """Return a case whose first provider said yes and saw nobody, and the parallel offer."""
    await office.list_offer("a-first", places_free=2, places_total=2, **NEAR)
    await office.list_offer("b-second")
    case_id = uuid4()
    await office.tell("case-created", case_id)
    [one] = await office.of(case_id)
    await office.act(one, "accept")
    assert await office.later(LATE) == 1
    assert await office.later(timedelta()) == 0
    first, second = await office.of(case_id)
    assert (first.state, second.state) == ("accepted", "assigned")
    assert (second.provider_id, second.parent_referral_id) == ("b-second", first.referral_id)
    assert second.released_by == "rule"
    assert await office.told(case_id) == [("first_contact", "coordinator")]
    return case_id, first, second


async def test_a_missed_first_contact_ends_when_the_second_accepts(office: Office) -> None:
    case_id, first, second = await _missed(office)
    await office.act(second, "accept")
    ended, serving = await office.of(case_id)
    assert (ended.state, ended.reason) == ("withdrawn", "superseded")
    assert serving.state == "accepted"
    with pytest.raises(Conflict):
        await office.act(first, "contact")
    assert (await office.act(first, "acknowledge-withdrawal")).acknowledged_at == office.now
    entries = await office.feed("a-first")
    assert types(entries)[-3:] == ["escalated", "withdrawn", "withdrawal-acknowledged"]
    assert [e["seq"] for e in entries] == list(range(1, len(entries) + 1))
    assert entries[-2]["referral"]["allowed"] == ["acknowledge-withdrawal"]
    assert not any(e["referral"].keys() & {"silence", "escalated_to", "awaits"} for e in entries)
    await office.act(serving, "contact")
    assert await office.later(2 * DAY) == 0
    async with office.engine.connect() as conn:
        free = await conn.scalar(text("SELECT places_free FROM offers WHERE offer_id = 'a-first'"))
    assert free == 2


async def test_a_missed_first_contact_ends_when_the_first_is_there_after_all(
    office: Office,
) -> None:
    case_id, first, second = await _missed(office)
    await office.act(first, "start")
    serving, ended = await office.of(case_id)
    assert (serving.state, serving.escalation) == ("in_service", None)
    assert (ended.state, ended.reason) == ("withdrawn", "superseded")
    with pytest.raises(Conflict):
        await office.act(second, "accept")
    await office.act(second, "acknowledge-withdrawal")
    assert types(await office.feed("b-second")) == [
        "assigned",
        "withdrawn",
        "withdrawal-acknowledged",
    ]
    await office.later(2 * HOUR)
    assert await office.told(case_id) == [("first_contact", "coordinator")]


async def _to_release(office: Office, case_id: UUID) -> timedelta:
    await office.tell("case-created", case_id, entitled=False)
    return HOUR


async def _on_a_list(office: Office, case_id: UUID) -> timedelta:
    await office.tell("case-created", case_id)
    day = (AT + 9 * DAY).date().isoformat()
    await office.act((await office.of(case_id))[0], "accept", waitlisted=True, expected_on=day)
    return timedelta(days=9, hours=6)  # AT is 18:00 in Dhaka


async def _to_deliver(office: Office, case_id: UUID) -> timedelta:
    await office.tell("case-created", case_id)
    [one] = await office.of(case_id)
    await office.act(one, "accept")
    await office.act(one, "start")
    return 7 * DAY


LADDERS = {"release": _to_release, "waitlist": _on_a_list, "deliver": _to_deliver}


@pytest.mark.parametrize("silence", LADDERS)
async def test_each_silence_is_told_step_by_step_and_then_no_more(
    office: Office, silence: str
) -> None:
    await office.list_offer("a-first")
    case_id = uuid4()
    due = await LADDERS[silence](office, case_id)
    [before] = await office.of(case_id)
    assert await office.later(due - HOUR) == 0
    assert await office.later(HOUR) == 1
    assert await office.later(30 * DAY) == 1, "the loop was down for a month: one step"
    assert await office.later(2 * HOUR) == 1
    assert await office.later(30 * DAY) == 0
    assert await office.told(case_id) == up(silence)
    [after] = await office.of(case_id)
    assert after.state == before.state
    assert await office.timers() == 0


async def test_a_release_ends_its_ladder(office: Office) -> None:
    await office.list_offer("a-first")
    case_id = uuid4()
    await _to_release(office, case_id)
    await office.later(HOUR)
    [one] = await office.of(case_id)
    assert (await office.release(one)).escalation is None
    await office.later(5 * HOUR)
    assert await office.told(case_id) == [("release", "coordinator")]


async def test_nothing_fires_for_a_closed_case_and_its_clocks_go_on_when_it_is_reopened(
    office: Office,
) -> None:
    await office.list_offer("a-first")
    case_id = uuid4()
    await office.tell("case-created", case_id)
    await office.act((await office.of(case_id))[0], "accept")
    await office.tell("case-closed", case_id, status="closed")
    await office.later(9 * DAY)
    assert await office.told(case_id) == []
    assert await office.timers() == 0
    await office.tell("case-reopened", case_id)
    await office.later(timedelta())
    assert ("first_contact", "coordinator") in await office.told(case_id)


async def test_a_withdrawn_consent_owes_a_hearing_and_test_traffic_nothing(
    office: Office,
) -> None:
    await office.list_offer("a-first")
    case_id, trial = uuid4(), uuid4()
    await office.tell("case-created", case_id)
    await office.tell("case-created", trial, test=True)
    await office.tell("consent-withdrawn", case_id, consent=ConsentState())
    assert await office.timers() == 1  # its provider must say that it heard of it
    await office.later(30 * DAY)
    assert await office.told(case_id) == [("acknowledge", "coordinator")]
    assert await office.told(trial) == []


# --- races ----------------------------------------------------------------------------------------

MANY = 300


async def test_a_clock_that_ran_a_day_ahead_makes_nothing_late(office: Office) -> None:
    await office.list_offer("a-first", **NEAR)
    await office.list_offer("b-second")
    awaited, offered, waiting = uuid4(), uuid4(), uuid4()
    await office.tell("case-created", awaited, entitled=False)
    office.now += DAY
    await office.later(timedelta())
    await office.tell("case-created", offered)
    await office.tell("case-created", waiting, excluded=["ngo"])
    assert await office.told(awaited) == [("release", "coordinator")], "early, but told"
    office.now -= DAY
    assert await office.later(timedelta()) == 3, "each that was set ahead is looked at, once"
    assert await office.later(timedelta()) == 0
    [late] = await office.of(offered)
    assert (late.respond_by, late.assigned_at) == (AT + DAY, AT)
    await office.later(2 * HOUR)
    ladder = [("release", "coordinator"), ("release", "supervisor")]
    assert await office.told(awaited) == ladder
    assert await office.told(waiting) == up("nobody_serves")[:2]
    await office.later(DAY - 2 * HOUR)
    assert [r.state for r in await office.of(offered)] == ["expired", "assigned"]


async def test_who_waits_is_looked_for_at_once_though_the_clock_ran_ahead(office: Office) -> None:
    case_id = uuid4()
    await office.tell("case-created", case_id)
    office.now += DAY
    await office.list_offer("a-first")
    office.now -= DAY
    assert await office.later(HOUR) == 1
    assert [r.state for r in await office.of(case_id)] == ["assigned"]


async def test_places_told_too_long_ago_count_as_unknown_and_their_provider_is_asked(
    office: Office,
) -> None:
    await office.list_offer("a-first", places_free=0, places_total=4)
    case_id = uuid4()
    await office.tell("case-created", case_id)
    assert [r.state for r in await office.of(case_id)] == ["waiting"]
    await office.later(7 * DAY)
    assert [r.state for r in await office.of(case_id)] == ["waiting"], "a 0 of this week is a no"
    await office.later(timedelta(seconds=1))
    told = [e for e in await office.events() if e["type"] == "capacity-changed"]
    assert [(e["subject"], e["data"]["stale"], e["data"]["places_free"]) for e in told] == [
        ("a-first", True, None)
    ]
    assert [r.state for r in await office.of(case_id)] == ["assigned"], "who waited is looked at"
    assert await office.later(30 * DAY) >= 0
    again = [e for e in await office.events() if e["type"] == "capacity-changed"]
    assert again == told, "it is said once"


def _of_kind(events: list[dict[str, Any]], kind: str) -> Counter[str]:
    """Return how often each case had an event of a kind."""
    return Counter(e["subject"] for e in events if e["type"] == f"referral-{kind}")


@pytest.mark.slow
async def test_replicas_that_race_stop_and_start_fire_each_timer_once(office: Office) -> None:
    for provider in ("a-first", "b-second", "c-third"):
        await office.list_offer(provider)
    cases = [uuid4() for _ in range(MANY)]
    for start in range(0, MANY, 100):
        await office.tell("case-created", *cases[start : start + 100])
    url = office.database.urls("referral")["DATABASE_URL"]
    engines = [make_engine(url, size=2, name=f"replica {n}") for n in range(3)]
    office.now += LATE
    running = [asyncio.create_task(office.loop(engine).run()) for engine in engines[:2]]
    await eventually(lambda: _expired(office, MANY // 3), 150, "a third of them")
    running[0].cancel()  # in the middle of whatever it does
    await asyncio.gather(running[0], return_exceptions=True)
    running.append(asyncio.create_task(office.loop(engines[2]).run()))
    await eventually(lambda: _expired(office, MANY), 150, "all of them")
    office.now += LATE  # the second silence of each, now with the two others
    await eventually(lambda: _expired(office, 2 * MANY), 150, "all of them again")
    office.now += 2 * HOUR
    await eventually(lambda: _told(office, 2 * MANY), 150, "the second step of each")
    for task in running[1:]:
        task.cancel()
    await asyncio.gather(*running[1:], return_exceptions=True)
    assert await office.later(timedelta()) == 0, "nothing is left"
    for engine in engines:
        await engine.dispose()
    events = await office.events()
    names = {str(case_id) for case_id in cases}
    assert _of_kind(events, "expired") == Counter(dict.fromkeys(names, 2))
    assert _of_kind(events, "assigned") == Counter(dict.fromkeys(names, 3))
    assert _of_kind(events, "escalated") == Counter(dict.fromkeys(names, 2))
    steps = Counter(
        (e["subject"], e["data"]["silence"], e["data"]["escalated_to"])
        for e in events
        if e["type"] == "referral-escalated"
    )
    assert set(steps.values()) == {1}
    assert {step[1:] for step in steps} == set(up("respond")[:2])
    for provider in ("a-first", "b-second", "c-third"):
        numbers = [entry["seq"] for entry in await office.feed(provider)]
        assert numbers == list(range(1, len(numbers) + 1))


async def _expired(office: Office, least: int) -> bool:
    return await _count(office, "referral-expired") >= least


async def _told(office: Office, least: int) -> bool:
    return await _count(office, "referral-escalated") >= least


async def _count(office: Office, kind: str) -> int:
    async with office.engine.connect() as conn:
        found = await conn.scalar(text("SELECT count(*) FROM outbox WHERE type = :k"), {"k": kind})
    return int(found or 0)


async def test_an_answer_at_the_last_moment_wins_or_comes_too_late(office: Office) -> None:
    await office.list_offer("a-first")
    await office.list_offer("b-second")
    cases = [uuid4() for _ in range(60)]
    await office.tell("case-created", *cases)
    offered = [(await office.of(case_id))[0] for case_id in cases]
    office.now += LATE
    answers: dict[UUID, Referral | Exception] = {}

    async def answer(some: list[Referral]) -> None:
        for one in some:
            try:
                answers[one.case_id] = await office.act(one, "accept")
            except Exception as error:
                answers[one.case_id] = error

    engine = make_engine(office.database.urls("referral")["DATABASE_URL"], size=2, name="loop")
    async with engine.connect():
        pass  # it is as ready as the others
    await asyncio.gather(office.loop(engine).round(), answer(offered[::2]), answer(offered[1::2]))
    await engine.dispose()
    assert len({type(answer) for answer in answers.values()}) == 2, "each won at least once"
    for case_id, answered in answers.items():
        first, *more = await office.of(case_id)
        if isinstance(answered, Referral):
            assert (first.state, more) == ("accepted", [])
        else:
            assert isinstance(answered, Conflict)
            assert (first.state, [r.state for r in more]) == ("expired", ["assigned"])
    assert await office.later(timedelta()) == 0


# --- figures --------------------------------------------------------------------------------------


def gauge(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_the_funnel_is_measured_from_the_database(office: Office) -> None:
    async with office.engine.connect() as conn:
        await funnel.measure(conn, office.now)
    told = gauge("pashe_referral_escalations_total", silence="release", level="coordinator") or 0
    await office.list_offer("a-first")
    cases = [uuid4() for _ in range(5)]
    await office.tell("case-created", *cases[:3])
    await office.tell("case-created", cases[3], entitled=False)
    await office.tell("case-created", cases[4], test=True)
    await office.act((await office.of(cases[0]))[0], "accept")
    async with office.engine.connect() as conn:
        await funnel.measure(conn, office.now + HOUR)
        assert gauge("pashe_referrals_unanswered", owed="respond", urgency="T1") == 0
        await funnel.measure(conn, office.now + LATE)
    now = {
        state: gauge("pashe_referrals_now", state=state, need=NEED)
        for state in ("planned", "assigned", "accepted", "waiting")
    }
    assert now == {"planned": 1, "assigned": 2, "accepted": 1, "waiting": 0}
    assert gauge("pashe_referrals_unanswered", owed="respond", urgency="T1") == 2
    assert gauge("pashe_referrals_unanswered", owed="first_contact", urgency="T1") == 1
    assert gauge("pashe_referrals_unanswered", owed="respond", urgency="T0") == 0
    await office.later(HOUR)
    after = gauge("pashe_referral_escalations_total", silence="release", level="coordinator")
    assert after == told + 1
    await office.tell("consent-withdrawn", *cases, consent=ConsentState())
    async with office.engine.connect() as conn:
        await funnel.measure(conn, office.now)
    assert gauge("pashe_referrals_now", state="assigned", need=NEED) == 0
    assert gauge("pashe_withdrawals_unacknowledged") == 3
