"""Every bench by its name, with what it needs to run: a platform of its own, or a whole stack."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from confluent_kafka.admin import AdminClient

from deploy.local.topics import provision_topics
from tests.bench import (
    chain,
    consumer,
    growth,
    history,
    intake,
    isolation,
    latency,
    routing,
    start,
)
from tests.bench.servers import Platform
from tests.bench.telling import Told
from tests.support.platform import embedded
from tests.support.receiver import Receiver, in_thread
from tests.support.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from tests.bench.figures import Figure

NAMES: Final = (
    *("intake", "consumer", "routing", "history"),
    *("chain", "latency", "isolation", "growth", "start"),
)
"""The benches, in the order in which they run."""

TRACED: Final = "0.01"
"""Of all traces, how many are sampled."""


@contextmanager
def platform() -> Iterator[Platform]:
    """Run a PostgreSQL and a Kafka alone, with the streams."""
    with embedded() as running:
        provision_topics(AdminClient({"bootstrap.servers": running.kafka.bootstrap}), 1)
        server = running.postgres.process
        yield Platform(
            running.postgres.url(), running.kafka.bootstrap, server.pid if server else None
        )


@contextmanager
def stack(home: Path, env: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Run a whole stack in a folder of its own, its traces sampled and collected."""
    with in_thread(Receiver()) as collector:
        told = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_TRACES_SAMPLER_ARG": TRACED,
            **(env or {}),
        }
        with Stack(home, env=told) as running:
            yield running


def run_all(
    names: tuple[str, ...], folder: Path, say: Callable[[dict[str, Any]], None], *, quick: bool
) -> list[Figure]:
    """Run the benches of these names, each platform or stack once; return their figures."""
    found: list[Figure] = []

    def keep(bench: str, figures: list[Figure]) -> None:
        found.extend(figures)
        told = Told(bench, say)
        for figure in figures:
            told.figure(figure)

    alone: list[str] = [name for name in NAMES[:4] if name in names]
    if alone:
        say({"event": "start", "text": "PostgreSQL and Kafka"})
        with platform() as running:
            for name in alone:
                keep(name, _alone(name, running, folder, say, quick=quick))
    whole: list[str] = [name for name in ("chain", "latency") if name in names]
    if whole:
        say({"event": "start", "text": "a whole stack"})
        with stack(folder / "stack") as site:
            for name in whole:
                keep(name, _whole(name, site, say, quick=quick))
    if "isolation" in names:
        say({"event": "start", "text": "a stack whose one rule is a process of its own"})
        with stack(folder / "beside", isolation.rules_beside()) as site:
            plan = isolation.QUICK if quick else isolation.Plan()
            keep("isolation", isolation.run(site, folder, plan, Told("isolation", say)))
    if "growth" in names:
        say({"event": "start", "text": "a stack whose past grows"})
        with stack(folder / "grown") as site:
            plan_of = growth.QUICK if quick else growth.Plan()
            keep("growth", growth.run(site, plan_of, Told("growth", say)))
    if "start" in names:
        told = Told("start", say)
        keep("start", start.run(folder / "start", start.QUICK if quick else start.Plan(), told))
    return found


def _alone(
    name: str,
    running: Platform,
    folder: Path,
    say: Callable[[dict[str, Any]], None],
    *,
    quick: bool,
) -> list[Figure]:
    if name == "intake":
        plan = intake.QUICK if quick else intake.Plan()
        return intake.run(running, folder, plan, Told(name, say))
    if name == "routing":
        return routing.run(running, routing.QUICK if quick else routing.Plan(), Told(name, say))
    if name == "history":
        plan_of = history.QUICK if quick else history.Plan()
        return history.run(running, folder, plan_of, Told(name, say))
    return consumer.run(running, consumer.QUICK if quick else consumer.Plan(), Told(name, say))


def _whole(
    name: str, site: Stack, say: Callable[[dict[str, Any]], None], *, quick: bool
) -> list[Figure]:
    if name == "chain":
        return chain.run(site, chain.QUICK if quick else chain.Plan(), Told(name, say))
    return latency.run(site, latency.QUICK if quick else latency.Plan(), Told(name, say))
