"""What audit does: appends batches to the log, signs checkpoints, proves, and shows the history."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from services.audit import domain, merkle, nodes, store
from services.audit.checkpoint import Checkpoint, NoteInvalid
from services.audit.domain import SALT_BYTES, Entry
from services.audit.flags import ALARMS, Flag, names_of
from services.audit.merkle import Range
from shared import telemetry
from shared.clock import now
from shared.database import Blame, blame
from shared.errors import SettingsError
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.audit.domain import Arrival
    from services.audit.outside import OutsideCheckpoint
    from services.audit.settings import AuditSettings

SPLIT: Final = 128
"""From so many records on, signatures are checked in two threads."""

_log = Log("audit")


class Fenced(Exception):  # noqa: N818  (a state, not a fault)
    """Somebody else appended or took the turn: stop, and begin again from the database."""


class LogBehind(Exception):  # noqa: N818  (it says what is wrong with the log)
    """The database is behind the checkpoint kept outside of it, or contradicts it.

    Nothing is appended or signed until a person has opened a new origin or put the data back.
    """


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a batch: how many records were given, and the entries that are new."""

    given: int
    start: int
    entries: list[Entry] = field(default_factory=list)


async def judge(signers: domain.Signers, entries: Sequence[Entry]) -> None:
    """Check the signatures off the event loop; libsodium lets two threads work at once."""

    def some(part: Sequence[Entry]) -> None:
        for entry in part:
            if not entry.flags & Flag.UNREADABLE:
                entry.flags |= signers.judge(entry)

    middle = len(entries) // 2 if len(entries) >= SPLIT else len(entries)
    parts = [part for part in (entries[:middle], entries[middle:]) if part]
    await asyncio.gather(*(asyncio.to_thread(some, part) for part in parts))


async def check_outside(
    conn: AsyncConnection, outside: OutsideCheckpoint, head: store.Head
) -> None:
    """Compare the database with the checkpoint that is kept outside of it.

    Raises:
        LogBehind: the database is older, contradicts it, or the file cannot be believed.
        OSError: the file cannot be read.

    """
    try:
        kept = outside.find_checkpoint()
    except NoteInvalid:
        raise LogBehind("the checkpoint outside of the database cannot be believed") from None
    if kept is None:
        return
    if kept.size > head.size:
        raise LogBehind("the database is behind the checkpoint kept outside of it")
    if (await nodes.load_tree(conn, kept.size)).root != kept.root:
        raise LogBehind("the database contradicts the checkpoint kept outside of it")


class Ledger:
    """The one writer of the log. Append and sign only between `take_over` and the first error."""

    def __init__(
        self, engine: AsyncEngine, settings: AuditSettings, outside: OutsideCheckpoint
    ) -> None:
        """Take the engine of the flow role, keys and names, and the checkpoint kept outside."""
        self._engine = engine
        self._signers = settings.signers
        self._signer = settings.signer
        self._outside = outside
        self._epoch = -1
        self._tree = Range()
        self._signed = -1

    async def check_key(self) -> None:
        """Refuse to start with another name or key than the log was begun with.

        Raises:
            SettingsError: name or key has changed.

        """
        async with self._engine.begin() as conn:
            known = await store.keep_key(conn, str(self._signer.vkey))
        if known != str(self._signer.vkey):
            message = "the log was begun under another AUDIT_ORIGIN or log.key: put them back"
            raise SettingsError(message)

    async def take_over(self) -> int:
        """Begin a new epoch from what the database holds; return the size of the log.

        Raises:
            LogBehind: see `check_outside`.

        """
        async with self._engine.begin() as conn:
            head = await store.load_head(conn, lock=True)
            await check_outside(conn, self._outside, head)
            tree = await nodes.load_tree(conn, head.size)
            if tree.root != head.root:
                raise LogBehind("the nodes of the tree do not lead to its root")
            self._epoch = await store.take_turn(conn)
        self._tree, self._signed = tree, head.checkpoint_size
        telemetry.AUDIT_SIZE.set(tree.size)
        telemetry.AUDIT_SIGNED.set(head.checkpoint_size)
        telemetry.SIGNING.done()
        return tree.size

    async def append(self, cluster: str, arrivals: Sequence[Arrival]) -> Appended:
        """Append what is new of these records of a Kafka cluster, in their order.

        What is refused as a batch is appended one by one, and what is refused alone becomes an
        entry of bytes only, flagged: no record can stop the log.

        Raises:
            Fenced: this process may not append any more.
            Exception: the world is down; nothing, or everything, is stored. Take over again.

        """
        entries = [domain.read_entry(arrival) for arrival in arrivals]
        await judge(self._signers, entries)
        try:
            return await self._append(cluster, entries)
        except Exception as error:
            if isinstance(error, Fenced) or blame(error) in (Blame.WORLD, Blame.RETRY):
                raise
            _log.error("batch-refused", error, entries=len(entries))
        start, found = self._tree.size, []
        for arrival in arrivals:
            found += (await self._append_one(cluster, arrival)).entries
        return Appended(len(arrivals), start, found)

    async def _append_one(self, cluster: str, arrival: Arrival) -> Appended:
        entry = domain.read_entry(arrival)
        await judge(self._signers, [entry])
        try:
            return await self._append(cluster, [entry])
        except Exception as error:
            if isinstance(error, Fenced) or blame(error) in (Blame.WORLD, Blame.RETRY):
                raise
            _log.error("record-refused", error, stream=arrival.stream)
        return await self._append(cluster, [Entry(arrival, flags=int(Flag.REFUSED))])

    async def _append(self, cluster: str, entries: list[Entry]) -> Appended:
        """Append what is new of these entries, all of it or nothing."""
        with telemetry.batch_span(
            "audit batch",
            telemetry.SpanKind.CONSUMER,
            (entry.traceparent for entry in entries),
            len(entries),
        ):
            return await self._store(cluster, entries)

    async def _store(self, cluster: str, entries: list[Entry]) -> Appended:
        start = self._tree.size
        fresh, found = await self._look(cluster, entries)
        if not fresh:
            return Appended(len(entries), start)
        salts = os.urandom(SALT_BYTES * len(fresh))
        commitments = [
            domain.commitment_of(salts[at : at + SALT_BYTES], entry.arrival.value)
            for at, entry in zip(range(0, len(salts), SALT_BYTES), fresh, strict=True)
        ]
        tree, rows = merkle.extend(self._tree, [merkle.leaf_hash(c) for c in commitments])
        joined = b"".join(commitments)
        new = store.Appending(start, fresh, salts, joined, rows, tree.root)
        if not await self._write(cluster, new, found):
            raise Fenced
        self._tree = tree
        _tell(fresh, start)
        return Appended(len(entries), start, fresh)

    async def _look(
        self, cluster: str, entries: list[Entry]
    ) -> tuple[list[Entry], domain.Following]:
        """Choose what is new, and follow its sequences.

        Nothing is locked: whatever another writer appends meanwhile, it has moved the head, so that
        nothing of this batch is written.
        """
        ids = {e.event_id for e in entries if e.event_id is not None}
        courses = sorted({domain.course_of(e) for e in entries if e.followed is not None})
        async with self._engine.connect() as conn:
            known, heads = await store.look(conn, ids, courses)
            fresh = await self._fresh(conn, cluster, entries, ids, known)
            found = domain.follow(heads, fresh)
            domain.repeat(found, await store.known_sequences(conn, found.late))
        return fresh, found

    async def _write(self, cluster: str, new: store.Appending, found: domain.Following) -> bool:
        """Append; False if it is not our turn. Gaps that open or close do so with the entries."""
        if not (found.gaps or found.late):
            async with self._engine.connect() as conn:
                return await store.append(conn, cluster, new, self._epoch)
        async with self._engine.begin() as conn:
            await store.load_head(conn, lock=True)  # it begins the transaction; `append` does not
            if not await store.append(conn, cluster, new, self._epoch):
                return False
            await store.keep_gaps(conn, found)
        return True

    @staticmethod
    async def _fresh(
        conn: AsyncConnection,
        cluster: str,
        entries: list[Entry],
        ids: set[UUID],
        stored: set[UUID],
    ) -> list[Entry]:
        known = await store.known_events(conn, stored) if stored else {}
        doubled = len(ids) < sum(e.event_id is not None for e in entries)
        places = [
            e.arrival.place
            for e in entries
            if doubled
            or e.event_id is None
            or known.get(e.event_id, e.arrival.value) != e.arrival.value
        ]
        return domain.choose(entries, known, await store.known_places(conn, cluster, places))

    async def erase(self) -> int:
        """Erase the bytes of the events of erased cases (DECISIONS 23); return how many.

        Any replica may: nothing of the log or its tree changes.
        """
        async with self._engine.begin() as conn:
            return await store.erase_events(conn)

    async def sign(self) -> Checkpoint | None:
        """Sign the present size and root if the size has moved; None if it has not.

        The file outside is written first: what is published is never ahead of it.

        Raises:
            Fenced: this process may not sign any more.
            LogBehind: see `check_outside`.
            OSError: the file outside cannot be written; appending may go on.

        """
        size = self._tree.size
        async with self._engine.begin() as conn:
            if (await store.load_head(conn)).size < size:
                raise LogBehind("the database has lost entries under its writer")
            if size == self._signed:
                return None
            head = await store.load_head(conn, lock=True)
            if head.epoch != self._epoch:
                raise Fenced
            await check_outside(conn, self._outside, head)
            told = Checkpoint(self._signer.vkey.name, head.size, head.root)
            note = self._signer.sign(told.text)
            await asyncio.to_thread(self._outside.keep, note)
            await store.keep_checkpoint(conn, note, head.size)
        self._signed = told.size
        return told


def _tell(entries: Sequence[Entry], start: int) -> None:
    """Count, alarm, and end each event's trace with its place in the log."""
    telemetry.AUDIT_SIZE.set(start + len(entries))
    if times := [entry.time for entry in entries if entry.time is not None]:
        telemetry.AUDIT_DELAY.observe(max(0.0, (now() - min(times)).total_seconds()))
    counts = Counter(name for entry in entries if entry.flags for name in names_of(entry.flags))
    for name, count in counts.items():
        telemetry.AUDIT_FLAGS.labels(name).inc(count)
    alarms = [start + n for n, entry in enumerate(entries) if entry.flags & ALARMS]
    if alarms:
        _log.error("entries-flagged", first=alarms[0], entries=len(alarms), flags=dict(counts))
    for index, entry in enumerate(entries, start):
        trace = entry.traceparent
        if trace is not None and trace.endswith("-01"):
            with telemetry.span(f"audit {entry.type}", trace, index=index):
                pass
