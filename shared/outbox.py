"""The outbox: events are stored in the transaction that made them true (DECISIONS 7–9).

`append` gives each event its sequence (per stream and subject, from 1, no gaps), its exact bytes
and its signature. The row of `outbox_heads` is locked until the commit, so that the ids of one
subject's rows are in commit order, whatever the caller locked before. Only the relay talks to
Kafka.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared import events
from shared.kafka import label_of, place_of
from shared.lean import later, text
from shared.telemetry import EVENTS_DECIDED, current_traceparent, sampled
from shared.vocabulary import Urgency

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from shared.events import Draft
    from shared.signing import Signer

_HEADS = text("""
INSERT INTO outbox_heads AS h (stream, subject, sequence)
SELECT * FROM unnest(CAST(:streams AS text[]), CAST(:subjects AS text[]), CAST(:counts AS bigint[]))
  AS t (stream, subject, count) ORDER BY stream, subject
ON CONFLICT (stream, subject) DO UPDATE SET sequence = h.sequence + excluded.sequence
RETURNING stream, subject, sequence
""")

_INSERT = text("""
INSERT INTO outbox (topic, partition, key, event_id, type, sequence, needs, traceparent, value,
  signature)
SELECT topic, partition, key, event_id, type, sequence, needs, traceparent, value, signature
FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS smallint[]), CAST(:keys AS bytea[]),
  CAST(:ids AS uuid[]), CAST(:types AS text[]), CAST(:sequences AS bigint[]),
  CAST(:needs AS text[]), CAST(:traces AS text[]), CAST(:values AS bytea[]),
  CAST(:signatures AS bytea[]))
  WITH ORDINALITY AS t (topic, partition, key, event_id, type, sequence, needs, traceparent, value,
  signature, n)
ORDER BY n
""")

_NOTIFY = text("SELECT pg_notify(:channel, :here)")

_COLUMNS: Final = (
    "topics",
    "partitions",
    "keys",
    "ids",
    "types",
    "sequences",
    "needs",
    "traces",
    "values",
    "signatures",
)

APPENDED: Final = "outbox-appended"
"""In a connection's `info`: its transaction has appended something, so that the relay is woken."""

NOTIFY_EVERY: Final = 0.003
"""Seconds over which wake-ups are joined into one."""

FAR_EVERY: Final = 0.05
"""The same for a NOTIFY that no relay needs."""

_HERE: Final = secrets.token_hex(8)
"""Names this process in its notifications."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who acted, when, and in which trace; the same for all events of one use case."""

    at: datetime
    actor: str
    traceparent: str | None = None


class Outbox:
    """Appends events of one service; one instance a process."""

    def __init__(self, service: str, signer: Signer) -> None:
        """Take the service's name (its schema and the events' source) and its event signer."""
        self._source = f"/{service}"
        self._signer = signer

    async def append(
        self,
        conn: AsyncConnection,
        drafts: Sequence[tuple[Draft, Stamp]],
        *,
        fresh: bool = False,
    ) -> list[tuple[UUID, int]]:
        """Append events in order inside the caller's transaction; return ids and sequences.

        Lock the rows of the cases first, in the order of DECISIONS 14. `fresh` promises that each
        event is the first and last of its subject in its stream: its sequence is 1 and no head is
        kept. Call `Waker.wake` after the commit.

        Raises:
            ValueError: an event is larger than `events.MAX_VALUE_BYTES`, or a part of it that
                becomes a header is not ASCII: the relay could never send it.

        """
        if not drafts:
            return []
        tails = {} if fresh else await self._heads(conn, [draft for draft, _ in drafts])
        columns = self.encode(drafts, tails)
        later(conn, _INSERT, columns)
        conn.info[APPENDED] = True
        self.count(draft for draft, _ in drafts)
        return list(zip(columns["ids"], columns["sequences"], strict=True))  # type: ignore[arg-type]

    def encode(
        self, drafts: Sequence[tuple[Draft, Stamp]], tails: dict[tuple[str, str], int]
    ) -> dict[str, list[object]]:
        """Return the columns of the outbox for events, each encoded and signed, in their order.

        `tails` has the last sequence of each stream and subject, 0 where it lacks one, and is
        moved on. For `append`, and for a statement that stores the events with what made them.

        Raises:
            ValueError: see `append`.

        """
        columns: dict[str, list[object]] = {name: [] for name in _COLUMNS}
        for draft, stamp in drafts:
            place = (draft.stream, draft.subject)
            tails[place] = sequence = tails.get(place, 0) + 1
            trace = stamp.traceparent or current_traceparent()
            if getattr(draft.data, "urgency", None) == Urgency.T0:
                trace = sampled(trace)  # danger now: its trace is kept from here on
            event_id, value = events.encode(
                draft,
                source=self._source,
                sequence=sequence,
                at=stamp.at,
                actor=stamp.actor,
                traceparent=trace,
            )
            key = draft.subject.encode("ascii")
            signature = self._signer.header(value)
            events.headers_of(draft.type, sequence, draft.needs, trace, signature)  # or raises here
            row = (
                draft.stream,
                place_of(draft.stream, key),
                key,
                event_id,
                draft.type,
                sequence,
                ",".join(draft.needs),
                trace,
                value,
                signature,
            )
            for column, item in zip(columns.values(), row, strict=True):
                column.append(item)
        return columns

    @staticmethod
    def count(drafts: Iterable[Draft]) -> None:
        """Count events that were appended, for the metrics."""
        for (stream, kind), count in Counter((label_of(d.stream), d.type) for d in drafts).items():
            EVENTS_DECIDED.labels(stream, kind).inc(count)

    @staticmethod
    async def _heads(conn: AsyncConnection, drafts: Sequence[Draft]) -> dict[tuple[str, str], int]:
        counts = Counter((draft.stream, draft.subject) for draft in drafts)
        rows = await conn.execute(
            _HEADS,
            {
                "streams": [stream for stream, _ in counts],
                "subjects": [subject for _, subject in counts],
                "counts": list(counts.values()),
            },
        )
        return {(r.stream, r.subject): r.sequence - counts[r.stream, r.subject] for r in rows}


class Waker:
    """Tells whoever waits for rows, wherever it runs, that some were committed.

    `near` wakes a relay of this process and says whether no other has to be; `hear` wakes whoever
    else waits in this process. All others are told by a NOTIFY, once for many commits, and if it is
    not for a relay in less of a hurry. It is a hint: all of them look by themselves as well
    (KAFKA-FACTS 16).
    """

    def __init__(self, engine: AsyncEngine, service: str) -> None:
        """Take the engine to notify through and the service whose relay listens."""
        self.near: Callable[[], bool] = lambda: False
        self.hear: Callable[[], None] | None = None
        self._engine = engine
        self._channel = f"outbox_{service}"
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """Tell them soon; never blocks, never fails."""
        self._wanted.set()

    async def run(self) -> None:
        """Tell until cancelled; while the database is down the looks of the others serve."""
        loop = asyncio.get_running_loop()
        due: float | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wanted.wait()
            if self._wanted.is_set():
                self._wanted.clear()
                alone = self.near()
                if self.hear is not None:
                    self.hear()
                if due is None and (self.hear is not None or not alone):
                    due = loop.time() + (FAR_EVERY if alone else 0.0)
            if due is not None and loop.time() >= due:
                due = None
                await self._notify()
            await asyncio.sleep(NOTIFY_EVERY)

    async def _notify(self) -> None:
        with contextlib.suppress(Exception):  # the others find the rows anyway
            async with self._engine.connect() as conn:
                await conn.execute(_NOTIFY, {"channel": self._channel, "here": _HERE})


def is_from_here(payload: str) -> bool:
    """Say whether a notification came from this process, which was told before."""
    return payload == _HERE
