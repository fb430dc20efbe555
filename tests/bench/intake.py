"""Durable intake against the app that one writes first, on one PostgreSQL, by one client.

Ours is the real process over HTTP: validation, encryption of what names somebody, receipt, group
commit, outbox. The peer is `tests.bench.naive`. Neither relays in the first rows: ours is the web
channel's own process there, as it is rolled out, and has no Kafka to reach, as in an outage. In the
last it is the whole service, whose relay and opener of cases work beside it.
"""

from __future__ import annotations

import asyncio
import statistics
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncpg

from deploy.local.keys import make_keys
from deploy.local.ports import Ports
from deploy.local.services import service_env
from shared.access import make_token
from shared.kafka import KafkaLogin
from shared.vocabulary import Role
from tests.bench.cpu import Meter, per_operation
from tests.bench.figures import Figure, mean_of, ratio_of
from tests.bench.load import Job, Outcome, apart, closed
from tests.bench.reports import PARTNER
from tests.bench.servers import Platform, Server, serving
from tests.support.platform import PASSWORDS, fresh_database
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.bench.telling import Told

FLOOR, AMBITIOUS = 4.0, 7.0
NOWHERE = "127.0.0.1:1"
"""A Kafka that is not there."""

DRAIN_WITHIN = 120.0
CLIENT_ROUND = 2.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: rounds of so many seconds each; `relayed` needs a Kafka.

    With `apart` the client is a process of its own, and is measured too.
    """

    rounds: int = 5
    seconds: float = 5.0
    warm: float = 2.0
    connections: int = 64
    relayed: bool = True
    apart: bool = True


QUICK = Plan(rounds=2, seconds=1.0, warm=0.5)
SMOKE = Plan(rounds=1, seconds=0.4, warm=0.1, connections=8, relayed=False, apart=False)


@dataclass(slots=True)
class Side:
    """One of the servers under load, and what was measured of it."""

    name: str
    server: Server
    job: Job
    database: str | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    cpu: list[dict[str, float]] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        return [outcome.rate for outcome in self.outcomes]


async def measure(platform: Platform, folder: Path, plan: Plan, told: Told) -> list[Figure]:
    """Alternate the servers and return their figures."""
    async with AsyncExitStack() as stack:
        sides = await _sides(stack, platform, folder, plan)
        total = len(sides) * (plan.rounds + 1) + 1
        told.step(0, total, "what the client could send at most")
        most = await _ceiling(folder, plan) if plan.apart else None
        done = 1
        for number in range(plan.rounds + 1):
            order = sides[number % len(sides) :] + sides[: number % len(sides)]
            for side in order:
                told.step(done, total, f"round {number} of {plan.rounds}: {side.name}")
                await _round(side, platform, plan, warm=number == 0)
                done += 1
        told.step(done, total, "done")
    return _figures(sides, most)


async def _sides(stack: AsyncExitStack, platform: Platform, folder: Path, plan: Plan) -> list[Side]:
    ports = Ports()
    stack.callback(ports.close)
    keys = folder / "keys"
    make_keys(keys, beside_data=False)
    seed = bytes.fromhex((keys / "pashe" / "tokens.key").read_text())
    token = make_token(seed, Role.PARTNER, org=PARTNER)

    def job(server: Server, **more: object) -> Job:
        given = {"kind": "told", "seconds": plan.seconds, "connections": plan.connections}
        return Job(url=server.url, **{**given, **more})  # type: ignore[arg-type]

    away = await stack.enter_async_context(_ours(platform, folder, keys, ports, NOWHERE, "web"))
    naive_database = await stack.enter_async_context(fresh_database(platform.admin))
    url = naive_database.admin.replace("postgresql://", "postgresql+asyncpg://", 1)
    naive = await stack.enter_async_context(
        serving("tests.bench.naive", ports.reserve(), {"DATABASE_URL": url}, folder / "naive.log")
    )
    bearer = {"authorization": f"Bearer {token}"}
    sides = [
        Side("naive", naive, job(naive, path="/reports")),
        Side("intake", away[0], job(away[0])),
        Side(
            "intake with token and key",
            away[0],
            job(away[0], kind="released", headers=bearer, keys=True),
        ),
    ]
    if plan.relayed:
        at_work = await stack.enter_async_context(
            _ours(platform, folder, keys, ports, platform.kafka, "")
        )
        sides.append(Side("intake at work", at_work[0], job(at_work[0]), at_work[1]))
    return sides


@asynccontextmanager
async def _ours(
    platform: Platform, folder: Path, keys: Path, ports: Ports, kafka: str, channels: str
) -> AsyncIterator[tuple[Server, str]]:
    """Run intake on a database of its own; give the server and the database's address."""
    port = ports.reserve()
    async with fresh_database(platform.admin, "intake") as database:
        env = service_env(
            "intake",
            keys=keys,
            admin=database.admin,
            passwords=PASSWORDS,
            kafka=KafkaLogin(kafka),
            ports={"intake": port},
            origin=f"http://127.0.0.1:{port}",
        )
        env |= {"OTEL_TRACES_SAMPLER_ARG": "0.01", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}
        env |= {"INTAKE_CHANNELS": channels}
        log = folder / f"intake-{port}.log"
        async with serving("services.intake.main", port, env, log, "/ready") as server:
            yield server, database.admin


async def _ceiling(folder: Path, plan: Plan) -> Outcome:
    """Measure the client against a server that only answers."""
    ports = Ports()
    try:
        port = ports.reserve()
        async with serving("tests.bench.canned", port, {}, folder / "canned.log") as canned:
            seconds = min(CLIENT_ROUND, plan.seconds)
            job = Job(url=canned.url, kind="told", seconds=seconds, connections=plan.connections)
            return await apart(job)
    finally:
        ports.close()


async def _round(side: Side, platform: Platform, plan: Plan, *, warm: bool) -> None:
    pids = {"app": side.server.pid}
    if platform.postgres is not None:
        pids["database"] = platform.postgres
    meter = Meter.start(pids)
    job = side.job
    job.seconds, job.seed = plan.warm if warm else plan.seconds, job.seed + 1
    outcome = await (apart(job) if plan.apart else closed(job))
    spent = meter.stop()
    if outcome.failed or not outcome.ok:
        message = f"{side.name}: {outcome.failed} of {outcome.failed + outcome.ok} failed"
        raise RuntimeError(message)
    if not warm:
        side.outcomes.append(outcome)
        side.cpu.append(
            per_operation(spent, outcome.ok) | {"client": outcome.cpu / outcome.ok * 1e6}
        )
    if side.database is not None:
        await _drained(side.database)


async def _drained(admin: str) -> None:
    """Wait until intake has opened every case and sent every event: the next round is another's."""
    conn = await asyncpg.connect(admin)
    try:

        async def empty() -> bool:
            return not await conn.fetchval(
                "SELECT EXISTS (SELECT 1 FROM intake.outbox WHERE sent_at IS NULL)"
                " OR EXISTS (SELECT 1 FROM intake.submissions WHERE state = 'received')"
            )

        await eventually(empty, DRAIN_WITHIN, "an empty outbox", every=0.2)
    finally:
        await conn.close()


def _figures(sides: list[Side], most: Outcome | None) -> list[Figure]:
    naive, *ours = sides
    what = {
        "intake": "durable intake, a web report",
        "intake with token and key": "the same, a partner's, with token and Idempotency-Key",
        "intake at work": "the same as the first, its relay and opener at work beside it",
    }
    return [
        Figure(
            bench="intake",
            what=what[side.name],
            unit="reports/s",
            ours=statistics.median(side.rates),
            peer=statistics.median(naive.rates),
            peer_is="FastAPI + SQLAlchemy ORM",
            ratio=ratio_of(side.rates, naive.rates),
            cpu=mean_of(side.cpu),
            peer_cpu=mean_of(naive.cpu),
            floor=FLOOR if side is ours[0] else None,
            ambitious=AMBITIOUS if side is ours[0] else None,
            notes=[
                f"{side.job.connections} connections, {len(side.rates)} rounds, alternated",
                f"p50 {_ms(side)} ms, the peer's {_ms(naive)} ms",
                *([] if most is None else [f"the client alone: {most.rate:,.0f}/s"]),
            ],
        )
        for side in ours
    ]


def _ms(side: Side) -> str:
    return f"{statistics.median(o.p50 for o in side.outcomes) * 1e3:.1f}"


def run(platform: Platform, folder: Path, plan: Plan, told: Told) -> list[Figure]:
    """Measure on a loop of its own."""
    return asyncio.run(measure(platform, folder, plan, told))
