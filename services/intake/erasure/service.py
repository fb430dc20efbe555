"""Use cases of erasure: propose, approve, hold. Each is inside the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.intake import store as cases
from services.intake.casework.desk import carry_out
from services.intake.casework.tasks import SUPERVISOR, Orders, Task, after_case
from services.intake.consent.expiry import KIND
from services.intake.erasure import store
from services.intake.erasure.rules import ERASED, Proposal, erase, must_propose, without_person
from services.intake.reach import must
from shared.access_rules import Verb
from shared.erasure import schedule_blanking
from shared.errors import Conflict, NotFound
from shared.outbox import Stamp
from shared.timers import cancel_many

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.erasure.store import Place
    from services.intake.store import CaseRow
    from shared.access import Caller
    from shared.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Erased:
    """What was done: whose keys are gone, and whether the report's own remain with another case."""

    subjects: int
    report_remains: bool


@dataclass(frozen=True, slots=True)
class Erasures:
    """What two people of the desk do together."""

    outbox: Outbox

    async def erase(
        self,
        conn: AsyncConnection,
        case_id: UUID,
        wish: Proposal,
        caller: Caller,
        at: datetime,
    ) -> Erased | Proposal:
        """Erase a case, or keep the proposal until another person, a supervisor, approves it.

        Raises:
            NotFound: no such case for this caller. Conflict, Forbidden: see `rules.must_propose`.

        """
        place, row = await self._lock(conn, case_id, caller, at)
        if row.facts is None:
            raise NotFound
        proposed = await store.proposal_of(conn, case_id)
        held = await store.is_held(conn, case_id)
        if must_propose(row.facts, wish, caller.role, proposed, held=held):
            await store.save_proposal(conn, case_id, wish, at)
            task = Task("approve_erasure", urgency=row.facts.urgency, level=SUPERVISOR)
            await carry_out(conn, [(case_id, Orders((task,)), row.facts)], by=caller.actor, at=at)
            return wish
        last = not place.others
        gone = await store.destroy_subjects(conn, place, case_id, whole=last or wish.shared)
        report = without_person(place.report, place.person_ref, last=last)
        await store.cut_report(conn, place, report, last=last)
        facts, draft = erase(case_id, row.facts)
        await cases.save_cases(conn, [(case_id, facts)])
        orders = after_case(draft.type, facts)
        await carry_out(conn, [(case_id, orders, facts)], by=caller.actor, at=at)
        consents = await store.forget_case(conn, case_id)
        await store.note_erased(conn, case_id, caller.subject, at)
        await cancel_many(conn, KIND, [str(key) for key in consents])
        await schedule_blanking(conn, [str(case_id)], at)
        await self.outbox.append(conn, [(draft, Stamp(at, caller.actor))])
        return Erased(gone, not last and not wish.shared)

    async def hold(
        self, conn: AsyncConnection, case_id: UUID, reason: str, caller: Caller, at: datetime
    ) -> None:
        """Put a case under a legal hold: until it is lifted nothing of it is erased.

        Raises:
            NotFound: no such case for this caller. Conflict: it is erased.

        """
        _, row = await self._lock(conn, case_id, caller, at)
        if row.status == ERASED:
            raise Conflict("the case is erased", state=row.status)
        await store.place_hold(conn, case_id, reason, caller.actor, at)

    async def lift(
        self, conn: AsyncConnection, case_id: UUID, caller: Caller, at: datetime
    ) -> None:
        """End a legal hold.

        Raises:
            NotFound: no such case for this caller, or no hold.

        """
        await self._lock(conn, case_id, caller, at)
        if not await store.lift_hold(conn, case_id, caller.actor, at):
            raise NotFound

    @staticmethod
    async def _lock(
        conn: AsyncConnection, case_id: UUID, caller: Caller, at: datetime
    ) -> tuple[Place, CaseRow]:
        """Lock report and case; whoever the case excludes does not learn that it is there."""
        place = await store.lock_place(conn, case_id)
        row, _ = must(caller, Verb.WORK, await cases.lock_case(conn, case_id), at)
        if place is None:
            raise NotFound
        return place, row
