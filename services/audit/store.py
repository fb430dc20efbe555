"""The SQL that writes the log. Every function works in the caller's transaction, in batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from shared.lean import fetch, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.audit.domain import Course, Entry, Following
    from services.audit.merkle import Row

_READ_HEAD = text("SELECT * FROM log_head")
_LOCK_HEAD = text("SELECT * FROM log_head FOR UPDATE")
_APPEND: Final = """
WITH turn AS (
  UPDATE log_head SET size = $24, root = $25 WHERE epoch = $26 AND size = $1 RETURNING size
), entry AS (
  INSERT INTO entries (idx, commitment, event_id, cluster, stream, partition, "offset", subject,
    type, source, sequence, time, actor, traceparent, flags)
  SELECT $1::bigint + n - 1, substr($2::bytea, (n * 32 - 31)::integer, 32), event_id, $3::text,
    stream, partition, o, subject, type, source, sequence, time, actor, traceparent, flags
  FROM turn, unnest($4::uuid[], $5::text[], $6::smallint[], $7::bigint[], $8::text[], $9::text[],
    $10::text[], $11::bigint[], $12::timestamptz[], $13::text[], $14::text[], $15::integer[])
    WITH ORDINALITY AS t (event_id, stream, partition, o, subject, type, source, sequence, time,
    actor, traceparent, flags, n)
), held AS (
  INSERT INTO event_bytes (idx, salt, value, signature, key, headers)
  SELECT $1::bigint + n - 1, substr($16::bytea, (n * 32 - 31)::integer, 32), value, signature, key,
    headers
  FROM turn, unnest($17::bytea[], $18::bytea[], $19::bytea[], $20::bytea[])
    WITH ORDINALITY AS t (value, signature, key, headers, n)
), node AS (
  INSERT INTO nodes (level, idx, hash)
  SELECT level, first + n, substr(hashes, (n * 32 + 1)::integer, 32)
  FROM turn, unnest($21::smallint[], $22::bigint[], $23::bytea[]) AS r (level, first, hashes),
    generate_series(0, length(hashes) / 32 - 1) AS n
)
SELECT FROM turn
"""
"""All of a batch or, if it is no longer its writer's turn, nothing: one statement, one commit."""
_LOOK: Final = """
SELECT ARRAY(SELECT event_id FROM entries WHERE event_id = ANY($1::uuid[])) AS known, ARRAY(
  SELECT (SELECT e.sequence FROM entries e
    WHERE e.subject = c.subject AND e.stream = c.stream AND e.sequence IS NOT NULL
    ORDER BY e.sequence DESC LIMIT 1)
  FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS c (stream, subject, n) ORDER BY n
) AS heads
"""
_FILL = text("""
UPDATE gaps g SET filled = g.filled + d.n,
  closed_at = CASE WHEN g.filled + d.n > g.last - g.first THEN now() END
FROM (
  SELECT o.id, count(*) AS n
  FROM unnest(CAST(:streams AS text[]), CAST(:subjects AS text[]), CAST(:sequences AS bigint[]))
    AS l (stream, subject, sequence)
  JOIN gaps o ON o.subject = l.subject AND o.stream = l.stream AND o.closed_at IS NULL
    AND l.sequence BETWEEN o.first AND o.last
  GROUP BY o.id
) d WHERE g.id = d.id
""")


@dataclass(frozen=True, slots=True)
class Head:
    """The head of the log: size, root, whose turn it is, and the last signed checkpoint."""

    size: int
    root: bytes
    epoch: int
    vkey: str | None
    checkpoint: str | None
    checkpoint_size: int
    signed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Appending:
    """New entries from index `start` on, their salts and commitments (32 bytes each, joined).

    `root` is that of the tree with them, `nodes` are its new perfect subtrees.
    """

    start: int
    entries: Sequence[Entry]
    salts: bytes
    commitments: bytes
    nodes: Sequence[Row]
    root: bytes


async def load_head(conn: AsyncConnection, *, lock: bool = False) -> Head:
    """Read the head of the log; `lock` keeps every other append out until the commit."""
    row = (await conn.execute(_LOCK_HEAD if lock else _READ_HEAD)).one()
    return Head(
        row.size,
        row.root,
        row.epoch,
        row.vkey,
        row.checkpoint,
        -1 if row.checkpoint_size is None else row.checkpoint_size,
        row.signed_at,
    )


async def take_turn(conn: AsyncConnection) -> int:
    """Begin a new epoch, so that nobody of an older one appends any more; return it."""
    return int(await conn.scalar(text("UPDATE log_head SET epoch = epoch + 1 RETURNING epoch")))


async def keep_key(conn: AsyncConnection, vkey: str) -> str:
    """Remember the log's verifier key at the first start; return the one that is remembered."""
    found = await conn.scalar(
        text("UPDATE log_head SET vkey = coalesce(vkey, :v) RETURNING vkey"), {"v": vkey}
    )
    return str(found)


async def keep_checkpoint(conn: AsyncConnection, note: str, size: int) -> None:
    """Store the last signed checkpoint; the caller holds the lock of the head."""
    await conn.execute(
        text("UPDATE log_head SET checkpoint = :c, checkpoint_size = :s, signed_at = now()"),
        {"c": note, "s": size},
    )


async def known_events(conn: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, bytes | None]:
    """Return which of these events are stored, with their bytes (None once erased)."""
    rows = await conn.execute(
        text(
            "SELECT e.event_id, b.value FROM entries e LEFT JOIN event_bytes b ON b.idx = e.idx"
            " WHERE e.event_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(ids)},
    )
    return {row.event_id: row.value for row in rows}


async def known_places(
    conn: AsyncConnection, cluster: str, places: Sequence[tuple[str, int, int]]
) -> set[tuple[str, int, int]]:
    """Return which places in Kafka have an entry without an event id already."""
    if not places:
        return set()
    rows = await conn.execute(
        text(
            'SELECT e.stream, e.partition, e."offset" FROM entries e'
            " JOIN unnest(CAST(:s AS text[]), CAST(:p AS smallint[]), CAST(:o AS bigint[]))"
            ' AS t (s, p, o) ON e.stream = t.s AND e.partition = t.p AND e."offset" = t.o'
            " WHERE e.cluster = :c AND e.event_id IS NULL"
        ),
        {
            "c": cluster,
            "s": [stream for stream, _, _ in places],
            "p": [partition for _, partition, _ in places],
            "o": [offset for _, _, offset in places],
        },
    )
    return {(row.stream, row.partition, row.offset) for row in rows}


async def look(
    conn: AsyncConnection, ids: Iterable[UUID], courses: Sequence[Course]
) -> tuple[set[UUID], dict[Course, int]]:
    """Return which events are stored, and the highest proven sequence of each course with one."""
    streams, subjects = [stream for stream, _ in courses], [subject for _, subject in courses]
    (row,) = await fetch(conn, _LOOK, list(ids), streams, subjects)
    heads = zip(courses, row["heads"], strict=True)
    return set(row["known"]), {course: head for course, head in heads if head is not None}


async def known_sequences(
    conn: AsyncConnection, late: Sequence[Entry]
) -> set[tuple[str, str, int]]:
    """Return the (stream, subject, sequence) of these late entries that are stored already."""
    if not late:
        return set()
    rows = await conn.execute(
        text(
            "SELECT e.stream, e.subject, e.sequence FROM entries e"
            " JOIN unnest(CAST(:s AS text[]), CAST(:j AS text[]), CAST(:n AS bigint[]))"
            " AS t (s, j, n) ON e.stream = t.s AND e.subject = t.j AND e.sequence = t.n"
        ),
        _courses(late),
    )
    return {(row.stream, row.subject, row.sequence) for row in rows}


def _courses(entries: Sequence[Entry]) -> dict[str, list[object]]:
    return {
        "s": [e.arrival.stream for e in entries],
        "j": [e.subject for e in entries],
        "n": [e.sequence for e in entries],
    }


async def append(conn: AsyncConnection, cluster: str, new: Appending, epoch: int) -> bool:
    """Insert entries, their bytes and the new nodes of the tree, and move the head behind them.

    False, and nothing is stored, unless the head is where they begin and the epoch is this one.
    One statement: each more is a round trip for which everything that waits for the log waits.
    """
    entries = new.entries
    flagged = any(entry.flags for entry in entries)  # else the shorter arrays count as nulls
    done = await fetch(
        conn,
        _APPEND,
        new.start,
        new.commitments,
        cluster,
        [e.event_id for e in entries],
        [e.arrival.stream for e in entries],
        [e.arrival.partition for e in entries],
        [e.arrival.offset for e in entries],
        [e.subject for e in entries],
        [e.type for e in entries],
        [e.source for e in entries],
        [e.followed for e in entries],
        [e.time for e in entries],
        [e.actor for e in entries],
        [e.traceparent for e in entries],
        [int(e.flags) for e in entries],
        new.salts,
        [e.arrival.value for e in entries],
        [_signature(e) for e in entries],
        [e.arrival.key if e.flags else None for e in entries] if flagged else [],
        [_headers(e) if e.flags else None for e in entries] if flagged else [],
        [row.level for row in new.nodes],
        [row.first for row in new.nodes],
        [b"".join(row.hashes) for row in new.nodes],
        new.start + len(entries),
        new.root,
        epoch,
    )
    return bool(done)


def _signature(entry: Entry) -> bytes | None:
    return next((v for name, v in entry.arrival.headers if name == "signature"), None)


def _headers(entry: Entry) -> bytes:
    """Show headers as JSON; each byte of a value is one character, so that nothing is lost."""
    return msgspec.json.encode(
        [[n, None if v is None else v.decode("latin-1")] for n, v in entry.arrival.headers]
    )


async def erase_events(conn: AsyncConnection) -> int:
    """Delete bytes and salts of what is new about erased cases; return how many. Proofs stay."""
    return int(await conn.scalar(text("SELECT erase_events()")) or 0)


async def keep_gaps(conn: AsyncConnection, found: Following) -> None:
    """Store new gaps, and fill those whose events came late; a full one is closed."""
    if found.gaps:
        await conn.execute(
            text(
                "INSERT INTO gaps (stream, subject, first, last)"
                " SELECT * FROM unnest(CAST(:s AS text[]), CAST(:j AS text[]),"
                " CAST(:f AS bigint[]), CAST(:l AS bigint[]))"
            ),
            {
                "s": [gap.course[0] for gap in found.gaps],
                "j": [gap.course[1] for gap in found.gaps],
                "f": [gap.first for gap in found.gaps],
                "l": [gap.last for gap in found.gaps],
            },
        )
    if found.late:
        late = _courses(found.late)
        await conn.execute(
            _FILL, {"streams": late["s"], "subjects": late["j"], "sequences": late["n"]}
        )
