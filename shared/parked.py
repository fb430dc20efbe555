"""What a person does about parked records: list, replay, dismiss; and the replaying itself.

A replay goes through the inbox, holds the consumer's lock, and takes the records of one key from
the oldest on until nothing waits (DECISIONS 13). A record parked as `behind` is replayed by itself
when nothing older of its key waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiokafka import ConsumerRecord

from shared import inbox, telemetry
from shared.database import Blame, blame
from shared.errors import RecordInvalid
from shared.events import Draft, EventParked
from shared.lean import text
from shared.outbox import Stamp
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from shared.consumer import DurableConsumer
    from shared.outbox import Outbox

EVERY: Final = 1.0
"""Seconds between looks for records to replay."""

_KEYS = text("""
SELECT consumer, key, min(id) AS first FROM parked
WHERE consumer = ANY(CAST(:consumers AS text[])) AND state IN ('waiting', 'replay')
GROUP BY consumer, key, CASE WHEN key IS NULL THEN id END
HAVING (array_agg(state = 'replay' OR reason = 'behind' ORDER BY id))[1]
ORDER BY 1, 3
""")


@dataclass(frozen=True, slots=True)
class Parked:
    """A parked record as a person may see it: where it lies and why, never what it holds.

    `subject` is its key (a case id, in ASCII) or None; `parked_at` is in UTC.
    """

    id: int
    consumer: str
    topic: str
    partition: int
    offset: int
    subject: str | None
    reason: str
    detail: str
    state: str
    parked_at: datetime


async def list_parked(conn: AsyncConnection, *, after: int = 0, limit: int = 100) -> list[Parked]:
    """List what waits, oldest first, from the id `after` on; at most `limit` records."""
    rows = await conn.execute(
        text(
            'SELECT id, consumer, topic, partition, "offset", key, reason, detail, state,'
            " parked_at FROM parked WHERE state IN ('waiting', 'replay') AND id > :after"
            " ORDER BY id LIMIT :limit"
        ),
        {"after": after, "limit": limit},
    )
    return [
        Parked(
            id=row.id,
            consumer=row.consumer,
            topic=row.topic,
            partition=row.partition,
            offset=row.offset,
            subject=bytes(row.key).decode("ascii", "replace") if row.key is not None else None,
            reason=row.reason,
            detail=row.detail,
            state=row.state,
            parked_at=row.parked_at,
        )
        for row in rows
    ]


async def ask_replay(conn: AsyncConnection, parked_id: int) -> int:
    """Ask for this record and all that wait with its key; return how many, 0 if none waits.

    The process that runs the consumer replays them, in order, within about `EVERY` seconds.
    """
    found = await conn.execute(
        text(
            "UPDATE parked p SET state = 'replay' FROM"
            " (SELECT id, consumer, key FROM parked WHERE id = :id) x"
            " WHERE p.consumer = x.consumer AND (p.id = x.id OR p.key = x.key)"
            " AND p.state IN ('waiting', 'replay') RETURNING p.id"
        ),
        {"id": parked_id},
    )
    return len(found.all())


async def dismiss(conn: AsyncConnection, parked_id: int, by: str) -> bool:
    """End a parked record unhandled; what waits behind it goes on. False if it does not wait.

    `by` is the actor, `role:pseudonym`.
    """
    found = await conn.execute(
        text(
            "UPDATE parked SET state = 'dismissed', ended_at = now(), dismissed_by = :by"
            " WHERE id = :id AND state IN ('waiting', 'replay') RETURNING consumer, value"
        ),
        {"id": parked_id, "by": by},
    )
    row = found.first()
    if row is not None:
        await inbox.end(conn, row.consumer, [row.value])
    return row is not None


OnParked = Callable[
    ["AsyncConnection", str, "Sequence[tuple[UUID, str]]", datetime], Awaitable[None]
]
"""Told of (case, reason) that a consumer parked and when, inside the same transaction."""


def tell_of_parked(outbox: Outbox, stream: str) -> OnParked:
    """Make an event of the service's own stream of it, so that a person sees (DECISIONS 13)."""

    async def tell(
        conn: AsyncConnection, consumer: str, parked: Sequence[tuple[UUID, str]], at: datetime
    ) -> None:
        stamp = Stamp(at, f"service:{consumer}")
        drafts = [
            Draft(stream, "event-parked", str(case), EventParked(consumer=consumer, cause=reason))
            for case, reason in parked
        ]
        await outbox.append(conn, [(draft, stamp) for draft in drafts])

    return tell


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
        done = 0
        for row in keys:
            parked_id: int | None = row.first
            while parked_id is not None and await self._replay(row.consumer, parked_id):
                done += 1
                parked_id = await self._next(row.consumer, row.key)
        if done:
            self._wake()
        return done

    async def _next(self, consumer: str, key: bytes | None) -> int | None:
        """Return the oldest that waits with this key, if it may be replayed."""
        async with self._engine.connect() as conn:
            found = await conn.execute(
                text(
                    "SELECT id, state = 'replay' OR reason = 'behind' AS may FROM parked"
                    " WHERE consumer = :c AND key = :k AND state IN ('waiting', 'replay')"
                    " ORDER BY id LIMIT 1"
                ),
                {"c": consumer, "k": key},
            )
            row = found.first()
        return int(row.id) if row is not None and row.may else None

    async def _replay(self, name: str, parked_id: int) -> bool:
        """Handle one parked record; False if it failed again, or the world did."""
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
        except Exception as error:  # noqa: BLE001  (kept with the record; other keys go on)
            if blame(error) in (Blame.WORLD, Blame.RETRY):
                self._log.warning("replay-waits", consumer=name, error=telemetry.describe(error))
                return False
            reason = error.reason if isinstance(error, RecordInvalid) else "bug"
            await self._put_back(parked_id, reason, telemetry.describe(error))
            self._log.warning("replay-failed", consumer=name, reason=reason)
            return False
        return True

    async def _put_back(self, parked_id: int, reason: str, detail: str) -> None:
        """Let the record wait for a person again, and with it whatever is behind it."""
        async with self._engine.begin() as conn:
            await conn.execute(
                text(
                    "UPDATE parked p SET state = 'waiting',"
                    " reason = CASE WHEN p.id = x.id AND p.reason = 'behind' THEN :r"
                    " ELSE p.reason END,"
                    " detail = CASE WHEN p.id = x.id THEN :d ELSE p.detail END"
                    " FROM (SELECT id, consumer, key FROM parked WHERE id = :id) x"
                    " WHERE p.consumer = x.consumer AND (p.id = x.id OR p.key = x.key)"
                    " AND p.state IN ('waiting', 'replay')"
                ),
                {"r": reason, "d": detail, "id": parked_id},
            )


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
        (name, value.encode("latin-1", "replace") if value is not None else None)
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
