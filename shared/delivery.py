"""Delivery of a batch into the database: once, in order, one transaction, one bad record alone.

The rules are DECISIONS 11–14 and 28. Kafka does not appear here: `shared.consumer` is its edge, and
`shared.parked` delivers again what was parked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from uuid import UUID

from shared import inbox, telemetry
from shared.batch import Batch, Handler, place_of, take_apart
from shared.clock import now
from shared.course import Course, in_order
from shared.database import Blame, blame, sqlstate_of
from shared.errors import RecordInvalid
from shared.inbox import Parking
from shared.lean import text
from shared.outbox import APPENDED, Stamp
from shared.telemetry import Log
from shared.vocabulary import Urgency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from shared.batch import Record
    from shared.events import Event
    from shared.parked import OnParked

DEATHS: Final = 3
"""Process deaths at one offset after which its record is parked."""

WORLD_TRIES: Final = 5
"""World errors of one record, with the database answering, after which it is parked."""

UNKNOWN_PAUSES: Final = (0.05, 0.15, 0.3)
"""Pauses in seconds between the tries of a record that raised an unknown exception."""

RETRIES: Final = 3
"""Tries at once after a deadlock or a failed serialization."""

_NEVER_ONE_RECORD: Final = ("08", "25", "28", "3D", "42", "53")
"""SQLSTATE classes that say nothing about a record: schema, rights, a full disk, connections."""

S = TypeVar("S")
Place = tuple[str, int, int]
TakeApart = Callable[["Sequence[Record]"], Batch]
"""Takes raw records apart and never raises: what cannot be read is to be parked."""


class Delivery(Generic[S]):
    """Delivers batches to one handler; used by one task at a time."""

    def __init__(
        self,
        name: str,
        handler: Handler[S],
        engine: AsyncEngine,
        *,
        guards: bool = False,
        on_parked: OnParked | None = None,
        clock: Callable[[], Any] = now,
    ) -> None:
        """Take the consumer's name, what to do, where to store; `guards`: park the unreadable.

        `on_parked` is told, in the same transaction, of each case that an event was parked of.
        """
        self.take_apart: TakeApart | None = None
        self.name = name
        self._handler = handler
        self._engine = engine
        self._guards = guards
        self._on_parked = on_parked
        self._clock = clock
        self._log = Log("consumer")
        self._known: set[tuple[str, int]] = set()
        self._noted: dict[Place, int] = {}
        self._suspects: set[Place] = set()
        self._world: Counter[object] = Counter()
        self.appended = False

    def forget(self) -> None:
        """Partitions come and go: the next batch of each is looked at for process deaths again."""
        self._known.clear()

    def read(self, records: Sequence[Record]) -> Batch:
        """Take raw records apart; never raises."""
        if self.take_apart is not None:
            return self.take_apart(records)
        batch = take_apart(records, self._handler, guards=self._guards, consumer=self.name)
        if batch.skipped:
            telemetry.CONSUMED.labels(self.name, "skipped").inc(batch.skipped)
        return batch

    async def take(self, batch: Batch) -> None:
        """Handle a batch; a world error leaves it to the caller, everything else ends here."""
        if not batch.needs_database:
            return
        records = batch.records
        await self._look_for_deaths(records)
        if not self._has_suspect(records):
            for _ in range(RETRIES):
                try:
                    await self._transact(batch)
                except Exception as error:
                    fault = blame(error)
                    if fault is Blame.RETRY:
                        continue
                    first = ("batch", place_of(records[0]))
                    if fault is Blame.WORLD and not await self._only_this(first, error):
                        raise
                    why = telemetry.describe(error)
                    self._log.warning("batch-refused", consumer=self.name, error=why)
                    break
                self._world.clear()
                return
        await self._one_by_one(batch)
        self._world.clear()

    async def replay(self, conn: AsyncConnection, record: Record) -> None:
        """Handle one parked record inside the caller's transaction, through the inbox.

        Raises:
            RecordInvalid: it still cannot be handled.

        """
        batch = self.read([record])
        if batch.held:
            raise RecordInvalid("newer-version")
        await self._handle(conn, batch, replay=True)

    # --- Whose fault ---------------------------------------------------------------------------

    async def _look_for_deaths(self, records: Sequence[Record]) -> None:
        """Note the first batch of each partition, and find what earlier processes died at."""
        new = [r for r in records if (r.topic, r.partition) not in self._known]
        if not new:
            return
        async with self._engine.begin() as conn:
            before = await inbox.begin_attempts(conn, self.name, new, again=False)
        for place, deaths in before.items():
            if not deaths:
                self._noted[place] = 0
            elif place not in self._noted:
                self._suspects.add(place)
        self._known |= {(record.topic, record.partition) for record in new}

    def _has_suspect(self, records: Sequence[Record]) -> bool:
        suspects = self._suspects | {place for place, deaths in self._noted.items() if deaths}
        return bool(suspects) and not suspects.isdisjoint(map(place_of, records))

    async def _one_by_one(self, batch: Batch) -> None:
        """Handle record by record, so that one bad record never fails its neighbours."""
        for record in batch.records:
            place = place_of(record)
            if place not in self._noted:
                async with self._engine.begin() as conn:
                    before = await inbox.begin_attempts(conn, self.name, [record], again=True)
                self._noted[place] = before[place]
                self._suspects.discard(place)
            single = batch.alone(record)
            if self._noted[place] >= DEATHS:
                single = Batch(parkings=[Parking(record, "process-death")])
            await self._single(single, record)

    async def _single(self, single: Batch, record: Record) -> None:
        unknown = retried = 0
        while True:
            try:
                await self._transact(single)
            except Exception as error:
                fault = blame(error)
                if not single.events:  # not even parking it works: hold
                    raise
                if fault is Blame.RETRY and retried < RETRIES:
                    retried += 1
                    continue
                if fault is Blame.UNKNOWN and unknown < len(UNKNOWN_PAUSES):
                    await asyncio.sleep(UNKNOWN_PAUSES[unknown])
                    unknown += 1
                    continue
                if fault is Blame.RETRY or (
                    fault is Blame.WORLD and not await self._only_this(place_of(record), error)
                ):
                    raise
                self._log.error("record-refused", error, consumer=self.name)
                single = Batch(parkings=[_parking_of(record, error, fault)])
                continue
            return

    async def _only_this(self, what: object, error: Exception) -> bool:
        """Say whether the world has failed this alone so often that it is its own fault."""
        if (sqlstate_of(error) or "")[:2] in _NEVER_ONE_RECORD:
            return False
        try:
            async with self._engine.connect() as conn:
                await conn.execute(text("SELECT 1"))
        except Exception:  # noqa: BLE001  (that is the answer)
            self._world.clear()
            return False
        self._world[what] += 1
        return self._world[what] >= WORLD_TRIES

    # --- One transaction -----------------------------------------------------------------------

    async def _transact(self, batch: Batch) -> None:
        noted = [r for r in batch.records if place_of(r) in self._noted] if self._noted else []
        traces = (event.traceparent for _, event in batch.events)
        told = telemetry.batch_span(
            f"{self.name} batch", telemetry.SpanKind.CONSUMER, traces, len(batch.events)
        )
        with told:
            async with self._engine.begin() as conn:
                conn.info.pop(APPENDED, None)
                outcome = await self._handle(conn, batch)
                if noted:
                    await inbox.end_attempts(conn, self.name, noted)
                appended = conn.info.pop(APPENDED, False)
        self.appended = self.appended or appended
        for record in noted:
            self._noted.pop(place_of(record), None)
        for name, count in outcome.items():
            if count:
                telemetry.CONSUMED.labels(self.name, name).inc(count)

    async def _handle(
        self, conn: AsyncConnection, batch: Batch, *, replay: bool = False
    ) -> dict[str, int]:
        """Inbox, order, blocks, load, decide, flush, park: all inside the caller's transaction."""
        begun = await inbox.begin(conn, self.name, batch.events)
        fresh = begun.fresh
        todo = [(r, e) for r, e in batch.events if e.id in fresh and not fresh.discard(e.id)]  # type: ignore[func-returns-value]
        blocked = set() if replay else begun.blocked
        state = await self._handler.load(conn, [e for _, e in todo]) if todo else None
        course = Course(begun.heads, blocked, judge=not replay)
        for record, event, parking in in_order(todo, batch.parkings):
            found = parking
            if event is not None:
                found = course.judge(record, event) or self._decide(state, record, event)  # type: ignore[arg-type]
            course.note(record, event, found)
        if state is not None:
            await self._handler.flush(conn, state)
        course.absorb(await inbox.void(conn, self.name, course.overtaken))
        await inbox.give_back(conn, self.name, course.returned)
        inbox.move_heads(conn, self.name, course.moved)
        if replay:
            for parking in course.parkings:
                raise RecordInvalid(parking.reason, parking.detail)
        new = await inbox.park(conn, self.name, course.parkings)
        await self._tell(conn, new)
        for parking in course.parkings:
            self._log.error("parked", consumer=self.name, reason=parking.reason)
        return {
            "handled": len(todo) - sum(p.event_id is not None for p in course.parkings),
            "duplicate": len(batch.events) - len(todo),
            "parked": len(new),
        }

    async def _tell(self, conn: AsyncConnection, parked: Sequence[Parking]) -> None:
        """Tell of each case that an event of it waits for a person; of what is behind, nothing."""
        told = {
            case_id: parking.reason
            for parking in parked
            if parking.state == "waiting" and parking.reason != "behind"
            if (case_id := _case_of(parking.record)) is not None
        }
        if told and self._on_parked is not None:
            await self._on_parked(conn, self.name, list(told.items()), self._clock())

    def _decide(self, state: S, record: Record, event: Event) -> Parking | None:
        try:
            with telemetry.span(f"{self.name} {event.type}", event.traceparent):
                if getattr(event.data, "urgency", None) == Urgency.T0:
                    telemetry.keep_trace()
                stamp = Stamp(
                    self._clock(), f"service:{self.name}", telemetry.current_traceparent()
                )
                self._handler.decide(state, event, stamp)
        except RecordInvalid as error:
            return Parking(record, error.reason, error.detail)
        except Exception as error:  # noqa: BLE001  (a decision is pure: trying again changes nothing)
            self._log.error("decision-failed", error, consumer=self.name)
            return Parking(record, "bug", f"{telemetry.describe(error)} {telemetry.where(error)}")
        return None


def _case_of(record: Record) -> UUID | None:
    """Return the case id that is the record's key, or None if the key is none."""
    try:
        return UUID(record.key.decode("ascii")) if record.key is not None else None
    except ValueError:
        return None


def _parking_of(record: Record, error: Exception, fault: Blame) -> Parking:
    if isinstance(error, RecordInvalid):
        return Parking(record, error.reason, error.detail)
    reason = {Blame.RECORD: "refused-by-database", Blame.WORLD: "only-this-record"}
    return Parking(record, reason.get(fault, "bug"), telemetry.describe(error))
