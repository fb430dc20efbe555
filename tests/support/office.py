"""Referral's own code on a database of its own, under a clock that the test moves; no Kafka."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from services.referral import listing, listing_store
from services.referral.consumers import NeedRule
from services.referral.deadlines import make_timers
from services.referral.directory_bodies import OfferIn, ProviderIn
from services.referral.domain import Actor, Order
from services.referral.freshness import make_timer
from services.referral.remarks import RemarkSeal
from services.referral.rules import load_rules
from services.referral.service import Referrals
from shared.access import Caller
from shared.clock import new_event_id
from shared.database import make_engine
from shared.events import Event
from shared.outbox import Outbox, Stamp
from shared.signing import Signer
from shared.timers import TimerLoop
from shared.vocabulary import Role
from tests.support.platform import fresh_database
from tests.support.referrals import AT, DESK, facts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime, timedelta
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncEngine

    from services.referral.referral import Referral
    from tests.support.platform import Database

SEAL = RemarkSeal(b"k" * 32)
STAFF = Caller("test", Role.COORDINATOR)
NEED = "medical"
"""T1: released by its rule, to be answered within a day, and the person seen within another."""


@dataclass(slots=True)
class Office:
    """Referral's own code on a database of its own, under a clock that the test moves."""

    database: Database
    engine: AsyncEngine
    referrals: Referrals
    now: datetime = AT
    sequences: Counter[UUID] = field(default_factory=Counter)

    def clock(self) -> datetime:
        return self.now

    def loop(self, engine: AsyncEngine | None = None) -> TimerLoop:
        """Make a timer loop, as each replica of the service runs one."""
        engine = engine or self.engine
        other = Referrals(engine, engine, self.referrals.outbox, self.referrals.rules, SEAL)
        kinds = [*make_timers(other, self.clock), make_timer(self.referrals.outbox, self.clock)]
        return TimerLoop(engine, kinds, clock=self.clock)

    async def later(self, span: timedelta) -> int:
        """Move the clock, and fire what is due then, until nothing is; return how many fired."""
        self.now += span
        loop, fired = self.loop(), 0
        while done := await loop.round():
            fired += done
        return fired

    async def list_offer(self, provider: str, **fields: Any) -> None:
        """List an active offer for the need in the whole country."""
        names = ProviderIn(kind="ngo", name_en=provider, name_bn="উদাহরণ").model_dump()
        body = {
            "provider_id": provider,
            "needs": [NEED],
            "area_level": "country",
            "area_pcode": "BD",
            "enrolment": "active",
            **fields,
        }
        row = OfferIn.model_validate(body).model_dump(mode="json") | {"offer_id": provider}
        async with self.engine.begin() as conn:
            listed = names | {"provider_id": provider, "kinds": "ngo"}
            await listing_store.save_providers(conn, [listed], edited=True)
            stamp = Stamp(self.now, DESK.name)
            await listing.list_offer(conn, self.referrals.outbox, row, stamp)

    async def tell(self, kind: str, *cases: UUID, **fields: Any) -> None:
        """Let the rule of the need take an event of each case in, as its consumer does."""
        rule = NeedRule(self.referrals, NEED)
        events = []
        for case_id in cases:
            self.sequences[case_id] += 1
            told = facts(upazila=None, district="BD3026", **fields)
            events.append(
                Event(
                    new_event_id(),
                    "/intake",
                    kind,
                    str(case_id),
                    self.now,
                    self.sequences[case_id],
                    "service:test",
                    None,
                    told,
                )
            )
        async with self.engine.begin() as conn:
            state = await rule.load(conn, events)
            for event in events:
                rule.decide(state, event, Stamp(self.now, f"service:referral.rule.{NEED}"))
            await rule.flush(conn, state)

    async def act(self, one: Referral, verb: str, **given: Any) -> Referral:
        """Answer as the provider of a referral."""
        actor = Actor(Role.PROVIDER_SYSTEM, "provider_system:test", one.provider_id)
        order = Order(verb, reason="no_capacity", fields={"how_much": "all"} | given)
        async with self.engine.begin() as conn:
            return await self.referrals.act(conn, one.referral_id, order, actor, self.now)

    async def release(self, one: Referral) -> Referral:
        async with self.engine.begin() as conn:
            order = Order("release")
            return await self.referrals.act(conn, one.referral_id, order, DESK, self.now)

    async def of(self, case_id: UUID) -> list[Referral]:
        """Return the referrals of a case, first attempt first."""
        async with self.engine.connect() as conn:
            rows = await conn.execute(
                text("SELECT referral_id FROM referrals WHERE case_id = :c ORDER BY attempt"),
                {"c": case_id},
            )
            ids = list(rows.scalars())
        return [await self.referrals.show(key, STAFF, self.now) for key in ids]

    async def events(self, case_id: UUID | None = None) -> list[dict[str, Any]]:
        """Return the events of a case, or of all, in the order in which they were appended."""
        async with self.engine.connect() as conn:
            rows = await conn.execute(
                text(
                    "SELECT value FROM outbox WHERE topic = 'referrals'"
                    " AND (CAST(:key AS bytea) IS NULL OR key = :key) ORDER BY id"
                ),
                {"key": None if case_id is None else str(case_id).encode()},
            )
            return [json.loads(value) for value in rows.scalars()]

    async def told(self, case_id: UUID) -> list[tuple[str, str]]:
        """Return what people were told of a case: silence and to whom, in order."""
        return [
            (e["data"]["silence"], e["data"]["escalated_to"])
            for e in await self.events(case_id)
            if e["type"] == "referral-escalated"
        ]

    async def feed(self, provider: str) -> list[dict[str, Any]]:
        async with self.engine.connect() as conn:
            rows = await conn.execute(
                text("SELECT body FROM feed_entries WHERE provider_id = :p ORDER BY seq"),
                {"p": provider},
            )
            return [json.loads(body) for body in rows.scalars()]

    async def timers(self) -> int:
        async with self.engine.connect() as conn:
            return int(await conn.scalar(text("SELECT count(*) FROM timers")) or 0)


@asynccontextmanager
async def open_office(postgres_admin_dsn: str) -> AsyncIterator[Office]:
    async with fresh_database(postgres_admin_dsn, "referral") as database:
        engine = make_engine(database.urls("referral")["DATABASE_URL"], size=8, name="office")
        outbox = Outbox("referral", Signer(b"s" * 32))
        try:
            yield Office(database, engine, Referrals(engine, engine, outbox, load_rules(), SEAL))
        finally:
            await engine.dispose()
