"""What `status` shows beside the parts: consumer lag, unsent outbox rows, parked records.

Each is asked for with a bound of one second and is None when it cannot be had.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import asyncpg
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # it has no __all__

from deploy.local.database import count_rows

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

BOUND: Final = 1.0
"""Seconds for each figure."""

Counts = dict[str, int | None]


def measure_lag(admin: AdminClient) -> dict[str, int]:
    """Return the records that each consumer group has still to handle; blocks.

    A partition in which the group never committed is not counted.

    Raises:
        KafkaException, TimeoutError: Kafka does not answer.

    """
    groups = admin.list_consumer_groups(request_timeout=BOUND).result(BOUND).valid
    names = sorted(group.group_id for group in groups)
    asked = [
        next(
            iter(
                admin.list_consumer_group_offsets(
                    [ConsumerGroupTopicPartitions(name)], request_timeout=BOUND
                ).values()
            )
        )
        for name in names
    ]
    committed: dict[str, dict[tuple[str, int], int]] = {}
    for name, answer in zip(names, asked, strict=True):
        places = answer.result(BOUND).topic_partitions
        committed[name] = {(p.topic, p.partition): p.offset for p in places if p.offset >= 0}
    wanted = sorted({place for offsets in committed.values() for place in offsets})
    ends: dict[tuple[str, int], int] = {}
    if wanted:
        latest = {TopicPartition(*place): OffsetSpec.latest() for place in wanted}  # type: ignore[no-untyped-call]
        for place, end in admin.list_offsets(latest, request_timeout=BOUND).items():
            ends[place.topic, place.partition] = end.result(BOUND).offset
    return {
        name: sum(max(0, ends[place] - offset) for place, offset in offsets.items())
        for name, offsets in committed.items()
    }


async def find_lag(admin: AdminClient | None) -> dict[str, int] | None:
    """Return the lag by group, or None when Kafka does not say it in time."""
    if admin is None:
        return None
    try:
        async with asyncio.timeout(BOUND):
            return await asyncio.to_thread(measure_lag, admin)
    except (KafkaException, TimeoutError):
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
