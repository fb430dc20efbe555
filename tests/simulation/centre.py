"""A whole simulated centre: real own code above a database, a Kafka and processes that fail.

Intake's clerks append case events; two relays each of intake and referral send; two processes of
referral run its real projection, the rule of one need, timers and replays; two of a reader keep
what they read. `run_schedule` lives through one seed and returns what was wrong.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import asyncpg
from sqlalchemy import text

from services.referral.consumers import CaseProjection, NeedRule
from services.referral.deadlines import make_timers
from services.referral.eligibility import Offer
from services.referral.remarks import RemarkSeal
from services.referral.rules import load_rules
from services.referral.service import Referrals
from shared import relay as relay_module
from shared import tap as tap_module
from shared.clock import now
from shared.consumer import DurableConsumer
from shared.events import CASES, REFERRALS
from shared.kafka import KafkaLogin
from shared.outbox import Outbox, Waker
from shared.parked import Replayer
from shared.relay import Relay
from shared.signing import Signer
from shared.tap import make_taps
from shared.timers import Timer, TimerKind, TimerLoop
from tests.simulation import checker, clerks
from tests.simulation.database import Database, Driver, Engine
from tests.simulation.kafka import Broker, Consumer, Producer, Subscribing
from tests.simulation.tables import find, put_offer
from tests.simulation.world import KIND, Process, VirtualLoop, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from services.referral.rules import Rule
    from shared.events import Event
    from shared.outbox import Stamp

CHAOS = 5.0
"""Virtual seconds in which everything fails."""

PATIENCE = 60.0
"""Virtual seconds in which all must be done afterwards."""

LOGIN = KafkaLogin("simulated:0")
_EFFECT = text("rig: effect")


@cache
def rules() -> dict[str, Rule]:
    return load_rules([clerks.NEED], Path(__file__).with_name("clocks.toml"))


@dataclass(frozen=True)
class Outcome:
    """What became of one schedule."""

    seed: int
    trace: str
    wrong: list[str]
    steps: int
    deaths: int
    events: int
    faults: dict[str, int]


class Keeping:
    """Keeps a line of each event that is handled, in the transaction in which it is."""

    def __init__(self, name: str, script: clerks.Script) -> None:
        self._name = name
        self._script = script
        self._seen: list[Event] = []

    def begin(self) -> None:
        self._seen = []

    def look(self, event: Event) -> None:
        if event.id in self._script.poison:
            raise ZeroDivisionError
        self._seen.append(event)

    async def write(self, conn: Any) -> None:
        lines = [
            {
                "consumer": self._name,
                "stream": "cases" if event.type in checker.CASE_TYPES else "referrals",
                "subject": event.subject,
                "sequence": event.sequence,
                "event_id": event.id,
                "type": event.type,
            }
            for event in self._seen
        ]
        await conn.execute(_EFFECT, {"lines": lines})


class Reader:
    """A consumer of everything that does nothing but keep it."""

    def __init__(self, keeping: Keeping) -> None:
        self._keeping = keeping

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        del event_type, needs
        return True

    async def load(self, conn: Any, events: Sequence[Event]) -> Keeping:
        del conn, events
        self._keeping.begin()
        return self._keeping

    def decide(self, state: Keeping, event: Event, stamp: Stamp) -> None:
        del state, stamp
        self._keeping.look(event)

    async def flush(self, conn: Any, state: Keeping) -> None:
        await state.write(conn)


def kept(handler: CaseProjection, keeping: Keeping) -> CaseProjection:
    """Let a handler of the product keep what it handles."""
    load, decide, flush = handler.load, handler.decide, handler.flush

    async def load_too(conn: Any, events: Any) -> Any:
        keeping.begin()
        return await load(conn, events)

    def decide_too(state: Any, event: Any, stamp: Any) -> None:
        keeping.look(event)
        decide(state, event, stamp)

    async def flush_too(conn: Any, state: Any) -> None:
        await flush(conn, state)
        await keeping.write(conn)

    vars(handler).update(load=load_too, decide=decide_too, flush=flush_too)
    return handler


class Centre:
    """Databases, Kafka and processes of one world."""

    def __init__(self, world: World, *, small: bool = False) -> None:
        self.world = world
        self.small = small
        self.broker = Broker(world)
        names = ("intake", "referral", "reader")
        self.databases = {name: Database(world, name, find) for name in names}
        self.engines: dict[str, Any] = {n: Engine(db) for n, db in self.databases.items()}
        self.script = clerks.write_script(world, most=2 if small else 5)
        signer = Signer(b"s" * 32)
        self.outboxes = {name: Outbox(name, signer) for name in ("intake", "referral")}
        for key, places in (("near", 2), ("far", None)):
            code = clerks.AREA if key == "near" else clerks.DISTRICT
            level = "upazila" if key == "near" else "district"
            needs, kinds = frozenset({clerks.NEED}), frozenset({"ngo"})
            put_offer(
                self.databases["referral"],
                Offer(key, key, needs, level, code, kinds=kinds, places_free=places),
            )
        parts = ("clerk", self._clerk), ("referral", self._referral), ("reader", self._reader)
        relays = ("intake relay", self._relay), ("referral relay", self._relay)
        every = [one for one in (*parts, *relays) if not small or "referral" not in one[0]]
        for name, run in every:
            for n in range(1, world.dice.choice((2, 3))):
                self._add(f"{name} {n}", run)
        if not small:
            self._add("provider", self._provider)
        self._add("operator", self._operator)

    def _add(self, name: str, run: Any) -> None:
        self.world.processes.append(Process(name, run))

    def referrals(self) -> Referrals:
        engine = self.engines["referral"]
        return Referrals(engine, engine, self.outboxes["referral"], rules(), RemarkSeal(b"k" * 32))

    # --- What each process runs ----------------------------------------------------------------

    async def _clerk(self, process: Process) -> None:
        for _ in range(2):
            engine, outbox = self.engines["intake"], self.outboxes["intake"]
            process.spawn(clerks.clerk(self.world, engine, outbox, self.script))

    async def _relay(self, process: Process) -> None:
        service = process.name.split()[0]
        topics = {"intake": (CASES,), "referral": (REFERRALS,)}[service]
        process.spawn(Relay(service, service, LOGIN, topics).run())

    async def _referral(self, process: Process) -> None:
        referrals, engine = self.referrals(), self.engines["referral"]
        waker = Waker(engine, "referral")
        names = {"referral.cases": CaseProjection(referrals)}
        names[f"referral.rule.{clerks.NEED}"] = NeedRule(referrals, clerks.NEED)
        consumers: list[DurableConsumer[Any]] = [
            DurableConsumer(
                name,
                (CASES,),
                kept(handler, Keeping(name, self.script)),
                engine,
                guards=name == "referral.cases",
                wake_relay=waker.wake,
            )
            for name, handler in names.items()
        ]
        timers = TimerLoop(engine, self._timers(referrals), wake=waker.wake)
        process.spawn(timers.run(), waker.run())
        await self._consume(process, consumers, engine, waker)

    def _timers(self, referrals: Referrals) -> list[TimerKind]:
        """Let the product's timers keep when they fire."""

        def keeping(kind: TimerKind) -> TimerKind:
            async def fire(conn: Any, timer: Timer) -> None:
                await kind.fire(conn, timer)
                line = {"consumer": "timers", "event_id": timer.id, "subject": timer.subject}
                line |= {"sequence": 0, "due_at": timer.due_at}
                await conn.execute(_EFFECT, {"lines": [line]})

            return TimerKind(kind.kind, fire, kind.lock)

        return [keeping(kind) for kind in make_timers(referrals, now)]

    async def _reader(self, process: Process) -> None:
        engine = self.engines["reader"]
        keeping = Keeping("reader", self.script)
        topics = (CASES,) if self.small else (CASES, REFERRALS)
        consumer: DurableConsumer[Any] = DurableConsumer(
            "reader", topics, Reader(keeping), engine, guards=True
        )
        await self._consume(process, [consumer], engine, Waker(engine, "reader"))

    async def _consume(
        self,
        process: Process,
        consumers: list[DurableConsumer[Any]],
        engine: Any,
        waker: Waker,
    ) -> None:
        broker: Any = Subscribing(self.broker)
        with_tap = self.world.dice.random() < 0.5
        taps = make_taps(LOGIN, consumers) if with_tap else []
        for consumer in consumers:
            consumer.attach(broker, process.name)
        process.spawn(*(tap.run() for tap in taps))
        process.spawn(*(subscriber.run() for subscriber in broker.made))
        process.spawn(Replayer(engine, consumers, waker.wake).run())

    async def _provider(self, process: Process) -> None:
        process.spawn(clerks.provider(self.world, self.referrals()))

    async def _operator(self, process: Process) -> None:
        engines = [self.engines["referral"], self.engines["reader"]]
        process.spawn(clerks.operator(process, engines, self.script))

    # --- The outside world ---------------------------------------------------------------------

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Let the product reach this world's database and Kafka, and nothing else."""

        async def connect(service: str, **_: Any) -> Driver:
            return Driver(await self.databases[service].open())

        async def not_refused(_: Any) -> str:
            return ""

        driver = SimpleNamespace(
            connect=connect,
            PostgresError=asyncpg.PostgresError,
            InterfaceError=asyncpg.InterfaceError,
        )
        with ExitStack() as stack:
            told: list[tuple[Any, str, Any]] = [
                (relay_module, "asyncpg", driver),
                (relay_module, "AIOKafkaProducer", lambda **_: Producer(self.broker)),
                (relay_module, "find_refusal", not_refused),
                (tap_module, "AIOKafkaConsumer", lambda **_: Consumer(self.broker)),
                (tap_module, "keep_sessions", lambda _, **__: None),
            ]
            for module, name, thing in told:
                stack.enter_context(patch.object(module, name, thing))
            stack.enter_context(self.world.ruling())
            yield

    async def _nemesis(self) -> None:
        """Let processes die and freeze, and servers go away."""
        dice = self.world.dice
        while True:
            await asyncio.sleep(dice.expovariate(5))
            victim = dice.choice(self.world.processes)
            match dice.randrange(8):
                case 0 | 1 | 2:
                    victim.dies_in = dice.randrange(1, 80)
                case 3 | 4:
                    seconds = dice.choice((0.5, 4.0, 12.0))
                    victim.frozen_until = asyncio.get_running_loop().time() + seconds
                    self.world.count("frozen")
                case 5:
                    dice.choice(list(self.databases.values())).stop(dice.random() * 2)
                    self.world.count("database stopped")
                case 6:
                    until = asyncio.get_running_loop().time() + dice.random() * 3
                    self.broker.down_until = until
                    self.world.count("Kafka stopped")
                case _:
                    for group in self.broker.groups.values():
                        if group.members:
                            group.rebalance()
                    self.world.count("rebalance storm")

    async def _supervise(self) -> None:
        """Start what is dead again, after a while."""
        while True:
            await asyncio.sleep(0.3)
            for process in self.world.processes:
                if process.dead and self.world.dice.random() < 0.4:
                    self.world.start(process)

    async def live(self) -> list[str]:
        """Live through chaos, peace, the mending of a bug and peace; return what was wrong."""
        for process in self.world.processes:
            self.world.start(process)
        supervisor = asyncio.create_task(self._supervise())
        nemesis = asyncio.create_task(self._nemesis())
        await asyncio.sleep(CHAOS / 4 if self.small else CHAOS)
        nemesis.cancel()
        self.world.chances = KIND
        for process in self.world.processes:
            process.dies_in, process.frozen_until = -1, 0.0
        wrong = await self._until(checker.unhandled_safety)
        self.script.mended = True
        wrong += await self._until(checker.unfinished)
        await asyncio.sleep(2)
        wrong += checker.judge(self)
        supervisor.cancel()
        self.deaths = self.world.deaths
        await self.world.bury()
        await asyncio.gather(*self.broker.network, return_exceptions=True)
        return wrong

    async def _until(self, look: Any) -> list[str]:
        """Wait in peace until nothing is missing; return what is still missing in the end."""
        until = asyncio.get_running_loop().time() + PATIENCE
        while True:
            missing: list[str] = look(self)
            if not missing or asyncio.get_running_loop().time() > until:
                return missing
            await asyncio.sleep(0.5)


def run_schedule(seed: int, *, small: bool = False) -> Outcome:
    """Live through the schedule of a seed: the same seed gives the same one, step by step.

    A small one is the way from intake's outbox to one reader: a few times as many a minute.
    """
    loop = VirtualLoop()
    world = World(seed)
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:

        async def whole() -> tuple[list[str], int]:
            with world.ruling():
                centre = Centre(world, small=small)
            with centre.outside():
                wrong = await centre.live()
            rows = [len(db.tables["outbox"]) for db in centre.databases.values()]
            return wrong, sum(rows)

        wrong, events = loop.run_until_complete(whole())
    finally:
        logging.disable(before)
        loop.close()
    wrong += [f"rig: {context.get('exception')!r}" for context in failures]
    return Outcome(seed, world.trace, wrong, world.steps, world.deaths, events, world.faults)
