"""What a durable consumer remembers: inbox, heads, attempts, parked (DECISIONS 8, 11–14).

Every function works inside the caller's transaction and takes whole batches.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import msgspec

from shared.clock import time_of
from shared.errors import RecordInvalid
from shared.events import NewerVersion, decode
from shared.lean import later, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from aiokafka import ConsumerRecord
    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.events import Event

_BEGIN: Final = text(
    "SELECT * FROM begin_batch(:c, CAST(:ids AS uuid[]), CAST(:days AS date[]),"
    " CAST(:subjects AS text[]), CAST(:keys AS bytea[]))"
)
_ELSE: Final = date(1970, 1, 1)
_UUID7: Final = 7


@dataclass(frozen=True, slots=True)
class Parking:
    """A record to park. `reason` is a stable word, `detail` holds no personal data.

    `state` is `void` when a safety event of the same batch has overtaken it. `event_id` is known
    when the record could be read.
    """

    record: ConsumerRecord[Any, Any]
    reason: str
    detail: str = ""
    state: str = "waiting"
    event_id: UUID | None = None


def _day(event_id: UUID) -> date:
    if event_id.version != _UUID7:
        return _ELSE
    try:
        return time_of(event_id).date()
    except (ValueError, OverflowError, OSError):  # a forged id may name a year after 9999
        return _ELSE


async def own_consumer(conn: AsyncConnection, consumer: str) -> None:
    """Keep batches of this consumer out until the end of the transaction."""
    await conn.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:c, 7))"), {"c": consumer}
    )


@dataclass(frozen=True, slots=True)
class Begun:
    """What the database says of a batch: unseen ids, heads by (stream, subject), blocked keys."""

    fresh: set[UUID]
    heads: dict[tuple[str, str], int]
    blocked: set[bytes]


async def begin(
    conn: AsyncConnection, consumer: str, events: Sequence[tuple[ConsumerRecord[Any, Any], Event]]
) -> Begun:
    """Enter events into the inbox, and keep the consumer's replay out until the transaction ends.

    Only the ids that were not there are handled. A key is blocked while an earlier record of it
    waits for a person; a head is the sequence last handled.
    """
    ids = sorted({event.id for _, event in events})
    rows = await conn.execute(
        _BEGIN,
        {
            "c": consumer,
            "ids": ids,
            "days": [_day(i) for i in ids],
            "subjects": sorted({event.subject for _, event in events}),
            "keys": sorted({record.key for record, _ in events if record.key is not None}),
        },
    )
    found = rows.one()
    heads = zip(found.heads or (), found.sequences or (), strict=True)
    return Begun(
        set(found.fresh or ()),
        {(stream, subject): sequence for (stream, subject), sequence in heads},
        {bytes(key) for key in found.blocked or ()},
    )


async def give_back(conn: AsyncConnection, consumer: str, ids: Sequence[UUID]) -> None:
    """Take parked events out of the inbox again, so that their replay is handled."""
    if ids:
        await conn.execute(
            text("DELETE FROM inbox WHERE consumer = :c AND event_id = ANY(CAST(:ids AS uuid[]))"),
            {"c": consumer, "ids": list(ids)},
        )


def move_heads(conn: AsyncConnection, consumer: str, heads: dict[tuple[str, str], int]) -> None:
    """Store the sequence last handled for each (stream, subject), later; it never goes back."""
    if heads:
        places = sorted(heads)
        later(
            conn,
            text(
                "INSERT INTO inbox_heads AS h (consumer, stream, subject, sequence)"
                " SELECT :c, s, j, n FROM unnest(CAST(:s AS text[]), CAST(:j AS text[]),"
                " CAST(:n AS bigint[])) AS t (s, j, n) ORDER BY s, j"
                " ON CONFLICT (consumer, stream, subject)"
                " DO UPDATE SET sequence = greatest(h.sequence, excluded.sequence)"
            ),
            {
                "c": consumer,
                "s": [stream for stream, _ in places],
                "j": [subject for _, subject in places],
                "n": [heads[place] for place in places],
            },
        )


async def void(conn: AsyncConnection, consumer: str, keys: Sequence[bytes]) -> set[UUID]:
    """Void what waits for these keys: a safety event has overtaken it (DECISIONS 13).

    Return the ids of the events that it was.
    """
    if not keys:
        return set()
    rows = await conn.execute(
        text(
            "UPDATE parked SET state = 'void', ended_at = now() WHERE consumer = :c"
            " AND key = ANY(CAST(:k AS bytea[])) AND state IN ('waiting', 'replay')"
            " RETURNING value"
        ),
        {"c": consumer, "k": list(keys)},
    )
    return await end(conn, consumer, [row.value for row in rows])


async def end(conn: AsyncConnection, consumer: str, values: Sequence[bytes | None]) -> set[UUID]:
    """Enter the events of parked records that ended unhandled: a copy in the log is no new event.

    Return their ids. A record that is no event of ours has none, and cannot come as one either.
    """
    ids: set[UUID] = set()
    for value in values:
        with contextlib.suppress(RecordInvalid, NewerVersion):
            ids.add(decode(bytes(value) if value is not None else None).id)
    if ids:
        await conn.execute(
            text(
                "INSERT INTO inbox (consumer, event_id, happened_on) SELECT :c, id, day"
                " FROM unnest(CAST(:ids AS uuid[]), CAST(:days AS date[])) AS t (id, day)"
                " ORDER BY id ON CONFLICT DO NOTHING"
            ),
            {"c": consumer, "ids": sorted(ids), "days": [_day(i) for i in sorted(ids)]},
        )
    return ids


def _no_nul(shown: str) -> str:
    return shown.replace("\0", "\N{SYMBOL FOR NULL}")


def _headers(record: ConsumerRecord[Any, Any]) -> str:
    shown = [  # bytes as Latin-1 text; jsonb cannot hold a NUL
        [_no_nul(name), _no_nul(value.decode("latin-1")) if value is not None else None]
        for name, value in record.headers
    ]
    return msgspec.json.encode(shown).decode()


async def park(conn: AsyncConnection, consumer: str, parkings: Sequence[Parking]) -> list[Parking]:
    """Keep records that cannot be handled now; return those that are new in the table."""
    if not parkings:
        return []
    rows = await conn.execute(
        text(
            'INSERT INTO parked (consumer, topic, partition, "offset", key, value, headers,'
            " reason, detail, state, ended_at)"
            " SELECT :c, t, p, o, k, v, CAST(h AS jsonb), r, d, s,"
            " CASE WHEN s = 'void' THEN now() END FROM unnest(CAST(:t AS text[]),"
            " CAST(:p AS smallint[]), CAST(:o AS bigint[]), CAST(:k AS bytea[]),"
            " CAST(:v AS bytea[]), CAST(:h AS text[]), CAST(:r AS text[]), CAST(:d AS text[]),"
            " CAST(:s AS text[]))"
            " WITH ORDINALITY AS x (t, p, o, k, v, h, r, d, s, n) ORDER BY n"
            ' ON CONFLICT (consumer, topic, partition, "offset") DO NOTHING'
            ' RETURNING topic, partition, "offset"'
        ),
        {
            "c": consumer,
            "t": [p.record.topic for p in parkings],
            "p": [p.record.partition for p in parkings],
            "o": [p.record.offset for p in parkings],
            "k": [p.record.key for p in parkings],
            "v": [p.record.value for p in parkings],
            "h": [_headers(p.record) for p in parkings],
            "r": [p.reason for p in parkings],
            "d": [p.detail for p in parkings],
            "s": [p.state for p in parkings],
        },
    )
    new = {tuple(row) for row in rows}
    return [p for p in parkings if (p.record.topic, p.record.partition, p.record.offset) in new]


async def begin_attempts(
    conn: AsyncConnection,
    consumer: str,
    records: Sequence[ConsumerRecord[Any, Any]],
    *,
    again: bool,
) -> dict[tuple[str, int, int], int]:
    """Note that these records are being tried; return how many tries before ended in a death.

    With `again` every count is raised by this try, else only records without a row get one.
    """
    rows = await conn.execute(
        text(
            'INSERT INTO attempts AS a (consumer, topic, partition, "offset")'
            " SELECT :c, t, p, o FROM unnest(CAST(:t AS text[]), CAST(:p AS smallint[]),"
            " CAST(:o AS bigint[])) AS x (t, p, o) ORDER BY t, p, o"
            ' ON CONFLICT (consumer, topic, partition, "offset")'
            " DO UPDATE SET deaths = a.deaths + CAST(:again AS integer)"
            ' RETURNING topic, partition, "offset",'
            " deaths - CASE WHEN xmax = 0 OR CAST(:again AS integer) = 1 THEN 1 ELSE 0 END"
            " AS deaths"
        ),
        {
            "c": consumer,
            "t": [r.topic for r in records],
            "p": [r.partition for r in records],
            "o": [r.offset for r in records],
            "again": int(again),
        },
    )
    return {(row.topic, row.partition, row.offset): row.deaths for row in rows}


async def end_attempts(
    conn: AsyncConnection, consumer: str, records: Sequence[ConsumerRecord[Any, Any]]
) -> None:
    """Forget the attempts of records that were handled or parked."""
    await conn.execute(
        text(
            "DELETE FROM attempts a USING unnest(CAST(:t AS text[]), CAST(:p AS smallint[]),"
            " CAST(:o AS bigint[])) AS x (t, p, o) WHERE a.consumer = :c AND a.topic = x.t"
            ' AND a.partition = x.p AND a."offset" = x.o'
        ),
        {
            "c": consumer,
            "t": [r.topic for r in records],
            "p": [r.partition for r in records],
            "o": [r.offset for r in records],
        },
    )
