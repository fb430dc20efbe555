"""The life of a service process: HTTP first, Kafka when it is there, and a stop in order.

A process deployed while Kafka is down must still take reports: a task of its own lets the consumers
join, and tries for ever (DECISIONS 16). Stop order: HTTP, what the service adds (group commit),
consumers, relay.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.metadata
import os
import platform
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn
from aiokafka import TopicPartition

from shared import idempotency, telemetry
from shared.access import TokenReader
from shared.broker import make_broker
from shared.clock import now
from shared.database import check_role, find_schema, make_engine
from shared.ends import Ends
from shared.errors import SettingsError
from shared.issuers import Issuers
from shared.issuers_file import read_issuers
from shared.kafka import PARTITIONS, find_refusal, label_of
from shared.lean import text
from shared.logs import guard_process
from shared.migrate import Revisions, revisions_of
from shared.outbox import Outbox, Waker
from shared.parked import Replayer
from shared.relay import Relay
from shared.sessions import Sessions, ask_intake
from shared.settings import Settings, load_settings, read_callers, read_key
from shared.signing import Signer
from shared.tap import Tap, make_taps
from shared.telemetry import Log
from shared.timers import TimerKind, TimerLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from fastapi import FastAPI
    from faststream.kafka import KafkaBroker
    from sqlalchemy import QueuePool
    from sqlalchemy.ext.asyncio import AsyncEngine

    from shared.consumer import DurableConsumer

STALL: Final = 30.0
"""Seconds that a consumer may stand still with lag before the process ends itself."""

ALONE: Final = 10
"""So many times longer one partition may, while others of the same consumer move on."""

LOOK: Final = 5.0
"""Seconds between looks at lag and gauges."""

TURN: Final = 0.5
"""Seconds between looks at how late the event loop turns."""

TELL_EVERY: Final = 3.0
"""Seconds between two words about a Kafka that is not there."""

CHECK: Final = "--check"
CHECK_WITHIN: Final = 300.0
"""Seconds for `--check`, which may have many erasures to go through."""

CANCEL_AGAIN: Final = 4.0
"""Seconds that a cancelled task has to clean up before it is cancelled once more."""

YOUNG: Final = 10_000
"""New objects after which the collector of cycles looks."""

_log = Log("runtime")


@dataclass(slots=True)
class Service:
    """Everything a service process holds; wired once in its `main`."""

    settings: Settings
    flow: AsyncEngine
    web: AsyncEngine
    outbox: Outbox
    waker: Waker
    broker: KafkaBroker
    tokens: TokenReader
    owns: tuple[str, ...]
    issuers: Issuers
    sessions: Sessions | None = None
    consumers: list[DurableConsumer[Any]] = field(default_factory=list)
    timers: list[TimerKind] = field(default_factory=list)
    tasks: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    checks: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    revisions: Revisions = field(default_factory=Revisions)
    started: bool = False
    kafka_up: bool = False
    kafka_answers: bool = True
    refusal: str = ""
    taps: list[Tap] = field(default_factory=list)
    _tell_at: float = 0.0
    _own: list[asyncio.Task[None]] = field(default_factory=list)
    _flow: list[asyncio.Task[None]] = field(default_factory=list)
    _relay: list[asyncio.Task[None]] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve HTTP at once; start the rest when the database is there; end all in order."""
        self.show_from_start()
        starting = asyncio.create_task(self._start(), name="start")
        turning = asyncio.create_task(_watch_loop(), name="loop")
        try:
            yield
        finally:
            await _end([starting, turning])
            await _end(self._own)
            for consumer in self.consumers:
                consumer.stop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await asyncio.gather(*(consumer.commit() for consumer in self.consumers))
            with contextlib.suppress(Exception):  # a broker that is gone cannot be left politely
                async with asyncio.timeout(8):
                    await self.broker.stop()
            await _end(self._flow)
            await _end(self._relay)
            await self.flow.dispose()
            await self.web.dispose()
            telemetry.flush_spans()
            _log.info("service-stopped")

    async def check(self) -> None:
        """Do what comes before working, and end: schema, roles, keys, the list of erasures.

        Raises:
            SettingsError: the service would refuse to start.
            TimeoutError: its database is not there.

        """
        try:
            async with asyncio.timeout(CHECK_WITHIN):
                await self._wait_for_schema()
        finally:
            await self.flow.dispose()
            await self.web.dispose()

    async def _start(self) -> None:
        """Check schema, roles and keys, then start what works in the background."""
        try:
            await self._wait_for_schema()
        except SettingsError as error:
            self.refusal = str(error)
            _log.error("refused-to-start", why=self.refusal)
            signal.raise_signal(signal.SIGTERM)
            return
        self._own = [asyncio.create_task(_forever(task), name="own") for task in self.tasks]
        self._own.append(asyncio.create_task(self._join_all(), name="joining"))
        self.taps = make_taps(self.settings.kafka, self.consumers)
        self._flow += [asyncio.create_task(tap.run(), name="tap") for tap in self.taps]
        self._flow += [
            asyncio.create_task(self._keep_house(), name="house"),
            asyncio.create_task(_forever(self._read_figures), name="figures"),
        ]
        if self.timers:
            loop = TimerLoop(self.flow, self.timers, wake=self.waker.wake)
            self._flow.append(asyncio.create_task(loop.run(), name="timers"))
        if self.consumers:
            replayer = Replayer(self.flow, self.consumers, self.waker.wake)
            self._flow += [
                asyncio.create_task(replayer.run(), name="replayer"),
                asyncio.create_task(_forever(self._watch), name="watch"),
            ]
        self._relay = [asyncio.create_task(self.waker.run(), name="waker")]
        if self.owns:
            sender = Relay(
                self.settings.service,
                self.settings.database_url,
                self.settings.kafka,
                self.owns,
            )
            self.waker.near = sender.wake
            self._relay.append(asyncio.create_task(sender.run(), name="relay"))
        settle_memory()
        self.started = True
        _log.info("service-started", replica=self.settings.replica)

    async def _wait_for_schema(self) -> None:
        """Wait until the schema is one this code knows; refuse a role that is too strong."""
        said = False
        while True:
            try:
                if self.revisions.run_on(await find_schema(self.flow)):
                    await check_role(self.flow, self.settings.service)
                    await check_role(self.web, self.settings.service)
                    for check in self.checks:
                        await check()
                    return
                problem = "schema-not-known"
            except SettingsError:
                raise
            except Exception as error:  # noqa: BLE001  (the database may come later)
                problem = telemetry.describe(error)
            if not said:
                _log.warning("waiting-for-database", why=problem)
                said = True
            await asyncio.sleep(0.3)

    async def _join_all(self) -> None:
        """Let every consumer join its group once Kafka answers, each by itself.

        One after another, as the broker starts them, the last of thirty would wait for all others'
        joins, and for what the first have begun to work off; one that cannot join would hold all.
        """
        for consumer in self.consumers:
            consumer.attach(self.broker, self.settings.replica)
        await self._try(self._connect)
        await asyncio.gather(*(self._try(consumer.join) for consumer in self.consumers))
        self.kafka_up = True
        _log.info("kafka-joined", consumers=len(self.consumers))

    async def _try(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do what needs Kafka, again and again until it is done."""
        pause = 0.2
        while True:
            try:
                await step()
            except Exception as error:  # noqa: BLE001  (Kafka may come later)
                await self._tell_why(error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 3.0)
            else:
                return

    async def _connect(self) -> None:
        try:
            await self.broker.connect()
        except Exception:
            telemetry.KAFKA_UP.set(0)
            with contextlib.suppress(Exception):
                async with asyncio.timeout(5):
                    await self.broker.stop()
            raise
        telemetry.KAFKA_UP.set(1)

    async def _tell_why(self, error: Exception) -> None:
        """Say that Kafka is not there, or that it is and does not let us in; not for each again."""
        if (at := asyncio.get_running_loop().time()) < self._tell_at:
            return
        self._tell_at = at + TELL_EVERY
        if why := await find_refusal(self.settings.kafka):
            _log.error("kafka-refuses", why=why)
        else:
            _log.warning("kafka-not-there", error=telemetry.describe(error))

    async def _watch(self) -> None:
        """Measure lag, and end the process when a consumer stands still before waiting records."""
        topics = sorted({topic for consumer in self.consumers for topic in consumer.topics})
        places = [TopicPartition(topic, p) for topic in topics for p in range(PARTITIONS)]
        asked = Ends(self.settings.kafka)
        try:
            await self._look_at(places, asked)
        finally:
            await asked.close()

    async def _look_at(self, places: Sequence[TopicPartition], asked: Ends) -> None:
        still: _Marks = {}
        while True:
            await asyncio.sleep(LOOK)
            ends = await asked.find(places)
            self.kafka_answers = ends is not None
            telemetry.KAFKA_UP.set(self.kafka_answers)
            if ends is None:
                still.clear()
                continue
            for tap in self.taps:
                tap.check(ends)
            for consumer in self.consumers:
                progress = await consumer.progress()
                if _stands_still(consumer, progress, ends, still):
                    _log.error("consumer-stalled", consumer=consumer.name)
                    os._exit(70)  # restarted by whoever supervises; nothing uncommitted is lost
            telemetry.LAG.done()

    async def _keep_house(self) -> None:
        """Make tomorrow's partitions, drop old ones, forget old answers; hourly."""
        while True:
            try:
                async with self.flow.begin() as conn:
                    await conn.execute(text("SELECT keep_partitions(107, 114)"))
                    await idempotency.forget_old(conn)
            except Exception as error:  # noqa: BLE001  (next hour, or when the database is back)
                _log.warning("housekeeping-failed", error=telemetry.describe(error))
                await asyncio.sleep(5)
            else:
                await asyncio.sleep(3600)

    async def _read_figures(self) -> None:
        """Read outbox depth and parked records every few seconds; a scrape never waits for it."""
        while True:
            async with asyncio.timeout(LOOK), self.flow.connect() as conn:
                row = (await conn.execute(text(FIGURES))).one()
            telemetry.OUTBOX_UNSENT.set(row.unsent)
            telemetry.OUTBOX_OLDEST.set(float(row.oldest or 0))
            telemetry.PARKED_WAITING.set(row.parked)
            telemetry.PARKED_OLDEST.set(float(row.parked_oldest or 0))
            telemetry.KERNEL.done()
            await asyncio.sleep(LOOK)

    def show_from_start(self) -> None:
        """Make the series whose labels this process knows, and the readings it will take."""
        facts = {"service": self.settings.service, "version": _version()}
        telemetry.BUILD.info(facts | {"python": platform.python_version()})
        telemetry.KERNEL.expect()
        if self.consumers:
            telemetry.LAG.expect()
        for name, engine in (("flow", self.flow), ("web", self.web)):
            pool = cast("QueuePool", engine.pool)
            telemetry.POOL.labels(name, "used").set_function(pool.checkedout)
            telemetry.POOL.labels(name, "size").set_function(pool.size)
        for consumer in self.consumers:
            for outcome in ("handled", "skipped", "duplicate", "parked"):
                telemetry.CONSUMED.labels(consumer.name, outcome)
            telemetry.CONSUMER_HELD.labels(consumer.name)
            telemetry.COMMIT_FAILURES.labels(consumer.name)
        for kind in self.timers:
            for outcome in ("fired", "failed"):
                telemetry.TIMERS_FIRED.labels(kind.kind, outcome)
        for topic in self.owns:
            telemetry.RELAY_SENT.labels(label_of(topic))

    async def readiness(self) -> dict[str, Any]:
        """Say whether the own database answers at a known schema; Kafka is told, never required."""
        schema = None
        with contextlib.suppress(Exception):  # not ready is the answer
            async with asyncio.timeout(1):
                schema = await find_schema(self.web)
        return {
            "ready": self.started and self.revisions.run_on(schema),
            "schema": schema.version if schema else None,
            "kafka": self.kafka_up and self.kafka_answers,
            "held": sorted(c.name for c in self.consumers if c.held or c.paused()),
            "time": now().isoformat(),
        }


FIGURES: Final = (
    "SELECT o.*, p.* FROM (SELECT count(*) AS unsent,"
    "   extract(epoch FROM now() - min(created_at)) AS oldest"
    "   FROM outbox WHERE sent_at IS NULL) o,"
    " (SELECT count(*) AS parked, extract(epoch FROM now() - min(parked_at)) AS parked_oldest"
    "   FROM parked WHERE state = 'waiting') p"
)
"""What is unsent and parked, in one row; no more for a long past (`tests/integration`)."""

_Marks = dict[tuple[str, TopicPartition], tuple[int | None, float]]


def _stands_still(
    consumer: DurableConsumer[Any],
    progress: dict[TopicPartition, int | None],
    ends: dict[TopicPartition, int],
    still: _Marks,
) -> bool:
    """Set the gauges of lag; say whether a partition has waiting records and has not moved.

    A consumer that holds because the world is down, and a partition that waits for a newer version,
    stand still for a reason that a restart does not cure. Under a backlog a partition waits for its
    turn among the others.
    """
    clock = asyncio.get_running_loop().time()
    excused = consumer.paused()
    ages = []
    for place, end in ends.items():
        mark = (consumer.name, place)
        if place not in progress:
            still.pop(mark, None)
            continue
        position = progress[place]
        lag = max(0, end - position) if position is not None else min(end, 1)
        series = telemetry.CONSUMER_LAG.labels(consumer.name, place.topic, place.partition)
        series.set(lag)
        before = still.get(mark)
        waits = consumer.held or place in excused
        if lag == 0 or waits or before is None or before[0] != position:
            still[mark] = (position, clock)
        if lag and not waits:
            ages.append(clock - still[mark][1])
    return bool(ages) and (min(ages) > STALL or max(ages) > STALL * ALONE)


def _version() -> str:
    """Return the version of the program; an image may hold the code alone, not its package."""
    try:
        return importlib.metadata.version("pashe")
    except importlib.metadata.PackageNotFoundError:
        return os.environ.get("PASHE_VERSION", "unknown")


async def _watch_loop() -> None:
    """Measure how late the event loop turns."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + TURN
        await asyncio.sleep(TURN)
        telemetry.LOOP_LAG.observe(max(0.0, clock() - due))


def settle_memory() -> None:
    """Take what is loaded by now out of the collector's sight, and let it look less often.

    It otherwise walks tables that live as long as the process; an eighth of intake's CPU was that.
    Call it again after a large table was loaded.
    """
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)


async def _forever(task: Callable[[], Awaitable[None]]) -> None:
    """Run a background task again and again; a surprise is told and paused for."""
    pause = 0.1
    while True:
        try:
            await task()
        except Exception as error:  # noqa: BLE001  (a task outlives every surprise)
            _log.error("task-failed", error, task=getattr(task, "__qualname__", "task"))
        await asyncio.sleep(pause)
        pause = min(pause * 2, 3.0)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for them; again every few seconds, for a library may lose a cancel.

    `asyncio.wait_for` loses one that comes at the moment its wait ends (Python 3.11): here and in
    the services it is `asyncio.timeout`.
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN)
    await asyncio.gather(*tasks, return_exceptions=True)


def make_service(
    name: str,
    *,
    owns: Sequence[str],
    settings: Settings | None = None,
    flow_size: int = 8,
    finds: bool = False,
) -> Service:
    """Wire what every service has. `owns` are the topics that its relay writes.

    `finds`: it reads topics that come and go.

    `flow_size` is how many database connections consumers, timers and use cases share; a process
    with many consumers wants more, for each takes one while it handles a batch. `DATABASE_POOL`
    and `DATABASE_WEB_POOL` set other sizes (DECISIONS 21).

    Raises:
        SettingsError: a variable or key is missing or wrong.

    """
    settings = settings or load_settings(name)
    telemetry.setup(settings)
    flow_size = settings.pool or flow_size
    flow = make_engine(settings.database_url, size=flow_size, name=f"{name} flow", wait=10)
    web = make_engine(settings.database_web_url, size=settings.web_pool or 8, name=f"{name} web")
    centre = read_key(settings, "tokens.pub") if settings.script_tokens else None
    issuers = Issuers(read_issuers(settings.issuers))
    sessions = None
    if issuers.by_name:
        find_ended = ask_intake(settings.urls["intake"])
        sessions = Sessions(read_key(settings, "sessions.pub"), settings.public_url, find_ended)
    return Service(
        settings=settings,
        flow=flow,
        web=web,
        outbox=Outbox(name, Signer(read_key(settings, "signing.key"))),
        waker=Waker(flow, name),
        broker=make_broker(settings.kafka, f"{name}.{settings.replica}", finds=finds),
        tokens=TokenReader(centre, read_callers(settings)),
        owns=tuple(owns),
        issuers=issuers,
        sessions=sessions,
        tasks=[sessions.run] if sessions else [],
        revisions=revisions_of(name),
    )


def run(service: Service, app: FastAPI) -> None:
    """Serve until SIGTERM or SIGINT; the exit code is uvicorn's."""
    uvicorn.run(
        app,
        host=service.settings.http_host,
        port=service.settings.http_port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )


def main(build: Callable[[], tuple[Service, FastAPI]]) -> None:
    """Run a service's `main`: one clear line instead of a traceback when settings are wrong.

    With `--check` it serves nothing: it does what comes before, and ends.
    """
    guard_process()
    try:
        service, app = build()
    except SettingsError as error:
        sys.exit(f"pashe: {error}")
    if CHECK in sys.argv[1:]:
        try:
            asyncio.run(service.check())
        except (SettingsError, TimeoutError) as error:
            sys.exit(f"pashe: {error or 'the database is not there'}")
        return
    run(service, app)
    if service.refusal:
        sys.exit(f"pashe: {service.refusal}")
