"""Replay of the past under a policy, and the speed of a decision, on real rows."""

from __future__ import annotations

import random
import resource
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy import text

from services.referral.ranking import parse_policy, policy_on
from services.referral.replaying import PAGE, Wish, replay
from shared.access_rules import Scope
from shared.clock import now
from shared.database import make_engine
from tests.bench import routing
from tests.support.bulk import load_offers, load_past
from tests.support.platform import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.support.platform import Database

pytestmark = pytest.mark.timeout(600)

ALL = Scope("*")


@pytest.fixture
async def database(postgres_admin_dsn: str) -> AsyncIterator[Database]:
    async with fresh_database(postgres_admin_dsn, "referral") as made:
        yield made


@pytest.fixture
async def web(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(database.urls("referral")["DATABASE_WEB_URL"], size=2, name="replay")
    yield engine
    await engine.dispose()


async def lines_of(engine: AsyncEngine, wish: Wish) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) async for line in replay(engine, ALL, wish)]


async def _replay_of(database: Database, web: AsyncEngine, decisions: int) -> None:
    past = await load_past(database.admin, decisions, 20)
    usual = policy_on(now().date())
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = await lines_of(web, Wish(usual, now(), 30, lines="changed"))
    took = time.monotonic() - begun
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"replay of {decisions} decisions: {took:.1f} s, {grown:.0f} MB more at the peak")
    kinds = [line["event"] for line in lines]
    assert kinds == ["start", *["progress"] * -(-decisions // PAGE), "end"]  # nothing changed
    end = lines[-1]
    assert (end["seen"], end["same"], end["unreadable"]) == (decisions, decisions, 0)
    assert end["waiting"] == {"then": past.waited, "would": past.waited}
    assert grown < 60
    tried = parse_policy({"version": "tried", "stale_after": "0d", "weights": {"level": 0}}, usual)
    other = await lines_of(web, Wish(tried, now(), 30, lines="none"))
    assert other[-1]["changed"] > 0
    assert other[-1]["waiting"]["would"] < past.waited  # a stale 0 is no longer a no
    assert other[-1]["offers"]


async def test_the_same_policy_decides_as_it_did_and_another_says_what_changes(
    database: Database, web: AsyncEngine
) -> None:
    await _replay_of(database, web, 3_000)
    usual = policy_on(now().date())
    of_need = await lines_of(web, Wish(usual, now(), 30, need="shelter", lines="all"))
    shown = [line for line in of_need if line["event"] == "decision"]
    assert shown
    assert {line["need"] for line in shown} == {"shelter"}
    assert all(line["same"] and line["then"] == line["again"] for line in shown)
    recent = await lines_of(web, Wish(usual, now(), 1, lines="none"))
    assert 0 < recent[-1]["seen"] < 1_000


async def test_a_replay_ends_when_its_reader_goes_and_can_change_nothing(
    database: Database, web: AsyncEngine
) -> None:
    await load_past(database.admin, 1_200, 20)
    lines = replay(web, ALL, Wish(policy_on(now().date()), now(), 30, lines="none"))
    assert msgspec.json.decode(await anext(lines))["decisions"] == 1_200
    assert msgspec.json.decode(await anext(lines))["seen"] == PAGE
    await lines.aclose()
    assert web.pool.checkedout() == 0  # type: ignore[attr-defined]
    nobody = replay(web, Scope("someone"), Wish(policy_on(now().date()), now(), 30))
    assert msgspec.json.decode(await anext(nobody))["decisions"] == 0
    await nobody.aclose()


@pytest.mark.long
async def test_fifty_thousand_decisions_replay_in_flat_memory(
    database: Database, web: AsyncEngine
) -> None:
    await _replay_of(database, web, 50_000)


@pytest.mark.slow
async def test_a_decision_looks_at_few_offers_of_many(database: Database, web: AsyncEngine) -> None:
    await load_offers(database.admin, 100_000)
    cases = routing.cases(random.Random(7), 300)
    seen = await routing.measure(web, cases)
    print(f"p50 {seen.percentile(0.5):.2f} ms, p99 {seen.percentile(0.99):.2f} ms")
    assert max(seen.offers) < 1_000  # of 100,000
    assert seen.percentile(0.5) < 50
    async with web.connect() as conn:
        rows = await conn.execute(text(f"EXPLAIN {routing.LOOK_UP}"), routing.look_up_of(cases[0]))
        plan = "\n".join(str(row[0]) for row in rows)
    assert "Seq Scan on offer" not in plan, plan
