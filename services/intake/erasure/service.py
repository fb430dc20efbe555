"""Use cases of erasure: propose, approve, hold. Each is inside the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.intake import store as cases
from services.intake.casework.desk import carry_out
from services.intake.casework.tasks import NO_ONE, SUPERVISOR, Orders, Task, after_case
from services.intake.consent.expiry import KIND
from services.intake.erasure import store
from services.intake.erasure.rules import (
    ERASED,
    Proposal,
    erase,
    erase_subject,
    must_propose,
    without_person,
)
from services.intake.reach import must
from shared import telemetry
from shared.access_rules import Verb
from shared.erasure import schedule_blanking
from shared.erasure_list import CASE, Line, name_of
from shared.errors import Conflict, NotFound
from shared.events import CaseFacts
from shared.outbox import Stamp
from shared.timers import cancel_many

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.erasure.store import Place
    from services.intake.store import CaseRow
    from shared.access import Caller
    from shared.events import Draft
    from shared.outbox import Outbox

RESTORE: Final = "service:intake.restore"
"""Who carries out what was erased before, in a database that was put back."""

EVERYBODY: Final = ("person", "reporter", "alleged")


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
            NotFound: no such case for this caller. Forbidden: see `rules.must_propose`.
            Conflict: likewise; or the reporter who is to be erased is the person of the case.

        """
        place, row = await self.lock(conn, case_id, caller, at)
        if row.facts is None:
            raise NotFound
        if wish.subject == "reporter" and place.reporter_is_person:
            raise Conflict("the reporter is the person: erase the case", why="reporter_is_person")
        proposed = await store.proposal_of(conn, case_id, wish.subject)
        held = await self.is_held(conn, place, case_id, wish)
        if must_propose(row.facts, wish, caller.role, proposed, held=held):
            await store.save_proposal(conn, case_id, wish, at)
            task = Task("approve_erasure", urgency=row.facts.urgency, level=SUPERVISOR)
            await carry_out(conn, [(case_id, Orders((task,)), row.facts)], by=caller.actor, at=at)
            return wish
        line = Line(
            case_id=case_id,
            subject=wish.subject,
            at=at,
            by=caller.subject,
            asked_by=wish.asked_by,
            shared=wish.shared,
        )
        return await self._carry_out(conn, place, row.facts, line, caller.actor)

    async def again(self, conn: AsyncConnection, line: Line, actor: str = RESTORE) -> None:
        """Carry out what was decided before: of the list, or by the rules of retention."""
        place = await store.lock_place(conn, line.case_id)
        row = await cases.lock_case(conn, line.case_id)
        if place is None or row is None or row.status == ERASED:
            return
        facts = row.facts or CaseFacts(report_id=row.submission_id, channel="unknown")
        before = Proposal(line.by, line.asked_by, "order", line.shared, line.subject)
        await store.save_proposal(conn, line.case_id, before, line.at)
        await self._carry_out(conn, place, facts, line, actor)

    async def _carry_out(
        self, conn: AsyncConnection, place: Place, facts: CaseFacts, line: Line, actor: str
    ) -> Erased:
        whole = line.subject == CASE and (line.shared or not place.others)
        kinds: Sequence[str] = EVERYBODY if whole else ("person",)
        if line.subject != CASE:
            kinds = (line.subject,)
        epochs = await store.destroy_subjects(conn, place, line.case_id, kinds)
        if line.subject == CASE:
            draft = await self._end_case(conn, place, facts, line, actor)
        else:
            await store.cut_subject(conn, place, line.subject)
            draft = erase_subject(line.case_id, facts, line.subject)
            done = Orders(ends=(("approve_erasure", NO_ONE),))
            await carry_out(conn, [(line.case_id, done, facts)], by=actor, at=line.at)
        await store.note_erased(conn, line, name_of(line), set(epochs))
        await self.outbox.append(conn, [(draft, Stamp(line.at, actor))])
        telemetry.ERASURES.labels(line.subject, line.asked_by).inc()
        return Erased(len(epochs), not whole)

    @staticmethod
    async def _end_case(
        conn: AsyncConnection, place: Place, old: CaseFacts, line: Line, actor: str
    ) -> Draft:
        """Leave nothing of a case but that it was; return its last event."""
        case_id, at, last = line.case_id, line.at, not place.others
        report = without_person(place.report, place.person_ref, last=last)
        await store.cut_report(conn, place, report, last=last)
        facts, draft = erase(case_id, old)
        cases.save_cases(conn, [(case_id, facts)])
        orders = after_case(draft.type, facts)
        await carry_out(conn, [(case_id, orders, facts)], by=actor, at=at)
        consents = await store.forget_case(conn, case_id)
        await cancel_many(conn, KIND, [str(key) for key in consents])
        await schedule_blanking(conn, [str(case_id)], at)
        return draft

    @staticmethod
    async def is_held(conn: AsyncConnection, place: Place, case_id: UUID, wish: Proposal) -> bool:
        """Say whether a legal hold stands against a wish: also of another case that it reaches."""
        return await store.is_held(conn, [case_id, *(place.others if wish.beyond else ())])

    async def hold(
        self, conn: AsyncConnection, case_id: UUID, reason: str, caller: Caller, at: datetime
    ) -> None:
        """Put a case under a legal hold: until it is lifted nothing of it is erased.

        Raises:
            NotFound: no such case for this caller. Conflict: it is erased.

        """
        _, row = await self.lock(conn, case_id, caller, at)
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
        await self.lock(conn, case_id, caller, at)
        if not await store.lift_hold(conn, case_id, caller.actor, at):
            raise NotFound

    @staticmethod
    async def lock(
        conn: AsyncConnection, case_id: UUID, caller: Caller, at: datetime
    ) -> tuple[Place, CaseRow]:
        """Lock report and case; whoever the case excludes does not learn that it is there."""
        place = await store.lock_place(conn, case_id)
        row, _ = must(caller, Verb.WORK, await cases.lock_case(conn, case_id), at)
        if place is None:
            raise NotFound
        return place, row
