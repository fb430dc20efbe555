"""Each rule is its own consumer, and parks alone; the timers of a need are every process's."""

from __future__ import annotations

import logging
import signal
import time
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from faststream.kafka import KafkaBroker

from deploy.local.keys import make_keys
from services.referral.consumers import NeedRule
from services.referral.remarks import RemarkSeal
from services.referral.rules import load_rules
from services.referral.service import Referrals
from shared.consumer import DurableConsumer
from shared.database import make_engine
from shared.events import CASES, REFERRALS
from shared.outbox import Outbox
from shared.parked import Replayer, ask_replay, list_parked, tell_of_parked
from shared.signing import Signer
from shared.vocabulary import Role
from tests.support.centre import DHAKA, Centre, facts
from tests.support.office import Office
from tests.support.platform import fresh_database
from tests.support.processes import Child
from tests.support.stack import free_port
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from shared.events import Event
    from shared.outbox import Stamp

pytestmark = pytest.mark.timeout(300)

NEED = "disability_support"


@pytest.fixture
async def centre(streams: str, postgres_admin_dsn: str, tmp_path: Path) -> AsyncIterator[Centre]:
    """A database of its own, with no process of referral yet."""
    make_keys(tmp_path / "keys", beside_data=False)
    async with fresh_database(postgres_admin_dsn, "referral") as database:
        yield Centre(database, streams, tmp_path / "keys", free_port(), tmp_path / "referral.log")


# --- a rule with a bug ----------------------------------------------------------------------------


class WithBug(NeedRule):
    """A rule whose code raises for one case, until it is mended."""

    def __init__(self, referrals: Referrals, need: str, trips_over: UUID) -> None:
        super().__init__(referrals, need)
        self._trips_over: UUID | None = trips_over

    def mend(self) -> None:
        self._trips_over = None

    def decide(self, state: Any, event: Event, stamp: Stamp) -> None:
        if event.subject == str(self._trips_over):
            raise ZeroDivisionError
        super().decide(state, event, stamp)


@asynccontextmanager
async def running(
    centre: Centre, engine: AsyncEngine, outbox: Outbox, rules: Sequence[NeedRule]
) -> AsyncIterator[list[DurableConsumer[Any]]]:
    """Run rules as the service does, each as a consumer group of its own."""
    consumers = [
        DurableConsumer(
            f"referral.rule.{rule.need}.test",
            (CASES,),
            rule,
            engine,
            on_parked=tell_of_parked(outbox, REFERRALS),
        )
        for rule in rules
    ]
    broker = KafkaBroker(
        centre.kafka,
        apply_types=False,
        allow_auto_create_topics=False,
        graceful_timeout=6,
        logger=logging.getLogger("faststream"),
    )
    for consumer in consumers:
        consumer.attach(broker, uuid4().hex)
    await broker.start()
    try:
        yield consumers
    finally:
        for consumer in consumers:
            consumer.stop()
        await broker.stop()


async def _planned(centre: Centre) -> dict[tuple[UUID, str], str]:
    rows = await centre.rows("SELECT case_id, need, state FROM referrals")
    return {(row["case_id"], row["need"]): row["state"] for row in rows}


async def test_a_rule_with_a_bug_parks_its_case_and_the_other_rules_go_on(centre: Centre) -> None:
    engine = make_engine(centre.environment()["DATABASE_URL"], size=6, name="rules")
    outbox = Outbox("referral", Signer(b"s" * 32))
    referrals = Referrals(engine, engine, outbox, load_rules(), RemarkSeal(b"k" * 32))
    poisoned, good, later = uuid4(), uuid4(), uuid4()
    told = facts(needs=["education", "legal_aid"])
    faulty = WithBug(referrals, "education", poisoned)
    async with running(
        centre, engine, outbox, [faulty, NeedRule(referrals, "legal_aid")]
    ) as consumers:
        for case_id in (poisoned, good):
            await centre.tell("case-created", case_id, told)
        await centre.tell("case-updated", poisoned, told)
        await centre.tell("case-created", later, told)
        wanted = {(case, "legal_aid") for case in (poisoned, good, later)}
        wanted |= {(good, "education"), (later, "education")}

        async def flows() -> bool:
            found = await _planned(centre)
            mine = {key for key in found if key[0] in (poisoned, good, later)}
            assert mine == wanted, mine ^ wanted
            return True

        await eventually(flows, 60, "the other cases and the other rule")

        async def parked() -> list[Any]:
            async with engine.connect() as conn:
                return [p for p in await list_parked(conn) if p.subject == str(poisoned)]

        async def both() -> bool:
            return [(p.consumer, p.reason) for p in await parked()] == [
                ("referral.rule.education.test", "bug"),
                ("referral.rule.education.test", "behind"),
            ]

        await eventually(both, 30, "the parked records")
        told_of = [e for e in await centre.events(poisoned) if e["type"] == "event-parked"]
        assert [e["data"]["consumer"] for e in told_of] == ["referral.rule.education.test"]
        assert told_of[0]["data"]["cause"] == "bug"
        faulty.mend()
        async with engine.begin() as conn:
            assert await ask_replay(conn, (await parked())[0].id) == 2
        assert await Replayer(engine, consumers, lambda: None).round() == 2
        assert (poisoned, "education") in await _planned(centre)
        assert await parked() == []
    await engine.dispose()


# --- whose timers ---------------------------------------------------------------------------------

QUICK = """
[period]
retry_waiting_within = "1s"
[period.T3]
clock = "calendar"
respond_within = "3s"
escalate_within = "1s"
"""


async def _metric(centre: Centre, name: str) -> float:
    async with httpx.AsyncClient(base_url=centre.url) as http:
        lines = (await http.get("/metrics")).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


@pytest.mark.slow
async def test_the_timers_of_a_need_fire_in_a_process_that_does_not_run_its_rule(
    centre: Centre, tmp_path: Path
) -> None:
    clocks = tmp_path / "clocks.toml"
    clocks.write_text(QUICK)
    case_id = uuid4()
    told = facts(needs=[NEED], upazila=None, district=DHAKA)
    rule = centre.environment(REFERRAL_RULES=NEED)
    with Child("services.referral.main", rule, centre.log) as child:
        await centre.ready()
        await centre.list_offer("a-first", area_pcode=DHAKA)
        await centre.list_offer("b-second", area_level="country", area_pcode="BD")
        await centre.tell("case-created", case_id, told)
        [one] = await centre.reaches(case_id, "assigned")
        assert one["provider_id"] == "a-first"
        child.send(signal.SIGTERM)
        await child.ended(30)
    async with rest(centre, tmp_path, clocks):
        await centre.post(one, "decline", {"reason": "no_capacity"})
        _, second, waits = await centre.reaches(case_id, "declined", "expired", "waiting")
        assert (second["provider_id"], second["reason"]) == ("b-second", "no_answer")

        async def up() -> bool:
            events = await centre.events(case_id)
            steps = [
                (e["data"]["silence"], e["data"]["escalated_to"])
                for e in events
                if e["type"] == "referral-escalated"
            ]
            assert steps == [
                ("nobody_serves", "coordinator"),
                ("nobody_serves", "supervisor"),
                ("nobody_serves", "district_focal_person"),
            ]
            return True

        await eventually(up, 20, "the ladder")
        [desk] = [r for r in await centre.of(case_id) if r["state"] == "waiting"]
        assert (desk["silence"], desk["escalated_to"]) == ("nobody_serves", "district_focal_person")
        assert await _metric(centre, "pashe_referral_escalations_total") == 3
        await centre.list_offer("c-third", area_pcode=DHAKA)
        *_, got = await centre.reaches(case_id, "declined", "expired", "assigned")
        assert (got["referral_id"], got["provider_id"]) == (waits["referral_id"], "c-third")
        path = f"/referrals/{got['referral_id']}"
        seen = await centre.get(path, Role.PROVIDER_WORKER, "c-third")
        assert not seen.keys() & {"awaits", "suggested_offer_id", "silence", "escalated_to"}


async def _race(centre: Centre, many: int) -> float:
    """Let two whole replicas race for so many offers that nobody answered; return the seconds."""
    engine = make_engine(centre.environment()["DATABASE_URL"], size=4, name="race")
    outbox = Outbox("referral", Signer(b"s" * 32))
    referrals = Referrals(engine, engine, outbox, load_rules(), RemarkSeal(b"k" * 32))
    office = Office(centre.database, engine, referrals, now=datetime.now(UTC) - timedelta(days=30))
    await office.list_offer("a-first", area_level="district", area_pcode=DHAKA)
    await office.list_offer("b-second")
    cases = [uuid4() for _ in range(many)]
    for start in range(0, many, 100):
        await office.tell("case-created", *cases[start : start + 100])
    other = centre.environment(HTTP_PORT=str(free_port()), REPLICA="2")
    mine = "SELECT state, attempt FROM referrals WHERE case_id = ANY($1::uuid[])"
    begun = time.monotonic()
    with (
        Child("services.referral.main", centre.environment(), centre.log) as one,
        Child("services.referral.main", other, centre.log.with_name("other.log")) as two,
    ):

        async def over() -> bool:
            return not await centre.rows(f"{mine} AND attempt = 1 AND state = 'assigned'", cases)

        await eventually(over, 240, "every offer that nobody answered has ended")
        took = time.monotonic() - begun
        fired = [
            await _fired_in(url) for url in (centre.url, f"http://127.0.0.1:{other['HTTP_PORT']}")
        ]
        assert min(fired) > 0, "both replicas fired some"
        for child in (one, two):
            child.send(signal.SIGTERM)
            await child.ended(60)
    names = Counter(str(case_id) for case_id in cases)  # the stream has other tests' cases too
    told = [e for e in await office.events() if e["subject"] in names]
    await engine.dispose()
    assert Counter(e["subject"] for e in told if e["type"] == "referral-expired") == names
    assert Counter(e["subject"] for e in told if e["type"] == "referral-assigned") == names + names
    states = Counter((row["state"], row["attempt"]) for row in await centre.rows(mine, cases))
    assert states == {("expired", 1): many, ("assigned", 2): many}
    print(f"two replicas, {many} offers: {took:.1f} s with their start, fired {fired}")
    return took


async def _fired_in(url: str) -> float:
    async with httpx.AsyncClient(base_url=url) as http:
        lines = (await http.get("/metrics")).text.splitlines()
    mine = [n for n in lines if n.startswith("pashe_timers_fired_total") and "referral.due" in n]
    return sum(float(line.rsplit(" ", 1)[1]) for line in mine if 'outcome="fired"' in line)


@pytest.mark.slow
async def test_two_replicas_end_each_unanswered_offer_once(centre: Centre) -> None:
    await _race(centre, 100)


@pytest.mark.long
async def test_two_replicas_end_each_of_a_thousand_unanswered_offers_once(centre: Centre) -> None:
    await _race(centre, 1_000)


@asynccontextmanager
async def rest(centre: Centre, folder: Path, clocks: Path) -> AsyncIterator[None]:
    """Run a process of another rule, with clocks of seconds."""
    more = {"REFERRAL_RULES": "transport", "REFERRAL_CLOCKS": str(clocks), "REPLICA": "2"}
    with Child("services.referral.main", centre.environment(**more), folder / "rest.log"):
        await centre.ready()
        yield


async def test_clocks_that_cannot_be_read_stop_the_start(centre: Centre, tmp_path: Path) -> None:
    wrong = centre.environment(REFERRAL_CLOCKS=str(tmp_path / "nothing.toml"))
    with Child("services.referral.main", wrong, tmp_path / "wrong.log") as child:
        assert await child.ended(90) == 1
        assert "REFERRAL_CLOCKS" in child.said()
