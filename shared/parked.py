"""What a person does about parked records: list, show, replay, dismiss; and the replaying itself.

A replay goes through the inbox, holds the consumer's lock, and takes the records of one key from
the oldest on until nothing waits (DECISIONS 13). A record parked as `behind` is replayed by itself
when nothing older of its key waits.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiokafka import ConsumerRecord
from sqlalchemy import text

from shared import inbox, telemetry
from shared.database import Blame, blame
from shared.errors import RecordInvalid
from shared.events import NewerVersion
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from shared.consumer import DurableConsumer

EVERY: Final = 1.0
"""Seconds between looks for records to replay."""

_KEYS = text("""
SELECT consumer, key, min(id) AS first FROM parked
WHERE consumer = ANY(CAST(:consumers AS text[])) AND state IN ('waiting', 'replay')
GROUP BY consumer, key, CASE WHEN key IS NULL THEN id END
HAVING bool_or(state = 'replay') OR (array_agg(reason ORDER BY id))[1] = 'behind'
ORDER BY 1, 3
""")


class Replayer:
    """Replays what was asked for, for the consumers of this process."""

    def __init__(
        self,
        engine: AsyncEngine,
        consumers: Sequence[DurableConsumer[Any]],
        wake: Callable[[], None],
    ) -> None:
        """Take the engine of the flow role and the consumers that run here."""
        self._engine = engine
        self._consumers = {consumer.name: consumer for consumer in consumers}
        self._wake = wake
        self._log = Log("parked")

    async def run(self) -> None:
        """Look and replay until cancelled."""
        while True:
            try:
                await self.round()
            except Exception as error:  # noqa: BLE001  (a lost database only makes it wait)
                self._log.error("replay-round-failed", error)
            await asyncio.sleep(EVERY)

    async def round(self) -> int:
        """Replay each key that may be replayed, oldest first; return how many were handled."""
        async with self._engine.connect() as conn:
            keys = (await conn.execute(_KEYS, {"consumers": list(self._consumers)})).all()
            await conn.rollback()
        done = 0
        for row in keys:
            parked_id: int | None = row.first
            while parked_id is not None and await self._replay(row.consumer, parked_id):
                done += 1
                parked_id = await self._next(row.consumer, row.key) if row.key else None
        if done:
            self._wake()
        return done

    async def _next(self, consumer: str, key: bytes) -> int | None:
        async with self._engine.connect() as conn:
            found = await conn.scalar(
                text(
                    "SELECT min(id) FROM parked WHERE consumer = :c AND key = :k"
                    " AND state IN ('waiting', 'replay')"
                ),
                {"c": consumer, "k": key},
            )
            return int(found) if found is not None else None

    async def _replay(self, name: str, parked_id: int) -> bool:
        """Handle one parked record; False if it failed again, with its new reason kept."""
        try:
            async with self._engine.begin() as conn:
                await inbox.own_consumer(conn, name)
                row = await _lock(conn, parked_id)
                if row is None:
                    return False
                await self._consumers[name].replay(conn, _record_of(row))
                await conn.execute(
                    text("UPDATE parked SET state = 'done', ended_at = now() WHERE id = :id"),
                    {"id": parked_id},
                )
        except Exception as error:
            if blame(error) in (Blame.WORLD, Blame.RETRY):
                raise
            reason = error.reason if isinstance(error, RecordInvalid) else "bug"
            if isinstance(error, NewerVersion):
                reason = "newer-version"
            async with self._engine.begin() as conn:
                await conn.execute(
                    text(
                        "UPDATE parked SET state = 'waiting', reason = CASE WHEN reason = 'behind'"
                        " THEN :r ELSE reason END, detail = :d WHERE id = :id"
                    ),
                    {"r": reason, "d": telemetry.describe(error), "id": parked_id},
                )
            self._log.warning("replay-failed", consumer=name, reason=reason)
            return False
        return True


async def _lock(conn: AsyncConnection, parked_id: int) -> Any:  # noqa: ANN401  (a row or None)
    rows = await conn.execute(
        text(
            'SELECT topic, partition, "offset", key, value, headers::text AS headers FROM parked'
            " WHERE id = :id AND state IN ('waiting', 'replay') FOR UPDATE"
        ),
        {"id": parked_id},
    )
    return rows.first()


def _record_of(row: Any) -> ConsumerRecord[Any, Any]:  # noqa: ANN401
    headers = tuple(
        (name, value.encode("latin-1") if value is not None else None)
        for name, value in msgspec.json.decode(row.headers)
    )
    return ConsumerRecord(
        topic=row.topic,
        partition=row.partition,
        offset=row.offset,
        timestamp=0,
        timestamp_type=0,
        key=bytes(row.key) if row.key is not None else None,
        value=bytes(row.value) if row.value is not None else None,
        checksum=None,
        serialized_key_size=-1,
        serialized_value_size=-1,
        headers=headers,
    )
