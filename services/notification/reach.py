"""What of a case says who may see its notices: its place, whom it excludes, whose it is.

Kept from the stream `cases` for row-level security alone (`shared/reach.sql`); nothing else of a
case stays here, and of an erased one nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from shared.clock import now
from shared.erasure import ERASED, schedule_blanking
from shared.errors import RecordInvalid
from shared.events import DATA_TYPES, CaseFacts
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.events import Event
    from shared.outbox import Stamp

KEPT: Final = ("upazila", "district", "excluded", "worker")
"""The facts that are kept."""

TYPES: Final = frozenset(name for name, kind in DATA_TYPES.items() if kind is CaseFacts)

_SAVE: Final = text(
    "INSERT INTO cases AS c (case_id, sequence, facts) SELECT id, seq, CAST(facts AS jsonb)"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:seqs AS bigint[]), CAST(:facts AS text[]))"
    " AS t (id, seq, facts) ORDER BY id ON CONFLICT (case_id) DO UPDATE SET"
    " sequence = excluded.sequence, facts = excluded.facts WHERE c.sequence < excluded.sequence"
)


@dataclass(slots=True)
class Told:
    """The newest facts of each case of a batch, and which were erased."""

    cases: dict[UUID, tuple[int, CaseFacts]] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)


class CaseReach:
    """Handler of `notification.cases`."""

    def __init__(self, clock: Callable[[], datetime] = now) -> None:
        """Take the clock that blanking is set by."""
        self._clock = clock

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        """Care about every event of a case: each holds all of its facts."""
        del needs
        return event_type in TYPES

    async def load(self, conn: AsyncConnection, events: Sequence[Event]) -> Told:
        """Need nothing."""
        del conn, events
        return Told()

    def decide(self, state: Told, event: Event, stamp: Stamp) -> None:
        """Note what is newest of the case."""
        del stamp
        try:
            case_id = UUID(event.subject)
        except ValueError:
            raise RecordInvalid("invalid-subject", "the subject is not a case id") from None
        if event.type == ERASED:
            state.erased.add(event.subject)
        before = state.cases.get(case_id)
        if before is None or before[0] < event.sequence:
            state.cases[case_id] = event.sequence, event.data

    async def flush(self, conn: AsyncConnection, state: Told) -> None:
        """Store it, and let the events of erased cases be blanked."""
        kept = [
            msgspec.json.encode({name: getattr(facts, name) for name in KEPT}).decode()
            for _, facts in state.cases.values()
        ]
        sequences = [sequence for sequence, _ in state.cases.values()]
        if kept:
            await conn.execute(_SAVE, {"ids": list(state.cases), "seqs": sequences, "facts": kept})
        await schedule_blanking(conn, state.erased, self._clock())
