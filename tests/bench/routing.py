"""A routing decision with 100,000 offers in the directory: look-up, rules, ranking, explanation."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from services.referral import offers_store
from services.referral.explaining import explain
from services.referral.routing import route
from services.referral.world import Change, World, areas_to_load, question_for
from shared.clock import now
from shared.database import make_engine, transaction
from shared.events import CaseFacts
from shared.places import Level
from tests.bench.figures import Figure, percentile
from tests.support.bulk import NEEDS, areas_of_the_country, load_offers
from tests.support.platform import fresh_database

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.bench.servers import Platform
    from tests.bench.telling import Told


@dataclass(frozen=True, slots=True)
class Plan:
    """How many offers there are, and how many decisions are taken after some that warm up."""

    offers: int = 100_000
    decisions: int = 3_000
    warm: int = 300


QUICK: Final = Plan(decisions=600)
SMOKE: Final = Plan(offers=2_000, decisions=50, warm=10)

LOOK_UP: Final = (
    "SELECT n.offer_id, o.version FROM unnest(CAST(:needs AS text[]), CAST(:areas AS text[]))"
    " AS t (need, area) JOIN offer_needs n ON n.need = t.need AND n.area_pcode = t.area"
    " JOIN offers o ON o.offer_id = n.offer_id"
)
"""The joins of `offers_store.find_candidates`, for the plan."""


@dataclass(slots=True)
class Seen:
    """Milliseconds of each decision, and how many offers each looked at."""

    ms: list[float] = field(default_factory=list)
    offers: list[int] = field(default_factory=list)

    def percentile(self, part: float) -> float:
        """Return the milliseconds below which this part of the decisions took."""
        return percentile(self.ms, part)


def cases(chance: random.Random, count: int) -> list[CaseFacts]:
    """Make cases of every need, in upazilas and thanas of the whole country."""
    near = [p for p in areas_of_the_country() if p.level in (Level.UPAZILA, Level.THANA)]
    return [
        CaseFacts(
            report_id=UUID(int=0),
            channel="partner",
            age=chance.choice([None, 9, 15, 30]),
            sex=chance.choice(["female", "male", "unknown"]),
            upazila=chance.choice(near).pcode,
            needs=[NEEDS[number % len(NEEDS)]],
        )
        for number in range(count)
    ]


def look_up_of(facts: CaseFacts) -> dict[str, Any]:
    """Return what the look-up of a case is asked with."""
    areas = list(areas_to_load(facts))
    return {"needs": facts.needs * len(areas), "areas": areas}


async def measure(engine: AsyncEngine, asked: list[CaseFacts]) -> Seen:
    """Take a decision for each case, as a rule does, without storing it."""
    seen = Seen()
    for facts in asked:
        [need] = facts.needs
        async with transaction(engine, "*") as conn:
            begun = time.perf_counter()
            world, at = World({}), now()
            pairs = {(need, area) for area in areas_to_load(facts)}
            for key, area, offer in await offers_store.find_candidates(conn, pairs):
                world.by_area.setdefault((key, area), []).append(offer.offer_id)
                world.offers[offer.offer_id] = offer
            question = question_for(facts, need)
            decision = route(question, world.candidates(question, Change()), at)
            msgspec.json.encode(explain(decision, question, at))
            seen.ms.append((time.perf_counter() - begun) * 1000)
            seen.offers.append(len(decision.considered))
    return seen


def run(platform: Platform, plan: Plan, told: Told) -> list[Figure]:
    """Measure decisions; return one figure, its 99th percentile."""
    del told
    return asyncio.run(_run(platform, plan))


async def _run(platform: Platform, plan: Plan) -> list[Figure]:
    async with fresh_database(platform.admin, "referral") as database:
        urls = database.urls("referral")
        await load_offers(database.admin, plan.offers)
        engine = make_engine(urls["DATABASE_URL"], size=2, name="bench routing")
        try:
            chance = random.Random(11)
            await measure(engine, cases(chance, plan.warm))
            seen = await measure(engine, cases(chance, plan.decisions))
        finally:
            await engine.dispose()
    return [
        Figure(
            bench="routing",
            what=f"routing decision with {plan.offers:,} offers, p99",
            unit="ms",
            ours=seen.percentile(0.99),
            floor=10,
            ambitious=2,
            least=False,
            notes=[
                f"p50 {seen.percentile(0.5):.2f} ms; looked at {max(seen.offers)} offers at most"
            ],
        )
    ]
