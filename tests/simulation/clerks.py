"""Who writes in a simulated centre: clients with their retries, providers, an operator.

A client keeps asking until it is told that its change was stored, with the same event id, from
whichever clerk's process lives. What a case is told of lies in intake's database, so that changes
of one case follow one another whoever makes them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from sqlalchemy import text

from services.referral.domain import Actor, Order
from shared import parked
from shared.clock import new_event_id, now
from shared.errors import Problem
from shared.events import CASES, SAFETY_TYPES, CaseFacts, ConsentState, Draft
from shared.outbox import Stamp
from shared.vocabulary import Role

if TYPE_CHECKING:
    from random import Random

    from services.referral.service import Referrals
    from shared.outbox import Outbox
    from tests.simulation.database import Engine
    from tests.simulation.world import Process, World

NEED = "medical"
AREA, DISTRICT = "BD30260038", "BD3026"

_LOCK = text("rig: lock facts")
_SAVE = text("rig: save facts")
_HAS = text("rig: outbox has")
_WAITING = text("rig: waiting")
_ASSIGNED = text("rig: assigned")


@dataclass(eq=False)
class Change:
    """One change of a case that a client wants; `poison` makes every consumer's decision fail."""

    case_id: UUID
    type: str
    event_id: UUID
    poison: bool = False
    told: bool = False
    taken: bool = False


@dataclass
class Script:
    """All that will be asked of a schedule, in the order of each case."""

    changes: list[Change] = field(default_factory=list)
    mended: bool = False

    @property
    def poison(self) -> set[UUID]:
        """Events at which decisions fail as long as the bug is there."""
        return set() if self.mended else {c.event_id for c in self.changes if c.poison}

    def next(self, dice: Random) -> Change | None:
        """Take a change that may be made now: the first of its case, or any when that is told."""
        free = [c for c in self.changes if not c.told and not c.taken]
        first = {c.case_id: c for c in reversed(self.changes)}
        may = [c for c in free if c is first[c.case_id] or first[c.case_id].told]
        return dice.choice(may) if may else None


def write_script(world: World, most: int) -> Script:
    """Make up what happens to some cases, `most` at most."""
    script, dice = Script(), world.dice
    for _ in range(dice.randrange(min(2, most), most + 1)):
        case_id = world.uuid4()
        types = ["case-created"]
        types += ["case-updated"] * dice.randrange(1, 4)
        types += dice.choice([[], [], ["consent-withdrawn"], ["case-closed"]])
        types += dice.choice([[], ["consent-given"], ["case-updated"]])
        changes = [Change(case_id, kind, new_event_id()) for kind in types]
        middle = [c for c in changes[1:] if c.type not in SAFETY_TYPES]
        if middle and dice.random() < 0.4:
            dice.choice(middle).poison = True
        script.changes += changes
    return script


def changed(facts: CaseFacts | None, change: Change) -> CaseFacts:
    """Return what is known of a case after a change."""
    if facts is None:
        facts = CaseFacts(
            report_id=UUID(int=1),
            channel="partner",
            age=15,
            sex="female",
            upazila=AREA,
            district=DISTRICT,
            needs=[NEED],
            urgency="T1",
            entitled=True,
            consent=ConsentState(given=True),
        )
    if change.type == "consent-withdrawn":
        return msgspec.structs.replace(facts, consent=ConsentState(), reason="withdrawn")
    if change.type == "consent-given":
        return msgspec.structs.replace(facts, consent=ConsentState(given=True), reason=None)
    if change.type == "case-closed":
        return msgspec.structs.replace(facts, status="closed")
    return facts


async def clerk(world: World, engine: Engine, outbox: Outbox, script: Script) -> None:
    """Serve clients, one change after the other, until nobody wants anything."""
    while True:
        change = script.next(world.dice)
        if change is None:
            await asyncio.sleep(0.3)
            continue
        change.taken = True
        try:
            await asyncio.sleep(world.dice.random() * world.dice.choice((0.01, 2.0)))
            await make(engine, outbox, change)
            change.told = True
        except Exception:  # the client is told nothing, and asks again
            await asyncio.sleep(0.2)
        finally:
            change.taken = False


async def make(engine: Engine, outbox: Outbox, change: Change) -> None:
    """Make one change of a case: what is true and its event in one transaction, once."""
    async with engine.begin() as conn:
        row = (await conn.execute(_LOCK, {"case": change.case_id})).first()
        if (await conn.execute(_HAS, {"ids": [change.event_id]})).first() is not None:
            return
        before = msgspec.json.decode(row.facts, type=CaseFacts) if row is not None else None
        facts = changed(before, change)
        values = {"case": change.case_id, "facts": msgspec.json.encode(facts)}
        await conn.execute(_SAVE, values)
        draft = Draft(CASES, change.type, str(change.case_id), facts, (NEED,), change.event_id)
        await outbox.append(conn, [(draft, Stamp(now(), "service:rig"))])  # type: ignore[arg-type]


async def provider(world: World, referrals: Referrals) -> None:
    """Answer what was assigned, now and then: yes, no, done."""
    while True:
        await asyncio.sleep(world.dice.random() * 2)
        try:
            async with referrals.flow.connect() as conn:
                rows = (await conn.execute(_ASSIGNED)).all()
            if not rows:
                continue
            one: Any = world.dice.choice(rows)
            verbs = ["accept", "decline"] if one.state == "assigned" else ["deliver", "contact"]
            order = Order(
                world.dice.choice(verbs), reason="no_capacity", fields={"how_much": "all"}
            )
            actor = Actor(Role.PROVIDER_SYSTEM, "provider_system:x", one.provider_id)
            async with referrals.flow.begin() as conn:
                await referrals.act(conn, UUID(one.referral_id), order, actor, now())
        except Problem:
            continue  # it was answered in the meantime
        except Exception:  # the world: it asks again
            await asyncio.sleep(0.3)


async def operator(process: Process, engines: list[Engine], script: Script) -> None:
    """Ask for a replay of all that waits, once the bug is mended."""
    del process
    while True:
        await asyncio.sleep(1)
        if not script.mended:
            continue
        for engine in engines:
            try:
                async with engine.begin() as conn:
                    for row in (await conn.execute(_WAITING)).all():
                        await parked.ask_replay(conn, row.id)  # type: ignore[arg-type]
            except Exception:
                await asyncio.sleep(0.3)
