"""Usual ways to relay and to consume, as programs of their own, for the baselines beside ours.

`python -m tests.faults.rivals KIND`: a consumer (`ours`, `default`, `ack`, `reject`, `nack`) or a
relay (`cursor`, `skip-locked`; ours is the lab's own). Every consumer raises at one event in a
hundred when a process sees it for the first time, as a short outage of something would.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
from aiokafka import AIOKafkaProducer
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaMessage  # noqa: TC002  (FastStream reads it)

from shared.events import Event, decode, headers_of
from tests.support import lab

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

POLICIES: dict[str, dict[str, Any]] = {
    "default": {},
    "ack": {"ack_policy": AckPolicy.ACK, "auto_offset_reset": "earliest"},
    "reject": {"ack_policy": AckPolicy.REJECT_ON_ERROR, "auto_offset_reset": "earliest"},
    "nack": {"ack_policy": AckPolicy.NACK_ON_ERROR, "auto_offset_reset": "earliest"},
}

_EFFECT = (
    "INSERT INTO effects (consumer, subject, sequence, event_id, process)"
    " VALUES ($1, $2, $3, $4, 'rival')"
)
_COLUMNS = "id, topic, partition, key, type, sequence, needs, traceparent, value, signature"


class _ShakenError(RuntimeError):
    """What passes when it is tried again."""


class _Shaky:
    def __init__(self) -> None:
        self._seen: set[int] = set()

    def shake(self, event: Event) -> None:
        number = event.id.int
        if number % 100 == 0 and number not in self._seen:
            self._seen.add(number)
            raise _ShakenError


class ShakyRecorder(lab.Recorder):
    """The lab's handler, shaken like the others: where it stores, for a decision is pure."""

    shaky = _Shaky()

    async def flush(self, conn: AsyncConnection, state: list[Event]) -> None:
        for event in state:
            self.shaky.shake(event)
        await super().flush(conn, state)


async def consume(kind: str) -> None:
    """Handle one message after another: insert a row, and let FastStream acknowledge."""
    name = os.environ["LAB_CONSUMER"]
    pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=2)
    broker = KafkaBroker(os.environ["KAFKA_BOOTSTRAP"], apply_types=False)
    shaky = _Shaky()

    async def raw(message: KafkaMessage) -> bytes:
        return bytes(message.body)

    async def handle(body: bytes) -> None:
        event = decode(body)
        shaky.shake(event)
        await pool.execute(_EFFECT, name, event.subject, event.sequence, event.id)

    broker.subscriber(os.environ["LAB_TOPIC"], group_id=name, decoder=raw, **POLICIES[kind])(handle)
    await FastStream(broker).run()


async def relay_by_cursor(producer: AIOKafkaProducer, conn: asyncpg.Connection[Any]) -> None:
    """Send what has a greater id than the last that was sent; the place is kept in a file."""
    place = Path(os.environ["RIVAL_CURSOR"])
    last = int(place.read_text()) if place.exists() else 0  # noqa: ASYNC240  (one small file)
    while True:
        rows = await conn.fetch(
            f"SELECT {_COLUMNS} FROM outbox WHERE id > $1 ORDER BY id LIMIT 100", last
        )
        for row in rows:
            await _send(producer, row)
            last = row["id"]
        if rows:
            await asyncio.to_thread(place.write_text, str(last))
        else:
            await asyncio.sleep(0.02)


async def relay_by_skipping(producer: AIOKafkaProducer, conn: asyncpg.Connection[Any]) -> None:
    """Claim unsent rows that no other relay has locked, send them, and mark them."""
    while True:
        async with conn.transaction():
            rows = await conn.fetch(
                f"SELECT {_COLUMNS} FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT 20"
                " FOR UPDATE SKIP LOCKED"
            )
            for row in rows:
                await _send(producer, row)
            ids = [row["id"] for row in rows]
            await conn.execute("UPDATE outbox SET sent_at = now() WHERE id = ANY($1)", ids)
        if not rows:
            await asyncio.sleep(0.02)


async def _send(producer: AIOKafkaProducer, row: Any) -> None:
    headers = headers_of(row["type"], row["sequence"], (), row["traceparent"], row["signature"])
    await producer.send_and_wait(
        row["topic"], row["value"], key=row["key"], headers=headers, partition=row["partition"]
    )


async def relay(kind: str) -> None:
    conn = await asyncpg.connect(os.environ["DATABASE_URL"])
    producer = AIOKafkaProducer(bootstrap_servers=os.environ["KAFKA_BOOTSTRAP"], acks="all")
    await producer.start()
    await (relay_by_cursor if kind == "cursor" else relay_by_skipping)(producer, conn)


def main(kind: str) -> None:
    if kind == "ours":
        vars(lab)["Recorder"] = ShakyRecorder
        lab.main()
    elif kind in POLICIES:
        asyncio.run(consume(kind))
    else:
        asyncio.run(relay(kind))


if __name__ == "__main__":
    main(sys.argv[1])
