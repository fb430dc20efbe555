"""Every bench runs, in a short form: figures of a busy machine are not judged, only that they come.

`pashe bench` measures in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
from tests.bench.filling import broken, superuser
from tests.bench.servers import Platform
from tests.bench.suite import NAMES, run_all, stack
from tests.bench.telling import Told, lines

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.figures import Figure
    from tests.support.stack import Stack

pytestmark = [pytest.mark.bench, pytest.mark.slow]


def seen(figures: list[Figure], count: int) -> None:
    assert len(figures) == count
    for figure in figures:
        assert figure.ours > 0, figure
        assert figure.peer is None or figure.peer > 0, figure


def test_intake_and_its_peer_take_reports(postgres_admin_dsn: str, tmp_path: Path) -> None:
    platform = Platform(postgres_admin_dsn, "nowhere:1")
    seen(intake.run(platform, tmp_path, intake.SMOKE, Told("intake")), 2)


def test_a_decision_is_measured_on_real_rows(postgres_admin_dsn: str) -> None:
    platform = Platform(postgres_admin_dsn, "nowhere:1")
    seen(routing.run(platform, routing.SMOKE, Told("routing")), 1)


def test_the_history_is_appended_proven_and_verified(
    postgres_admin_dsn: str, tmp_path: Path
) -> None:
    platform = Platform(postgres_admin_dsn, "nowhere:1")
    seen(history.run(platform, tmp_path, history.SMOKE, Told("history")), 10)


def test_both_consumers_read_every_record(kafka_bootstrap: str) -> None:
    platform = Platform("nowhere", kafka_bootstrap)
    seen(consumer.run(platform, consumer.SMOKE, Told("consumer")), 2)


@pytest.mark.long
def test_reports_go_through_the_whole_chain(bench_stack: Stack) -> None:
    seen(chain.run(bench_stack, chain.SMOKE, Told("chain")), 1)


@pytest.mark.long
def test_providers_hear_of_reports_by_stream_and_webhook(bench_stack: Stack) -> None:
    figures = latency.run(bench_stack, latency.SMOKE, Told("latency"))
    assert [figure.unit for figure in figures] == ["ms"] * 4
    seen(figures, 4)


@pytest.mark.long
def test_rules_and_webhooks_fail_beside_others(bench_stack: Stack, tmp_path: Path) -> None:
    told = Told("isolation")
    seen(isolation.run(bench_stack, tmp_path, isolation.SMOKE, told), 14)


@pytest.mark.long
def test_a_stack_starts_twice_and_rests(tmp_path: Path) -> None:
    seen(start.run(tmp_path / "start", start.SMOKE, Told("start")), 3)


@pytest.mark.long
async def test_the_same_work_is_measured_at_two_sizes_of_the_past(tmp_path: Path) -> None:
    with stack(tmp_path / "grown") as running:
        read, *times = await growth.measure(running, growth.SMOKE, Told("growth"))
        seen(times, 20)
        assert read.reaches(read.floor), read
        async with superuser(running) as conn:
            assert await conn.fetchval("SELECT count(*) FROM intake.cases") >= 20_000
            assert await broken(conn) == []


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_all_in_full(tmp_path: Path) -> None:
    assert run_all(NAMES, tmp_path, lines, quick=False)
