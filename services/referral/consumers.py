"""Consumers of `cases`: one a rule, `referral.rule.<need>`, and the projection `referral.cases`.

Each is its own group, scales and parks alone. Every one brings the case row forward itself, so that
a rule never runs on missing or stale consent (DECISIONS 14), and a bug in one stops only that one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID

from services.referral import erasure_store, store
from services.referral.answers import bring_forward
from services.referral.planning import plan
from shared import telemetry
from shared.clock import now
from shared.erasure import ERASED, schedule_blanking
from shared.errors import RecordInvalid
from shared.events import DATA_TYPES, CaseFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.referral.service import Referrals
    from services.referral.world import Change, World
    from shared.events import Event
    from shared.outbox import Stamp

CASE_TYPES: Final = frozenset(name for name, kind in DATA_TYPES.items() if kind is CaseFacts)
"""Every event type of the stream `cases`."""

PLANNING: Final = frozenset(
    {"case-created", "case-triaged", "case-updated", "case-reopened", "consent-given"}
)
"""After these a rule looks whether its need is to be planned or can be released."""

ENDING: Final = frozenset({"consent-withdrawn", "case-closed", "case-erased"})
"""Safety events of `cases`; every group takes them in."""


@dataclass(slots=True)
class Taken:
    """The world that a batch works on, and what its events changed, in order."""

    world: World
    made: list[tuple[Change, Stamp]] = field(default_factory=list)
    erased: set[str] = field(default_factory=set)

    def take(self, done: Change, stamp: Stamp) -> None:
        """Keep a change and let the next decision see it."""
        self.world.take(done)
        self.made.append((done, stamp))


class CaseProjection:
    """`referral.cases`: keeps every case row fresh, and ends what a case event ends."""

    need: str | None = None

    def __init__(self, referrals: Referrals) -> None:
        """Take the use cases."""
        self._referrals = referrals

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        """Care about every event of a case."""
        del needs
        return event_type in CASE_TYPES

    async def load(self, conn: AsyncConnection, events: Sequence[Event]) -> Taken:
        """Lock the cases with their referrals, and read the offers that may be asked."""
        told = [(case_id, e.data) for e in events if (case_id := _case_id(e)) is not None]
        new = await store.begin_cases(conn, dict(told))
        ids = sorted({case_id for case_id, _ in told})
        needs = {case_id: (self.need,) for case_id in ids if self.need is not None}
        return Taken(await self._referrals.load(conn, ids, needs, told, new=new))

    def decide(self, state: Taken, event: Event, stamp: Stamp) -> None:
        """Take the event in; a need that no rule of this version knows is skipped and counted."""
        _must_be_case(event)
        forward = bring_forward(state.world, event)
        if forward.case is not None and event.type == "case-created":
            for _ in set(forward.case.facts.needs) - state.world.rules.keys():
                telemetry.UNKNOWN_VALUES.labels("need").inc()
        state.take(forward, stamp)
        if event.type == ERASED:
            state.erased.add(event.subject)

    async def flush(self, conn: AsyncConnection, state: Taken) -> None:
        """Store what changed."""
        await self._referrals.save(conn, state.world, state.made)
        if state.erased:
            await erasure_store.erase_referrals(conn, state.erased)
            await schedule_blanking(conn, state.erased, now())


class NeedRule(CaseProjection):
    """`referral.rule.<need>`: plans, releases and assigns referrals for one need."""

    def __init__(self, referrals: Referrals, need: str) -> None:
        """Take the use cases and the need whose rule this is."""
        super().__init__(referrals)
        self.need: str = need

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        """Care about cases with this need, and about what ends a case or a consent."""
        return event_type in ENDING or (event_type in PLANNING and self.need in needs)

    def decide(self, state: Taken, event: Event, stamp: Stamp) -> None:
        """Take the event in; plan if the need is not planned yet."""
        _must_be_case(event)
        forward = bring_forward(state.world, event)
        state.take(forward, stamp)
        if event.type in ENDING:
            return
        case = state.world.cases[UUID(event.subject)]
        reopened = event.type == "case-reopened"
        state.take(plan(state.world, case, self.need, stamp.at, reopened=reopened), stamp)


def _case_id(event: Event) -> UUID | None:
    try:
        return UUID(event.subject)
    except ValueError:
        return None


def _must_be_case(event: Event) -> None:
    if _case_id(event) is None:
        raise RecordInvalid("invalid-subject", "the subject is not a case id")
