"""A batch of raw records taken apart: what to handle, what to park, which partition to hold.

Nothing here touches Kafka or the database, and nothing raises: whatever a record's bytes do to the
reader is that record's fault alone (DECISIONS 5, 10, 12).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from aiokafka import TopicPartition

from shared import telemetry
from shared.errors import RecordInvalid
from shared.events import Event, NewerVersion, decode
from shared.inbox import Parking
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiokafka import ConsumerRecord
    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.outbox import Stamp

    Record: TypeAlias = ConsumerRecord[Any, Any]

S = TypeVar("S")

Hint: TypeAlias = tuple[str, frozenset[str]]
"""What the headers of a record tell: the event's type and the needs it names."""

_log = Log("consumer")


class Handler(Protocol[S]):
    """What a service does with events; one instance a consumer."""

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        """Say from the headers alone whether this consumer cares."""
        ...

    async def load(self, conn: AsyncConnection, events: Sequence[Event]) -> S:
        """Lock and read what the decisions need, in the lock order of DECISIONS 14."""
        ...

    def decide(self, state: S, event: Event, stamp: Stamp) -> None:
        """Decide purely and keep the outcome in `state`; what it raises parks this event alone.

        Change `state` last: what it holds when this raises is stored all the same.
        """
        ...

    async def flush(self, conn: AsyncConnection, state: S) -> None:
        """Store what was decided, outbox included, in few statements."""
        ...


@dataclass(slots=True)
class Batch:
    """Events to handle, records to park, the offsets after it, and partitions to hold."""

    events: list[tuple[Record, Event]] = field(default_factory=list)
    parkings: list[Parking] = field(default_factory=list)
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    held: dict[TopicPartition, int] = field(default_factory=dict)
    skipped: int = 0

    @property
    def needs_database(self) -> bool:
        """Say whether anything of it is to be handled or parked."""
        return bool(self.events or self.parkings)

    @property
    def records(self) -> list[Record]:
        """Return every record that needs the database, by topic, partition and offset."""
        found = [record for record, _ in self.events] + [p.record for p in self.parkings]
        return sorted(found, key=place_of)

    def alone(self, record: Record) -> Batch:
        """Return a batch of this one record of the batch."""
        return Batch(
            events=[(r, e) for r, e in self.events if r is record],
            parkings=[p for p in self.parkings if p.record is record],
        )


def place_of(record: Record) -> tuple[str, int, int]:
    """Return topic, partition and offset of a record."""
    return record.topic, record.partition, record.offset


def hint_of(record: Record) -> Hint | None:
    """Read type and needs from a record's headers; None if they do not tell both."""
    event_type = needs = None
    for name, value in record.headers:
        if name == "type" and isinstance(value, bytes):
            event_type = value.decode("ascii", "replace")
        elif name == "needs" and isinstance(value, bytes):
            needs = value.decode("ascii", "replace")
    if event_type is None or needs is None:
        return None
    return event_type, frozenset(needs.split(",")) - {""}


def may_want(hint: Hint | None, handler: Handler[Any], *, guards: bool) -> bool:
    """Say whether a record must be read; not only if its headers say that nobody cares."""
    return guards or hint is None or handler.wants(*hint)


def take_apart(
    records: Iterable[Record], handler: Handler[Any], *, guards: bool, consumer: str
) -> Batch:
    """Take a batch apart; a partition is held from its first event of a newer version on."""
    batch = Batch()
    place = TopicPartition("", -1)
    for record in records:
        if record.partition != place.partition or record.topic != place.topic:
            place = TopicPartition(record.topic, record.partition)
        if batch.held and place in batch.held:
            continue
        try:
            event = _read(record, handler, guards=guards)
        except NewerVersion:
            batch.held[place] = record.offset
            _log.error("newer-version-held", consumer=consumer, topic=record.topic)
            continue
        except RecordInvalid as error:
            batch.parkings.append(Parking(record, error.reason, error.detail))
        except Exception as error:  # noqa: BLE001  (reading is pure: trying again changes nothing)
            _log.error("reading-failed", error, consumer=consumer)
            batch.parkings.append(Parking(record, "bug", telemetry.describe(error)))
        else:
            if event is None:
                batch.skipped += 1
            else:
                batch.events.append((record, event))
        batch.ends[place] = record.offset + 1
    return batch


def _read(record: Record, handler: Handler[Any], *, guards: bool) -> Event | None:
    """Decode a record that this consumer wants; None for one it does not."""
    hint = None if guards else hint_of(record)
    if not may_want(hint, handler, guards=guards):
        return None
    try:
        event = decode(record.value)
    except RecordInvalid:
        if guards or hint is not None:
            raise
        return None  # the guard of this service parks it
    wanted = handler.wants(event.type, frozenset(getattr(event.data, "needs", ())))
    return event if wanted else None
