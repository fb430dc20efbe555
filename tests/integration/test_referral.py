"""Referral as a process, on real Kafka and PostgreSQL: planned, offered, answered, followed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.keys import make_keys
from services.referral.directory import read_profile
from services.referral.records_store import refresh_records
from services.referral.remarks import RemarkSeal, SealBroken
from shared.database import make_engine
from shared.events import CASES, ConsentState
from shared.kafka import partition_of
from shared.vocabulary import Role
from tests.support.centre import BASE, KERANIGANJ, Centre, facts, load_directory
from tests.support.platform import fresh_database
from tests.support.processes import Child
from tests.support.stack import free_port
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

SAVAR = "BD30260072"

FREE_DISTRICTS = iter(["BD4001", "BD1009", "BD1042", "BD1078", "BD1079", "BD2003", "BD2012"])
"""Districts where a test lists offers of its own, one a test."""


@pytest.fixture(scope="module")
def running_centre(
    streams: str, postgres_admin_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Centre]:
    folder = tmp_path_factory.mktemp("referral")
    make_keys(folder / "keys", beside_data=False)
    with asyncio.Runner() as runner:
        making = fresh_database(postgres_admin_dsn, "referral")
        database = runner.run(making.__aenter__())
        centre = Centre(database, streams, folder / "keys", free_port(), folder / "referral.log")
        try:
            load_directory(centre)
            centre.child = Child("services.referral.main", centre.environment(), centre.log)
            with centre.child:
                yield centre
        finally:
            runner.run(making.__aexit__(None, None, None))


@pytest.fixture
async def centre(running_centre: Centre) -> Centre:
    await running_centre.ready()
    return running_centre


# --- the main path --------------------------------------------------------------------------------


async def test_a_case_is_planned_released_assigned_accepted_started_and_delivered(
    centre: Centre,
) -> None:
    case_id = uuid4()
    await centre.tell("case-created", case_id, facts())
    [referral] = await centre.reaches(case_id, "assigned")
    assert referral["provider_id"] == "ueo-bd30260038"
    assert referral["released_by"] == "rule"
    for verb, state in (
        ("accept", "accepted"),
        ("contact", "accepted"),
        ("start", "in_service"),
        ("deliver", "delivered"),
    ):
        answer = await centre.post(referral, verb)
        assert answer.status_code == 200, answer.text
        assert answer.json()["state"] == state
    events = await centre.events(case_id)
    types = [
        "referral-planned",
        "referral-released",
        "referral-assigned",
        "referral-accepted",
        "first-contact-made",
        "service-started",
        "service-delivered",
    ]
    assert [event["type"] for event in events] == types
    assert [int(event["sequence"]) for event in events] == list(range(1, 8))
    mine = [e for e in await centre.feed("ueo-bd30260038") if e["case_id"] == str(case_id)]
    assert [entry["type"] for entry in mine] == types[2:]
    assert [entry["event_id"] for entry in mine] == [event["id"] for event in events[2:]]
    assert [entry["seq"] for entry in mine] == [e["data"]["feed_seq"] for e in events[2:]]
    assert [entry["sequence"] for entry in mine] == list(range(3, 8))


async def test_a_need_marked_p_waits_for_a_coordinator(centre: Centre) -> None:
    case_id = uuid4()
    await centre.tell("case-created", case_id, facts(needs=["shelter"], sex="male", age=14))
    [planned] = await centre.reaches(case_id, "planned")
    assert planned["provider_id"] is None
    assert planned["allowed"] == ["release", "told", "withdraw", "mark-error"]
    assert planned["awaits"] == "release"
    assert planned["suggested_offer_id"] is not None
    refused = await centre.post(planned, "release", role=Role.PROVIDER_SYSTEM, org="anybody")
    assert refused.status_code == 404
    released = await centre.post(planned, "release", role=Role.COORDINATOR)
    assert released.status_code == 200, released.text
    told = released.json()
    assert (told["state"], told["provider_id"]) == ("assigned", "example-boys-home-dhaka")
    assert told["released_by"] == "coordinator:test"
    again = await centre.post(planned, "release", role=Role.COORDINATOR)
    assert (again.status_code, again.json()["version"]) == (200, told["version"])


async def test_two_needs_are_two_referrals_of_two_rules(centre: Centre) -> None:
    case_id = uuid4()
    await centre.tell("case-created", case_id, facts(needs=["legal_aid", "education"]))
    education, legal = await centre.reaches(case_id, "assigned", "assigned")
    assert (education["need"], legal["need"]) == ("education", "legal_aid")
    assert legal["provider_id"] == "example-legal-aid-dhaka"


async def test_a_decline_is_offered_to_the_next_until_nobody_is_left(centre: Centre) -> None:
    district = next(FREE_DISTRICTS)
    first = await centre.list_offer("decline-a", area_pcode=district, places_free=2)
    second = await centre.list_offer("decline-b", area_pcode=district)
    case_id = uuid4()
    told = facts(needs=["disability_support"], upazila=None, district=district)
    await centre.tell("case-created", case_id, told)
    [one] = await centre.reaches(case_id, "assigned")
    assert one["offer_id"] == first
    assert (await centre.get(f"/offers/{first}"))["places_free"] == 1
    body = {"reason": "other", "text": "canary words of a worker"}
    answer = await centre.post(one, "decline", body)
    assert answer.json()["state"] == "declined"
    _, two = await centre.reaches(case_id, "declined", "assigned")
    assert (two["offer_id"], two["attempt"]) == (second, 2)
    assert two["parent_referral_id"] == one["referral_id"]
    assert (await centre.get(f"/offers/{first}"))["places_free"] == 2
    why = await centre.get(f"/referrals/{two['referral_id']}/explanation")
    verdicts = {line["offer_id"]: line["verdict"] for line in why["considered"]}
    assert verdicts == {first: "already tried", second: "in"}
    await centre.post(two, "decline", {"reason": "no_capacity"})
    *_, waits = await centre.reaches(case_id, "declined", "declined", "waiting")
    assert waits["waiting"]["since"]
    events = await centre.events(case_id)
    assert [e["type"].removeprefix("referral-") for e in events] == [
        *("planned", "released", "assigned", "declined"),
        *("planned", "assigned", "declined", "planned", "waiting", "escalated"),
    ]
    told = events[-1]["data"]
    assert (told["silence"], told["escalated_to"]) == ("nobody_serves", "coordinator")
    assert "canary" not in json.dumps(events) + json.dumps(await centre.feed("decline-a"))
    texts = await centre.rows(
        "SELECT sealed FROM referral_texts WHERE referral_id = $1", UUID(one["referral_id"])
    )
    key = (centre.keys / "referral" / "seal.key").read_text()
    seal = RemarkSeal(bytes.fromhex(key))
    opened = [seal.open(UUID(one["referral_id"]), row["sealed"]) for row in texts]
    assert opened == [body["text"]]
    assert all(b"canary" not in row["sealed"] for row in texts)
    with pytest.raises(SealBroken):  # a text moved to another referral does not open
        seal.open(uuid4(), texts[0]["sealed"])


async def test_whoever_waits_is_served_as_soon_as_there_is_a_place(centre: Centre) -> None:
    district = next(FREE_DISTRICTS)
    offer = await centre.list_offer("waits-a", area_pcode=district, places_free=0)
    case_id = uuid4()
    told = facts(needs=["disability_support"], upazila=None, district=district)
    await centre.tell("case-created", case_id, told)
    [waits] = await centre.reaches(case_id, "waiting")
    why = await centre.get(f"/referrals/{waits['referral_id']}/explanation")
    verdicts = [line["verdict"] for line in why["considered"]]
    assert verdicts.count("no free place") == 1
    assert set(verdicts) <= {"no free place", "does not cover the place"}  # it was looked around
    assert len(why["beyond"]) == verdicts.count("does not cover the place")
    assert {*map(len, why["reads"].values())} == {len(verdicts) + 1 + bool(why["beyond"])}
    path = f"/offers/{offer}/capacity"
    other = await centre.call("PUT", path, Role.PROVIDER_WORKER, "waits-b", {"places_free": 1})
    assert other.status_code == 403
    mine = await centre.call("PUT", path, Role.PROVIDER_WORKER, "waits-a", {"places_free": 1})
    assert mine.status_code == 200, mine.text
    [got] = await centre.reaches(case_id, "assigned")
    assert got["provider_id"] == "waits-a"
    assert (await centre.get(f"/offers/{offer}"))["places_free"] == 0
    [row] = await centre.rows(
        "SELECT type, needs FROM outbox WHERE key = $1 AND topic = 'referrals'", offer.encode()
    )
    assert (row["type"], row["needs"]) == ("capacity-changed", "disability_support")


async def test_places_are_never_given_twice(centre: Centre) -> None:
    district = next(FREE_DISTRICTS)
    scarce = await centre.list_offer("scarce-a", area_pcode=district, places_free=3)
    ample = await centre.list_offer("scarce-b", area_pcode=district)
    cases = [uuid4() for _ in range(10)]
    told = facts(needs=["disability_support"], upazila=None, district=district)
    await asyncio.gather(*(centre.tell("case-created", case_id, told) for case_id in cases))
    offers = []
    for case_id in cases:
        [one] = await centre.reaches(case_id, "assigned")
        offers.append(one["offer_id"])
    assert offers.count(scarce) == 3
    assert offers.count(ample) == 7
    assert (await centre.get(f"/offers/{scarce}"))["places_free"] == 0


# --- who may see and do what ----------------------------------------------------------------------


async def _assigned(centre: Centre, provider: str, **fields: Any) -> dict[str, Any]:
    """Make a referral that is assigned to a provider of its own."""
    district = "BD2013"
    level = {"area_level": "upazila", "area_pcode": UPAZILAS.pop()}
    await centre.list_offer(provider, **level)
    case_id = uuid4()
    told = facts(
        needs=["disability_support"], upazila=level["area_pcode"], district=district, **fields
    )
    await centre.tell("case-created", case_id, told)
    [one] = await centre.reaches(case_id, "assigned")
    assert one["provider_id"] == provider
    return one


UPAZILAS = ["BD20130022", "BD20130045", "BD20130047", "BD20130049", "BD20130058", "BD20130076"]
UPAZILAS += ["BD20130079", "BD20130095", "BD10040009", "BD10040019", "BD10040028", "BD10040047"]


async def test_a_provider_sees_its_own_referrals_and_no_others(centre: Centre) -> None:
    mine = await _assigned(centre, "own-a")
    path = f"/referrals/{mine['referral_id']}"
    for provider, status in (("own-a", 200), ("own-b", 404)):
        answer = await centre.call("GET", path, Role.PROVIDER_WORKER, provider)
        assert answer.status_code == status
        answer = await centre.call("POST", f"{path}/accept", Role.PROVIDER_WORKER, provider, {})
        assert answer.status_code == status
    assert (await centre.call("GET", path, None)).status_code == 401
    assert (await centre.call("POST", f"{path}/start", None, body={})).status_code == 401
    assert (await centre.call("GET", path, Role.PARTNER, "own-a")).status_code == 403
    assert (await centre.call("GET", path, Role.PROVIDER_WORKER, None)).status_code == 403
    why = await centre.call("GET", f"{path}/explanation", Role.PROVIDER_WORKER, "own-a")
    assert why.status_code == 403
    desk = await centre.call("POST", f"{path}/deliver", Role.COORDINATOR, body={})
    assert desk.status_code == 403
    listed = await centre.call("GET", "/referrals?provider_id=own-a", Role.PROVIDER_WORKER, "own-b")
    assert listed.status_code == 403
    none = await centre.get("/referrals", Role.PROVIDER_WORKER, "own-b")
    assert none == {"items": [], "next": None}
    everything = await centre.get("/referrals", Role.PROVIDER_WORKER, "own-a")
    assert [r["referral_id"] for r in everything["items"]] == [mine["referral_id"]]


async def test_row_level_security_hides_what_the_code_would_not(centre: Centre) -> None:
    mine = await _assigned(centre, "rls-a")
    urls = centre.database.urls("referral")
    conn = await asyncpg.connect(urls["DATABASE_WEB_URL"])
    tables = ("referrals", "feed_entries", "feeds", "referral_texts", "explanations", "cases")
    try:
        for organisation, sees in (("", False), ("rls-b", False), ("rls-a", True), ("*", True)):
            async with conn.transaction():
                await conn.execute(
                    "SELECT set_config('pashe.organisation', $1, true)", organisation
                )
                found = await conn.fetchval(
                    "SELECT count(*) FROM referrals WHERE referral_id = $1",
                    UUID(mine["referral_id"]),
                )
                fed = await conn.fetchval(
                    "SELECT count(*) FROM feed_entries WHERE provider_id = 'rls-a'"
                )
                assert (bool(found), bool(fed)) == (sees, sees), organisation
                for table in tables:
                    seen = await conn.fetchval(f"SELECT count(*) FROM {table}")
                    assert seen == 0 or sees, (organisation, table)
        for statement in (
            "UPDATE referrals SET state = 'delivered'",
            "DELETE FROM feed_entries",
            "ALTER TABLE referrals DISABLE ROW LEVEL SECURITY",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(statement)
    finally:
        await conn.close()
    forced = await centre.rows(
        "SELECT relname FROM pg_class WHERE relforcerowsecurity AND relname = ANY($1)", tables
    )
    assert len(forced) == len(tables)


async def test_the_same_answer_again_is_the_present_state_and_no_event(centre: Centre) -> None:
    one = await _assigned(centre, "again-a")
    key = {"Idempotency_Key": str(uuid4())}
    first = await centre.post(one, "accept", **key)
    same = await centre.post(one, "accept", **key)
    assert first.content == same.content
    other = await centre.post(one, "accept", {"provider_reference": "A-1"}, **key)
    assert other.status_code == 409
    assert other.json()["type"].endswith("idempotency-conflict")
    await centre.post(one, "start")
    late = await centre.post(one, "accept")
    assert (late.status_code, late.json()["state"]) == (200, "in_service")
    types = [e["type"] for e in await centre.events(UUID(one["case_id"]))]
    assert types.count("referral-accepted") == 1


async def test_a_conflict_names_the_state_and_a_version_is_held_to(centre: Centre) -> None:
    one = await _assigned(centre, "held-a")
    shown = await centre.call("GET", f"/referrals/{one['referral_id']}")
    assert shown.headers["etag"] == f'"{one["version"]}"'
    stale = await centre.post(one, "accept", If_Match='"1"')
    assert (stale.status_code, stale.json()["version"]) == (412, one["version"])
    assert (stale.json()["state"], stale.json()["held_by"]) == ("assigned", one["provider_id"])
    wrong = await centre.post(one, "accept", {"expected_state": "planned"})
    assert (wrong.status_code, wrong.json()["state"]) == (409, "assigned")
    early = await centre.post(one, "deliver")
    assert (early.status_code, early.json()["state"]) == (409, "assigned")
    assert early.json()["allowed"] == ["accept", "decline"]
    assert early.json()["held_by"] == one["provider_id"]
    assert (await centre.post(one, "accept", If_Match=f'"{one["version"]}"')).status_code == 200


BAD: dict[str, tuple[str, Any]] = {
    "no reason": ("decline", {}),
    "no such reason": ("decline", {"reason": "canary"}),
    "other without words": ("decline", {"reason": "other"}),
    "an unknown field": ("accept", {"canary": 1}),
    "no such part": ("deliver", {"how_much": "canary"}),
    "a sentence as outcome": ("deliver", {"outcome": "Canary went home"}),
    "a name as reference": ("accept", {"provider_reference": "ক" * 9}),
    "no such milestone": ("milestone", {"kind": "canary"}),
    "a list": ("accept", []),
}


async def test_a_bad_body_is_a_problem_without_echo(centre: Centre) -> None:
    one = await _assigned(centre, "bad-a")
    for name, (verb, body) in BAD.items():
        answer = await centre.post(one, verb, body)
        assert answer.status_code == 422, (name, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "canary" not in answer.text.lower(), name


async def test_lists_go_on_after_the_cursor_in_the_order_of_change(centre: Centre) -> None:
    one = await _assigned(centre, "list-a")
    case_id = UUID(one["case_id"])
    first = await centre.get(f"/referrals?case_id={case_id}")
    assert first["next"]
    after = f"/referrals?case_id={case_id}&after={first['next']}"
    assert (await centre.get(after))["items"] == []
    own = await centre.get("/referrals?limit=1", Role.PROVIDER_SYSTEM, "list-a")
    await centre.post(one, "accept")

    async def changed() -> bool:
        return [r["state"] for r in (await centre.get(after))["items"]] == ["accepted"]

    await eventually(changed, 5, "the change after the cursor")
    mine = await centre.get(f"/referrals?after={own['next']}", Role.PROVIDER_SYSTEM, "list-a")
    assert [r["state"] for r in mine["items"]] == ["accepted"]
    assert (await centre.call("GET", "/referrals?after=canary")).status_code == 422
    assert (await centre.of(case_id, state="planned")) == []


# --- the feed -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Heard:
    """What one reader of a stream heard, and when (seconds, monotonic)."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    at: list[float] = field(default_factory=list)

    @property
    def types(self) -> list[str]:
        return [entry["type"] for entry in self.entries]

    def has(self, count: int) -> bool:
        return len(self.entries) >= count


@contextlib.asynccontextmanager
async def reading(
    centre: Centre, provider: str, after: str | None = None, role: Role = Role.PROVIDER_SYSTEM
) -> AsyncIterator[Heard]:
    heard = Heard()

    async def read() -> None:
        staff = role is not Role.PROVIDER_SYSTEM
        headers = centre.bearer(role, None if staff else provider)
        if after is not None:
            headers["last-event-id"] = after
        query = {"provider_id": provider} if staff else {}
        path = f"{centre.url}{BASE}/referrals/stream"
        async with (
            httpx.AsyncClient(timeout=httpx.Timeout(20)) as http,
            http.stream("GET", path, headers=headers, params=query) as answer,
        ):
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                if line.startswith("id:"):
                    heard.ids.append(int(line[3:]))
                elif line.startswith("data:"):
                    heard.at.append(time.monotonic())
                    heard.entries.append(json.loads(line[5:]))

    task = asyncio.create_task(read())
    try:
        yield heard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, httpx.TransportError):
            await task


async def test_a_feed_is_gapless_resumable_and_the_same_for_every_reader(centre: Centre) -> None:
    one = await _assigned(centre, "feed-a")
    async with (
        reading(centre, "feed-a") as first,
        reading(centre, "feed-a") as second,
        reading(centre, "feed-a", role=Role.COORDINATOR) as staff,
        reading(centre, "feed-b") as other,
    ):
        await eventually(lambda: first.entries and second.entries and staff.entries)
        for verb in ("accept", "start", "deliver"):
            await centre.post(one, verb)
        await eventually(lambda: len(first.entries) == len(staff.entries) == 4)
        await eventually(lambda: len(second.entries) == 4)
    assert first.ids == [1, 2, 3, 4]
    assert first.entries == second.entries == staff.entries == await centre.feed("feed-a")
    assert first.types == [
        "referral-assigned",
        "referral-accepted",
        "service-started",
        "service-delivered",
    ]
    assert first.entries[0]["referral"]["allowed"] == ["accept", "decline"]
    assert other.entries == []
    async with reading(centre, "feed-a", after="2") as resumed:
        await eventually(lambda: len(resumed.entries) == 2)
    assert resumed.ids == [3, 4]


async def test_the_stream_refuses_what_is_not_the_callers(centre: Centre) -> None:
    path = "/referrals/stream"
    assert (await centre.call("GET", path, None)).status_code == 401
    assert (await centre.call("GET", path)).status_code == 422
    foreign = await centre.call("GET", f"{path}?provider_id=b", Role.PROVIDER_SYSTEM, "a")
    assert foreign.status_code == 403
    wrong = await centre.call("GET", path, Role.PROVIDER_SYSTEM, "a", last_event_id="canary")
    assert wrong.status_code == 422


async def test_an_answer_is_heard_at_once(centre: Centre) -> None:
    one = await _assigned(centre, "quick-a")
    await centre.post(one, "accept")
    took = []
    async with reading(centre, "quick-a") as heard:
        await eventually(lambda: len(heard.entries) == 2)
        for verb in ("start", "hold", "start", "hold", "start", "hold", "start"):
            expected = len(heard.entries) + 1
            await centre.post(one, verb)
            answered = time.monotonic()
            await eventually(partial(heard.has, expected), every=0.005)
            took.append(heard.at[-1] - answered)
    assert sorted(took)[len(took) // 2] < 0.3, took  # a poll alone would need up to a second


async def test_numbers_have_no_gap_when_many_write_at_once(centre: Centre) -> None:
    district = next(FREE_DISTRICTS)
    await centre.list_offer("many-a", area_pcode=district)
    cases = [uuid4() for _ in range(12)]
    told = facts(needs=["disability_support"], upazila=None, district=district)
    await asyncio.gather(*(centre.tell("case-created", case_id, told) for case_id in cases))
    found = [(await centre.reaches(case_id, "assigned"))[0] for case_id in cases]
    await asyncio.gather(*(centre.post(one, "accept") for one in found))
    entries = await centre.feed("many-a")
    assert [entry["seq"] for entry in entries] == list(range(1, 25))


# --- safety ---------------------------------------------------------------------------------------


async def test_a_withdrawn_consent_reaches_the_provider_who_acknowledges(centre: Centre) -> None:
    one = await _assigned(centre, "consent-a")
    case_id = UUID(one["case_id"])
    await centre.post(one, "accept")
    gone = facts(needs=["disability_support"], consent=ConsentState())
    await centre.tell("consent-withdrawn", case_id, gone)
    [ended] = await centre.reaches(case_id, "withdrawn")
    assert ended["reason"] == "consent_withdrawn"
    entry = (await centre.feed("consent-a"))[-1]
    assert entry["type"] == "referral-withdrawn"
    assert entry["referral"]["allowed"] == ["acknowledge-withdrawal"]
    late = await centre.post(one, "start")
    assert (late.status_code, late.json()["state"]) == (409, "withdrawn")
    for _ in range(2):
        answer = await centre.post(one, "acknowledge-withdrawal")
        assert answer.status_code == 200
        assert answer.json()["acknowledged_at"]
    types = [event["type"] for event in await centre.events(case_id)]
    assert types[-2:] == ["referral-withdrawn", "withdrawal-acknowledged"]
    await centre.tell("case-updated", case_id, gone)
    await centre.tell("case-closed", case_id, msgspec.structs.replace(gone, status="closed"))

    async def closed() -> bool:
        rows = await centre.rows("SELECT status FROM cases WHERE case_id = $1", case_id)
        return bool(rows[0]["status"] == "closed")

    await eventually(closed, 10, "the closed case")
    assert len(await centre.of(case_id)) == 1


async def test_a_closed_case_withdraws_what_nobody_accepted(centre: Centre) -> None:
    case_id = uuid4()
    told = facts(needs=["education", "shelter"])
    await centre.tell("case-created", case_id, told)
    await centre.reaches(case_id, "assigned", "planned")
    await centre.tell("case-closed", case_id, msgspec.structs.replace(told, status="closed"))
    ended = await centre.reaches(case_id, "withdrawn", "withdrawn")
    assert {r["reason"] for r in ended} == {"case_closed"}
    refused = await centre.post(ended[1], "release", role=Role.COORDINATOR)
    assert refused.status_code == 409


async def test_test_traffic_reaches_no_provider(centre: Centre) -> None:
    level = {"area_level": "upazila", "area_pcode": UPAZILAS.pop()}
    offer = await centre.list_offer("trial-a", **level, places_free=1)
    case_id = uuid4()
    told = facts(needs=["disability_support"], upazila=level["area_pcode"], test=True)
    await centre.tell("case-created", case_id, told)
    [one] = await centre.reaches(case_id, "planned")
    assert one["test"]
    released = await centre.post(one, "release", role=Role.COORDINATOR)
    assert released.json()["state"] == "assigned"
    assert await centre.feed("trial-a") == []
    hidden = await centre.post(one, "accept", org="trial-a")
    assert hidden.status_code == 404
    assert (await centre.get("/referrals", Role.PROVIDER_SYSTEM, "trial-a"))["items"] == []
    assert (await centre.get(f"/offers/{offer}"))["places_free"] == 1
    assert all(e["data"]["test"] for e in await centre.events(case_id))


async def test_a_case_about_a_place_gets_no_referral_and_a_split_one_does(centre: Centre) -> None:
    case_id, after = uuid4(), uuid4()
    await centre.tell("case-created", case_id, facts(about="place"))
    await centre.tell("case-created", after, facts())
    await centre.reaches(after, "assigned")

    async def known() -> bool:
        return bool(await centre.rows("SELECT 1 FROM cases WHERE case_id = $1", case_id))

    await eventually(known)
    assert await centre.of(case_id) == []
    await centre.tell("case-triaged", case_id, facts(about="person"))
    await centre.reaches(case_id, "assigned")


async def test_the_same_event_twice_is_one_referral(centre: Centre) -> None:
    case_id = uuid4()
    await centre.tell("case-created", case_id, facts())
    centre.sequences[case_id] = 0  # and a like event of the same place in the stream
    await centre.tell("case-created", case_id, facts())
    await centre.tell("case-updated", case_id, facts())

    async def brought() -> bool:
        rows = await centre.rows("SELECT sequence FROM cases WHERE case_id = $1", case_id)
        return bool(rows and rows[0]["sequence"] == 2)

    await eventually(brought, 10, "the update")
    await centre.reaches(case_id, "assigned")


async def test_poison_is_parked_once_and_the_rest_flows(centre: Centre) -> None:
    case_id, poisoned = uuid4(), uuid4()
    producer = AIOKafkaProducer(bootstrap_servers=centre.kafka)
    await producer.start()
    key = str(poisoned).encode()
    await producer.send_and_wait(CASES, b"not json", key=key, partition=partition_of(key))
    await producer.stop()
    await centre.tell("case-created", case_id, facts())
    await centre.reaches(case_id, "assigned")

    async def parked() -> bool:
        rows = await centre.rows("SELECT consumer, reason FROM parked WHERE key = $1", key)
        return [tuple(row) for row in rows] == [("referral.cases", "unreadable")]

    await eventually(parked, 10, "the parked record")


# --- the directory --------------------------------------------------------------------------------


async def test_the_directory_loads_fast_and_again_without_change(centre: Centre) -> None:
    begun = time.monotonic()
    said = load_directory(centre)
    assert time.monotonic() - begun < 45  # 3 s on an idle machine
    assert said.strip().endswith(" 0 new or changed")
    rows = list(read_profile("demonstration"))
    [count] = await centre.rows("SELECT count(*) FROM offers WHERE NOT edited")
    assert count[0] == len(rows) > 7_400
    [events] = await centre.rows("SELECT count(*) FROM outbox WHERE type = 'offer-listed'")
    [listed] = await centre.rows("SELECT count(*) FROM offers WHERE edited")
    assert events[0] == listed[0]


async def test_providers_and_offers_are_listed_by_pages(centre: Centre) -> None:
    names: list[str] = []
    after = ""
    while True:
        page = await centre.get(f"/providers?kind=ngo&limit=10{after}")
        if not page["items"]:
            break
        names += [provider["provider_id"] for provider in page["items"]]
        after = f"&after={page['next']}"
    assert names == sorted(set(names))
    assert "example-shelter-keraniganj" in names
    offers = await centre.get(f"/offers?need=shelter&area={KERANIGANJ}")
    [offer] = offers["items"]
    assert offer["places_free"] is not None
    assert (await centre.get("/providers/example-shelter-keraniganj"))["kind"] == "ngo"
    assert (await centre.call("GET", "/offers/nothing")).status_code == 404
    assert (await centre.call("GET", "/providers", Role.PARTNER, "p")).status_code == 403


async def test_a_preview_explains_and_changes_nothing(centre: Centre) -> None:
    body = {"need": "shelter", "place": SAVAR, "age": 16, "sex": "male", "excluded": ["police"]}
    answer = await centre.call("POST", "/routing/preview", body=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["release"] == "person"
    assert not told["released_by_rule"]
    verdicts = {line["provider_id"]: line["verdict"] for line in told["considered"]}
    assert verdicts["example-boys-home-dhaka"] == "in"
    assert verdicts["example-womens-house-dhaka"] == "age"
    assert told["ranking"][0] == told["chosen"]
    wrong = await centre.call("POST", "/routing/preview", body={**body, "place": "canary"})
    assert (wrong.status_code, "canary" in wrong.text) == (422, False)


async def test_a_replay_of_what_happened_decides_as_it_did(centre: Centre) -> None:
    answer = await centre.call("POST", "/routing/replay", body={"days": 2, "lines": "all"})
    assert answer.status_code == 200, answer.text
    lines = [json.loads(line) for line in answer.text.splitlines()]
    end = lines[-1]
    assert end["event"] == "end"
    assert end["seen"] == end["same"] > 5
    assert all(line["same"] for line in lines if line["event"] == "decision")
    body = {"days": 2, "policy": {"weights": {"canary": 1}}}
    wrong = await centre.call("POST", "/routing/replay", body=body)
    assert (wrong.status_code, "canary" in wrong.text) == (422, False)
    other = await centre.call("POST", "/routing/replay", Role.PARTNER, "p", {})
    assert other.status_code == 403


async def test_what_offers_did_is_counted_for_the_ranking(centre: Centre) -> None:
    engine = make_engine(centre.database.urls("referral")["DATABASE_URL"], size=1, name="records")
    try:
        async with engine.begin() as conn:
            assert await refresh_records(conn, datetime.now(UTC)) > 0
        async with engine.begin() as conn:
            assert await refresh_records(conn, datetime.now(UTC)) == 0
    finally:
        await engine.dispose()
    [row] = await centre.rows(
        "SELECT records->'disability_support' AS told FROM offers WHERE provider_id = 'decline-a'"
    )
    told = json.loads(row["told"])
    assert (told["served"], told["ended"], told["recent"]) == (0, 1, 1)
    assert told["wait_hours"] >= 0


async def test_a_union_office_is_named_by_a_person(centre: Centre) -> None:
    case_id = uuid4()
    told = facts(needs=["civil_documents"], upazila=KERANIGANJ)
    await centre.tell("case-created", case_id, told)
    [one] = await centre.reaches(case_id, "planned")
    unnamed = await centre.post(one, "release", role=Role.COORDINATOR)
    assert unnamed.status_code == 409
    why = await centre.get(f"/referrals/{one['referral_id']}/explanation")
    assert {line["verdict"] for line in why["considered"]} == {"union: a person decides"}
    chosen = why["considered"][0]["offer_id"]
    named = await centre.post(one, "release", {"offer_id": chosen}, role=Role.COORDINATOR)
    assert (named.status_code, named.json()["offer_id"]) == (200, chosen)


async def test_a_listed_office_is_told_by_the_desk_which_answers_for_it(centre: Centre) -> None:
    level = {"area_level": "upazila", "area_pcode": UPAZILAS.pop()}
    await centre.list_offer("listed-a", enrolment="listed", reach="call", **level)
    case_id = uuid4()
    told = facts(needs=["disability_support"], upazila=level["area_pcode"])
    await centre.tell("case-created", case_id, told)
    [one] = await centre.reaches(case_id, "planned")
    answer = await centre.post(one, "told", {"how": "call"}, role=Role.COORDINATOR)
    assert answer.status_code == 200, answer.text
    assert answer.json()["told"]["how"] == "call"
    for verb in ("accept", "start", "deliver"):
        done = await centre.post(one, verb, role=Role.COORDINATOR)
        assert done.status_code == 200, done.text
    assert done.json()["state"] == "delivered"


async def test_a_rule_that_does_not_exist_stops_the_start(centre: Centre, tmp_path: Path) -> None:
    wrong = centre.environment() | {"HTTP_PORT": "0", "REFERRAL_RULES": "shelter,canary"}
    with Child("services.referral.main", wrong, tmp_path / "wrong.log") as child:
        assert await child.ended(90) == 1
        assert "REFERRAL_RULES" in child.said()


@pytest.mark.slow
async def test_a_process_runs_only_its_rules_and_stops_in_spite_of_open_streams(
    centre: Centre, tmp_path: Path
) -> None:
    await _assigned(centre, "stop-a")
    other = replace(centre, port=free_port(), log=tmp_path / "other.log")
    more = {"REPLICA": "2", "REFERRAL_RULES": "transport"}
    with Child("services.referral.main", other.environment() | more, other.log) as child:
        await other.ready()
        assert '"consumers":1' in child.said()
        async with reading(other, "stop-a") as heard:
            await eventually(lambda: heard.entries, 10, "the feed")
            child.send(signal.SIGTERM)
            assert await child.ended(20) in (0, -signal.SIGTERM)  # uvicorn raises it again
        assert "service-stopped" in child.said()
