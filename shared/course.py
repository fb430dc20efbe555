"""What becomes of a batch, record by record, purely: who is too late, behind, parked, overtaken.

The rules are DECISIONS 11 and 13: only the inbox drops; later events of a key wait behind a parked
one; safety events overtake what waits and void it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.batch import place_of
from shared.events import ALONE_TYPES, SAFETY_TYPES, Event
from shared.inbox import Parking

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from shared.batch import Record


class Course:
    """What becomes of a batch as it goes record by record: heads, blocks, what is parked."""

    def __init__(
        self, heads: dict[tuple[str, str], int], blocked: set[bytes], *, judge: bool
    ) -> None:
        self._heads = heads
        self._blocked = blocked
        self._judges = judge
        self.moved: dict[tuple[str, str], int] = {}
        self.parkings: list[Parking] = []
        self.overtaken: list[bytes] = []

    @property
    def returned(self) -> list[UUID]:
        """Return the events that wait for their replay, which must find them unseen.

        One that was voided stays seen: another copy of it in the log changes nothing.
        """
        waiting = [p for p in self.parkings if p.state == "waiting"]
        return [p.event_id for p in waiting if p.event_id is not None]

    def judge(self, record: Record, event: Event) -> Parking | None:
        """Park what comes too late or behind; let a safety event overtake and void what waits."""
        if not self._judges:
            return None
        safety = event.type in SAFETY_TYPES
        if record.key in self._blocked and not safety and event.type not in ALONE_TYPES:
            return Parking(record, "behind", "an earlier record of this key waits")
        if event.sequence < self._heads.get((record.topic, event.subject), 0):
            return Parking(record, "inversion", "an event with a higher sequence was handled")
        if safety and record.key in self._blocked:
            self._blocked.discard(record.key)
            self.overtaken.append(record.key)
            self.parkings = [
                replace(p, state="void") if p.record.key == record.key else p for p in self.parkings
            ]
        return None

    def absorb(self, voided: Collection[UUID]) -> None:
        """Leave out copies of what was waiting and is void now: they are no news."""
        self.parkings = [p for p in self.parkings if p.event_id not in voided]

    def note(self, record: Record, event: Event | None, parking: Parking | None) -> None:
        """Keep what became of the record."""
        if parking is None and event is not None:
            place = (record.topic, event.subject)
            head = max(event.sequence, self._heads.get(place, 0))
            self._heads[place] = self.moved[place] = head
        elif parking is not None:
            event_id = event.id if event is not None else None
            self.parkings.append(replace(parking, event_id=event_id))
            if record.key is not None:
                self._blocked.add(record.key)


def in_order(
    events: Sequence[tuple[Record, Event]], parkings: Sequence[Parking]
) -> list[tuple[Record, Event | None, Parking | None]]:
    """Return what is to be decided and what is parked already, as it came."""
    steps: list[tuple[Record, Event | None, Parking | None]] = [(r, e, None) for r, e in events]
    steps += [(parking.record, None, parking) for parking in parkings]
    return sorted(steps, key=lambda step: place_of(step[0]))
