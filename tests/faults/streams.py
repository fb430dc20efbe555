"""Faults in the streams: poison, odd headers, replays, rebalances, offsets that are not there."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from shared.kafka import partition_of
from tests.faults import reading
from tests.faults.scene import SERVICES, Named, family_of, gone, signal_all
from tests.integration.test_outages import poison

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.faults.scene import Scene

PARTNERED = ("submissions", "cases", "referrals")
"""Streams that poison is put onto: those with readers of several services."""

REBALANCES = 3

Record = tuple[bytes | None, list[tuple[str, bytes | None]]]


def poisons() -> list[Record]:
    """Return records of fifteen kinds that nobody can read, each under a key of its own."""
    key = str(uuid4()).encode()
    kinds: list[Record] = [*poison(key)]
    unknown = kinds[-1][0]
    assert unknown is not None
    created: list[tuple[str, bytes | None]] = [("type", b"case-created"), ("sequence", b"1")]
    more: list[Record] = [
        (b"", []),
        (b"[]", created),
        (b"null", created),
        (unknown.replace(b'"sequence":"1"', b'"sequence":"-1"'), created),
        (unknown.replace(b"2026-01-01", b"2026-13-45"), created),
        (unknown.replace(b'"data":{}', b'"data":{"a":"\\u0000"}'), created),
        (unknown + unknown, [("type", b"case-created"), ("type", b"case-closed")]),
    ]
    return [*kinds, *more]


@asynccontextmanager
async def producing(scene: Scene) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**scene.stack.kafka_login().client(), acks="all")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def plant(scene: Scene, records: list[tuple[str, Record]], pause: float) -> None:
    """Put records among what flows, spread over time, and remember where each came to stand."""
    async with producing(scene) as producer:
        for stream, (value, headers) in records:
            key = str(uuid4()).encode()
            done: Any = await producer.send_and_wait(
                stream, value, key=key, headers=headers, partition=partition_of(key)
            )
            scene.planted.add((stream, done.partition, done.offset))
            await asyncio.sleep(pause)


async def all_recorded(scene: Scene, planted: set[reading.Place]) -> None:
    """Wait until the history has each planted record; it forgets nothing, poison neither."""
    until = time.monotonic() + 60
    while len(await reading.read_planted(scene.stack, planted)) < len(planted):
        assert time.monotonic() < until, "the history has not every planted record"
        await asyncio.sleep(0.2)


async def poisoned(scene: Scene) -> None:
    """Put poison of every kind onto three streams, at well over one in a hundred events."""
    before = set(scene.planted)
    kinds = [(stream, kind) for stream in PARTNERED for kind in poisons()]
    scene.rng.shuffle(kinds)
    await plant(scene, kinds, 0.2)
    at = time.monotonic()
    await all_recorded(scene, scene.planted - before)
    await scene.back("poison", at)


async def odd_headers(scene: Scene) -> None:
    """Put headers that are null, no UTF-8, very many, or twice there among good records."""
    before = set(scene.planted)
    odd: list[list[tuple[str, bytes | None]]] = [
        [("type", None), ("needs", None), ("sequence", None), ("signature", None)],
        [("type", b"\xff\xfe"), ("needs", b"\xc3\x28"), ("traceparent", b"\x80")],
        [("reply_to", b"cases"), ("correlation_id", None), ("content-type", b"\xff")],
        [(f"h{n}", b"x") for n in range(500)],
    ]
    records: list[tuple[str, Record]] = [
        (s, (b"{", headers)) for s in PARTNERED for headers in odd for _ in range(3)
    ]
    await plant(scene, records, 0.1)
    at = time.monotonic()
    await all_recorded(scene, scene.planted - before)
    await scene.back("odd headers", at)


async def replay(scene: Scene) -> None:
    """Send one in ten of all events again, three times over, in whatever order that makes."""
    for _ in range(3):
        for service in SERVICES:
            await reading.rows(
                scene.stack,
                service,
                "UPDATE outbox SET sent_at = NULL WHERE sent_at IS NOT NULL AND random() < 0.1"
                " AND created_at > now() - interval '2 hours'",
            )
        await scene.back("replay", time.monotonic())


async def rebalance(scene: Scene) -> None:
    """Let second members of every group of two services come and be killed, again and again."""
    for turn in range(REBALANCES):
        async with scene.replica("referral", 10 + turn), scene.replica("intake", 10 + turn) as one:
            await asyncio.sleep(scene.rng.uniform(1, 3))
            if turn % 2:
                signal_all([one.pid], signal.SIGKILL)
        await scene.back("rebalance", time.monotonic())


async def lose_offsets(scene: Scene) -> None:
    """While a service is dead, set its groups' offsets before the log and beyond its end."""
    pid = await scene.pid("referral")
    with scene.nobody_restarts():
        signal_all(family_of(pid), signal.SIGKILL)
        await gone(pid, 30)
        login = scene.stack.kafka_login()
        admin = AIOKafkaAdminClient(**login.client())
        await admin.start()
        try:
            groups = [name for name, _ in await admin.list_consumer_groups()]
            ours = [g for g in groups if g == "referral" or g.startswith("referral.")]
            assert ours, "referral has no groups"
            moved = [await _move(scene, admin, group) for group in ours]
            assert sum(moved), "no offset was there to be moved"
        finally:
            await admin.close()
    await scene.back("offsets lost", time.monotonic(), "referral", old=pid)


async def _move(scene: Scene, admin: AIOKafkaAdminClient, group: str) -> int:
    """Move each offset of a group whose members are gone; return how many there were."""
    found = await admin.list_consumer_group_offsets(group)
    if not found:
        return 0
    moved = {place: scene.rng.choice((0, 10**9)) for place in found}
    consumer = AIOKafkaConsumer(
        **scene.stack.kafka_login().client(), group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign(list(moved))
        until = time.monotonic() + 40
        while True:  # dead members are members until their session ends
            with contextlib.suppress(KafkaError):
                await consumer.commit(moved)
                return len(moved)
            assert time.monotonic() < until, f"{group} still has members"
            await asyncio.sleep(0.5)
    finally:
        await consumer.stop()


FAULTS = (
    Named("poison of 15 kinds", "poison of 15 kinds at 1 %", poisoned),
    Named("null, undecodable and very many headers", "null and non-UTF-8 headers", odd_headers),
    Named("one in ten of all events sent again", "replays and duplicates of 10 %", replay),
    Named("members come and are killed", "rebalance storms", rebalance),
    Named(
        "offsets before the log and beyond its end", "offsets expired or out of range", lose_offsets
    ),
)
