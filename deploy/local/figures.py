"""What `status` shows beside the parts: consumer lag, unsent outbox rows, parked records.

Each is asked for with a bound of a second or two and is None when it cannot be had.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import asyncpg
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.database import count_rows

if TYPE_CHECKING:
    from shared.kafka import KafkaLogin

BOUND: Final = 1.0
"""Seconds for each figure of the database."""

LAG_BOUND: Final = 2.0
"""Seconds for the lag of some thirty groups."""

Counts = dict[str, int | None]


async def measure_lag(kafka: KafkaLogin) -> dict[str, int]:
    """Return the records that each consumer group has still to handle.

    A partition in which the group never committed is not counted. The client is pure Python: the
    native one ends its whole process by an assertion when a broker dies under its questions, and
    this runs in the supervisor.

    Raises:
        KafkaError, OSError: Kafka does not answer.

    """
    admin = AIOKafkaAdminClient(**kafka.client(), request_timeout_ms=2000)
    reader = AIOKafkaConsumer(**kafka.client(), request_timeout_ms=2000)
    try:
        await asyncio.gather(admin.start(), reader.start())
        names = sorted({str(group[0]) for group in await admin.list_consumer_groups()})
        offsets = await asyncio.gather(*map(admin.list_consumer_group_offsets, names))
        committed = {
            name: {place: kept.offset for place, kept in found.items() if kept.offset >= 0}
            for name, found in zip(names, offsets, strict=True)
        }
        wanted = {place for places in committed.values() for place in places}
        ends = await reader.end_offsets(sorted(wanted)) if wanted else {}
        return {
            name: sum(max(0, ends[place] - offset) for place, offset in places.items())
            for name, places in committed.items()
        }
    finally:
        await asyncio.gather(admin.close(), reader.stop(), return_exceptions=True)


async def find_lag(kafka: KafkaLogin | None) -> dict[str, int] | None:
    """Return the lag by group, or None when Kafka does not say it in time."""
    if kafka is None:
        return None
    try:
        async with asyncio.timeout(LAG_BOUND):
            return await measure_lag(kafka)
    except (KafkaError, OSError, TimeoutError):
        return None


async def find_outbox(admin: str | None) -> Counts | None:
    """Return unsent outbox rows by service, or None when the database does not answer."""
    return await _count(admin, "outbox", "sent_at IS NULL")


async def find_parked(admin: str | None) -> Counts | None:
    """Return waiting parked records by service, or None when the database does not answer."""
    return await _count(admin, "parked", "state = 'waiting'")


async def _count(admin: str | None, table: str, where: str) -> Counts | None:
    if admin is None:
        return None
    try:
        async with asyncio.timeout(BOUND):
            return await count_rows(admin, table, where)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None
