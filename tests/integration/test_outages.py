"""Outages under a running stack: PostgreSQL down, Kafka down also at start, poison everywhere."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import psutil
import pytest
from aiokafka import AIOKafkaProducer

from shared.events import STREAMS
from shared.kafka import partition_of
from shared.vocabulary import Role
from tests.support.stack import SERVICES, Stack, gone, send_signal
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

REPORT = {
    "channel": "partner",
    "persons": [{"ref": "a", "age": {"min": 16, "max": 16}}],
    "places": [{"role": "now", "pcode": "BD30260038"}],
    "concerns": ["child_labour"],
    "needs": ["education"],
}


@pytest.fixture
def stack(whole_stack: Stack) -> Stack:
    return whole_stack


@contextmanager
def nobody_restarts(stack: Stack) -> Iterator[None]:
    """Hold the supervisor still, so that what is killed stays dead as long as the test wants."""
    supervisor = stack.status()["supervisor"]
    send_signal(supervisor, signal.SIGSTOP)
    try:
        yield
    finally:
        send_signal(supervisor, signal.SIGCONT)


async def kill(pid: int) -> None:
    victims = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    for victim in victims:
        send_signal(victim, signal.SIGKILL)
    for victim in victims:
        assert await gone(victim)


async def post(base: str, headers: dict[str, str], key: str | None = None) -> httpx.Response:
    async with httpx.AsyncClient(base_url=base, timeout=30) as client:
        return await client.post(
            "/intake/v1/reports",
            json=REPORT,
            headers=headers | {"idempotency-key": key or str(uuid4())},
        )


async def history(stack: Stack, case_id: str) -> list[str]:
    """Return the types of events that the history holds about a case."""
    async with httpx.AsyncClient(base_url=stack.origin, timeout=10) as client:
        answer = await client.get(
            f"/audit/v1/cases/{case_id}/history", headers=stack.bearer(Role.AUDITOR)
        )
    return [item["type"] for item in answer.json()["items"]] if answer.is_success else []


async def arrives(stack: Stack, case_id: str, within: float) -> None:
    """Wait until the case went all the way: submitted, created and referred, in the history."""

    async def look() -> bool:
        found = await history(stack, case_id)
        return {"report-submitted", "case-created", "referral-planned"} <= set(found)

    await eventually(look, within, "the case in the history")


async def travel(stack: Stack, headers: dict[str, str]) -> float:
    """Send a report all the way and return the seconds that it took."""
    started = time.monotonic()
    case_id = (await post(stack.origin, headers)).json()["case_ids"][0]
    await arrives(stack, case_id, 20)
    return time.monotonic() - started


@pytest.mark.slow
async def test_without_postgres_reports_get_503_and_no_2xx_is_lost(stack: Stack) -> None:
    headers = stack.bearer(Role.PARTNER, "example-partner")
    base, pid = stack.url("intake"), stack.pid("postgres")
    answers: list[httpx.Response] = []
    stop = asyncio.Event()

    async def keep_posting() -> None:
        while not stop.is_set():
            with contextlib.suppress(httpx.TransportError):
                answers.append(await post(base, headers))

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(keep_posting())
        await eventually(lambda: len(answers) > 20, 20)
        with nobody_restarts(stack):
            await kill(pid)
            await eventually(lambda: any(a.status_code == 503 for a in answers), 20)
        seen = len(answers)
        await eventually(lambda: any(a.status_code == 201 for a in answers[seen:]), 40)
        stop.set()

    assert {a.status_code for a in answers} == {201, 503}
    for answer in answers:
        if answer.status_code == 503:
            assert answer.json()["type"] == "urn:pashe:problem:unavailable"
            assert int(answer.headers["retry-after"]) >= 1
    for answer in answers:
        if answer.status_code == 201:
            for case_id in answer.json()["case_ids"]:
                await arrives(stack, case_id, 30)


@contextmanager
def own_intake(stack: Stack, environment: dict[str, str]) -> Iterator[int]:
    """Run an intake process of the test's own in the place of the one that was killed."""
    log = (stack.home / "own-intake.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "services.intake.main"],
        env={**os.environ, **environment},
        stderr=log,
        stdout=log,
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)
        log.close()


@pytest.mark.slow
async def test_a_process_started_without_kafka_takes_reports_that_flow_later(stack: Stack) -> None:
    headers = stack.bearer(Role.PARTNER, "example-partner")
    environment, base = stack.environment("intake"), stack.url("intake")
    intake, kafka = stack.pid("intake"), stack.pid("kafka")
    cases = []
    with contextlib.ExitStack() as running:
        with nobody_restarts(stack):
            await kill(kafka)
            await kill(intake)
            running.enter_context(own_intake(stack, environment))

            async def ready() -> bool:
                async with httpx.AsyncClient(base_url=base, timeout=10) as client:
                    with contextlib.suppress(httpx.TransportError):
                        return (await client.get("/ready")).status_code == 200
                return False

            await eventually(ready, 90, "ready without Kafka")
            for _ in range(5):
                started = time.monotonic()
                answer = await post(base, headers)
                assert answer.status_code == 201
                assert time.monotonic() - started < 10  # nothing waits for Kafka
                cases += answer.json()["case_ids"]
        for case_id in cases:
            await arrives(stack, case_id, 60)
    await eventually(lambda: stack.part("intake")["ready"], 30, "the stack's own intake")


def poison(key: bytes) -> list[tuple[bytes | None, list[tuple[str, bytes | None]]]]:
    """Return values and headers of records that nobody can ever read."""
    subject = key.decode()
    unknown = (
        b'{"specversion":"1.0","id":"%s","source":"/x","type":"no-such-type","subject":"%s",'
        b'"time":"2026-01-01T00:00:00Z","dataschema":"urn:pashe:event:no-such-type:1",'
        b'"sequence":"1","actor":"service:x","data":{}}'
    ) % (str(uuid4()).encode(), subject.encode())
    wrong = unknown.replace(b"no-such-type", b"case-created")
    return [
        (b"{", []),
        (b"\xff\xfe\x00", []),
        (None, []),
        (b"{", [("type", None), ("needs", None)]),
        (b"{", [("type", b"\xff\xfe"), ("needs", b"\xff")]),
        (b"[" * 20_000, [("\u09aa", b"x")]),
        (wrong, []),
        (unknown, []),
    ]


async def parked(stack: Stack) -> dict[tuple[str, str, int, int], int]:
    """Count rows of `parked` by service, topic, partition and offset."""
    found: dict[tuple[str, str, int, int], int] = {}
    for service in SERVICES:
        conn = await stack.connect(service)
        try:
            rows = await conn.fetch(
                'SELECT topic, partition, "offset", count(*) AS n FROM parked GROUP BY 1, 2, 3'
            )
        finally:
            await conn.close()
        for row in rows:
            found[service, row["topic"], row["partition"], row["offset"]] = row["n"]
    return found


READERS = {
    "submissions": ["intake"],
    "cases": ["intake", "referral", "notification"],
    "referrals": ["intake", "notification"],
    "notices": ["intake"],
}
"""Who parks what nobody can read on a stream; the other streams are read by audit alone."""


async def recorded(stack: Stack) -> set[tuple[str, int, int]]:
    """Return the places in Kafka of every entry of the history that audit flags."""
    conn = await stack.connect("audit")
    try:
        query = 'SELECT stream, partition, "offset" AS at FROM entries WHERE flags <> 0'
        return {(r["stream"], r["partition"], r["at"]) for r in await conn.fetch(query)}
    finally:
        await conn.close()


@pytest.mark.slow
async def test_poison_on_every_stream_is_parked_once_a_service_and_the_rest_flows(
    stack: Stack,
) -> None:
    headers = stack.bearer(Role.PARTNER, "example-partner")
    await travel(stack, headers)
    usual = await travel(stack, headers)
    before = await parked(stack)
    producer = AIOKafkaProducer(**stack.kafka_login().client(), acks="all")
    await producer.start()
    sent: list[tuple[str, int, int]] = []
    try:
        for stream in STREAMS:
            for value, hdrs in poison(key := str(uuid4()).encode()):
                if value is None and stream == "directory":
                    continue  # a null value is a tombstone on the compacted stream
                done: Any = await producer.send_and_wait(
                    stream, value, key=key, headers=hdrs, partition=partition_of(key)
                )
                sent.append((stream, done.partition, done.offset))
    finally:
        await producer.stop()
    took = await travel(stack, headers)
    expected = {(service, *place) for place in sent for service in READERS.get(place[0], ())}
    await eventually(lambda: _all_parked(stack, before, expected), 15, "everything parked")
    new = {k: n for k, n in (await parked(stack)).items() if k not in before}
    assert set(new.values()) == {1}, new

    async def all_recorded() -> bool:
        return set(sent) <= await recorded(stack)

    await eventually(all_recorded, 15, "every poison record in the history, flagged")
    assert took < usual + 5, (took, usual)


async def _all_parked(
    stack: Stack,
    before: dict[tuple[str, str, int, int], int],
    expected: set[tuple[str, str, int, int]],
) -> bool:
    new = {k for k in await parked(stack) if k not in before}
    assert new == expected, (new - expected, expected - new)
    return True


async def _shown(client: httpx.AsyncClient, url: str) -> dict[str, float]:
    """Return every sample that a service shows, by its name and labels as they are written."""
    answer = await client.get(f"{url}/metrics")
    assert answer.status_code == 200
    lines = (line for line in answer.text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.mark.slow
async def test_all_that_operations_needs_stays_visible_without_kafka_and_postgres(
    stack: Stack,
) -> None:
    """The same series as before, with their age; what is down is said, and nobody waits for it."""
    old = 'pashe_reading_age_seconds{reading="kernel"}'
    urls = {service: stack.url(service) for service in SERVICES}  # the supervisor is held below
    async with httpx.AsyncClient(timeout=5) as client:
        for url in urls.values():
            await _shown(client, url)
        before = {service: await _shown(client, url) for service, url in urls.items()}
        pids = [stack.pid(part) for part in ("kafka", "postgres")]
        with nobody_restarts(stack):
            for pid in pids:
                await kill(pid)
            for service in SERVICES:

                async def said(service: str = service) -> bool:
                    found = await _shown(client, urls[service])
                    assert not before[service].keys() - found.keys()
                    ready = await client.get(f"{urls[service]}/ready")
                    live = await client.get(f"{urls[service]}/live")
                    assert (ready.status_code, live.status_code) == (503, 200)
                    assert not ready.json()["kafka"]
                    return found[old] > 12 and found["pashe_kafka_connected"] == 0

                await eventually(said, 60, f"{service} to say what is down")

        for service in SERVICES:

            async def well(service: str = service) -> bool:
                found = await _shown(client, urls[service])
                return found[old] < 12 and found["pashe_kafka_connected"] == 1

            await eventually(well, 120, f"{service} to be well again")
