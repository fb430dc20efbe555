"""What audit sees in a record, purely: which event it is, whether it is proven, what is missing.

Nothing here refuses a record. What cannot be read is an entry too, flagged, with its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NewType

import msgspec

from services.audit.flags import NOT_FOLLOWED, Flag
from shared import signing
from shared.events import (
    ACCESSES,
    CASES,
    DIRECTORY,
    NOTICES,
    REFERRALS,
    SUBMISSIONS,
    Envelope,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

Index = NewType("Index", int)
"""Place of an entry in the log, from 0."""

SALT_BYTES: Final = 32
"""Bytes of the random salt of each commitment."""

OWNERS: Final[Mapping[str, str]] = {
    SUBMISSIONS: "intake",
    CASES: "intake",
    REFERRALS: "referral",
    DIRECTORY: "referral",
    NOTICES: "notification",
    ACCESSES: "audit",
}
"""The one source whose events may stand in a stream."""

MAX_TEXT: Final = 200
"""Characters of a name in an envelope; a longer one makes the record unreadable."""

MAX_SEQUENCE: Final = 2**62


@dataclass(frozen=True, slots=True)
class Arrival:
    """A record as it came: where it stood, its exact bytes, its headers."""

    stream: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def place(self) -> tuple[str, int, int]:
        """Where it stands in Kafka."""
        return (self.stream, self.partition, self.offset)


@dataclass(slots=True)
class Entry:
    """An arrival as it will stand in the log; `flags` grow while it is checked.

    They are a plain number (`Flag`): the enumeration's arithmetic would cost more than the tree.
    """

    arrival: Arrival
    event_id: UUID | None = None
    type: str | None = None
    source: str | None = None
    subject: str | None = None
    sequence: int | None = None
    time: datetime | None = None
    actor: str | None = None
    traceparent: str | None = None
    flags: int = 0

    @property
    def followed(self) -> int | None:
        """The sequence, if the entry is proven: only then it counts."""
        return None if self.flags & NOT_FOLLOWED else self.sequence


_envelopes = msgspec.json.Decoder(Envelope)


def commitment_of(salt: bytes, value: bytes | None) -> bytes:
    """Return SHA-256(salt ‖ exact bytes), the data of an entry; no value counts as no bytes."""
    return sha256(salt + (value or b"")).digest()


def read_entry(arrival: Arrival) -> Entry:
    """Read the envelope of an arrival. Never raises: what is no event is flagged as unreadable.

    Names that no database column or index could hold (NUL, too long, no whole number) are no
    event either.
    """
    try:
        envelope = _envelopes.decode(arrival.value or b"")
        names = (envelope.source, envelope.type, envelope.subject, envelope.actor)
        if not all(map(_is_name, names)) or not _is_name(envelope.traceparent or ""):
            return Entry(arrival, flags=int(Flag.UNREADABLE))
        return Entry(
            arrival,
            event_id=envelope.id,
            type=envelope.type,
            source=envelope.source,
            subject=envelope.subject,
            sequence=_sequence(envelope.sequence),
            time=_aware(envelope.time),
            actor=envelope.actor,
            traceparent=envelope.traceparent,
        )
    except (msgspec.MsgspecError, UnicodeError, ValueError, OverflowError, RecursionError):
        return Entry(arrival, flags=int(Flag.UNREADABLE))


def _is_name(text: str) -> bool:
    return len(text) <= MAX_TEXT and text.isprintable()


def _sequence(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:25]) <= MAX_SEQUENCE:
        raise ValueError("not a sequence")
    return int(text[:25])


def _aware(time: datetime) -> datetime:
    if time.tzinfo is None or not 1970 <= time.year <= 9000:  # noqa: PLR2004  (a date PostgreSQL takes)
        raise ValueError("not a time")
    return time


class Signers:
    """The public keys of the services, by source."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Take raw 32-byte Ed25519 public keys by the name of the service.

        Raises:
            ValueError: one is not a key.

        """
        if any(len(raw) != signing.PUBLIC for raw in keys.values()):
            raise ValueError("not a key")
        self.keys = dict(keys)

    def judge(self, entry: Entry) -> int:
        """Say what is wrong with the proof of origin of a readable entry; about 60 µs."""
        arrival = entry.arrival
        source = (entry.source or "").removeprefix("/")
        found = 0 if OWNERS.get(arrival.stream) == source else int(Flag.WRONG_OWNER)
        told = next((value for name, value in arrival.headers if name == "signature"), None)
        if told is None:
            return found | Flag.UNSIGNED
        if not signing.verify_header(self.keys.get(source, b""), arrival.value or b"", told):
            return found | Flag.BAD_SIGNATURE
        return found


Course = tuple[str, str]
"""A stream and a subject: what a sequence counts."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequences `first` to `last` of a course that have not been seen."""

    course: Course
    first: int
    last: int


@dataclass(slots=True)
class Following:
    """What following the sequences of a batch found; `late` are those below the head."""

    heads: dict[Course, int]
    gaps: list[Gap] = field(default_factory=list)
    late: list[Entry] = field(default_factory=list)


def course_of(entry: Entry) -> Course:
    """Return what the sequence of an entry counts."""
    return (entry.arrival.stream, entry.subject or "")


def follow(heads: Mapping[Course, int], entries: Iterable[Entry]) -> Following:
    """Flag gaps and inversions of the proven entries, in their order, from the heads before them.

    What is late may be a repetition of a stored one: the caller looks, and says `repeat`.
    """
    found = Following(dict(heads))
    seen: set[tuple[Course, int]] = set()
    for entry in entries:
        sequence = entry.followed
        if sequence is None:
            continue
        course = course_of(entry)
        head = found.heads.get(course, 0)
        if (course, sequence) in seen:
            entry.flags |= Flag.REPEATED_SEQUENCE
        elif sequence > head:
            found.heads[course] = sequence
            if sequence > head + 1:
                entry.flags |= Flag.GAP
                found.gaps.append(Gap(course, head + 1, sequence - 1))
        else:
            entry.flags |= Flag.INVERSION
            found.late.append(entry)
        seen.add((course, sequence))
    return found


def repeat(found: Following, stored: Container[tuple[str, str, int]]) -> None:
    """Flag the late entries whose (stream, subject, sequence) is stored, and no longer as late."""
    for entry in list(found.late):
        if (*course_of(entry), entry.sequence) in stored:
            entry.flags = entry.flags & ~Flag.INVERSION | Flag.REPEATED_SEQUENCE
            found.late.remove(entry)


def choose(
    entries: Iterable[Entry],
    known: Mapping[UUID, bytes | None],
    places: Container[tuple[str, int, int]],
) -> list[Entry]:
    """Return the entries that are new, in order, each once.

    `known` are stored events with their bytes (None once erased), `places` the Kafka places of
    stored entries without an event id. An event that is stored with other bytes becomes an entry
    of its own, without id and flagged: what was recorded first stays, and the other is evidence.
    """
    fresh: list[Entry] = []
    bytes_of = dict(known)
    taken: set[tuple[str, int, int]] = set()
    for entry in entries:
        value, event_id = entry.arrival.value, entry.event_id
        if event_id is not None:
            if event_id not in bytes_of:
                bytes_of[event_id] = value
                fresh.append(entry)
                continue
            if bytes_of[event_id] in (None, value):
                continue
            entry.event_id = None
            entry.flags |= Flag.OTHER_BYTES
        place = entry.arrival.place
        if place not in places and place not in taken:
            taken.add(place)
            fresh.append(entry)
    return fresh
