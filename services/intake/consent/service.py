"""Use case of consent: record what was decided, seal who said it, tell what changes by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from services.intake import store as cases
from services.intake.casework.desk import carry_out
from services.intake.casework.tasks import ASK_AT_18, NO_ONE, TELL_RECEIVER, Orders, Task
from services.intake.consent import store
from services.intake.consent.decide import Circle, Outcome, Wish, decide, load_instruments
from services.intake.consent.expiry import KIND, keep_consents
from services.intake.consent.gate import is_caregiver_alleged
from services.intake.consent.of_age import by_others
from services.intake.consent.record import state_of
from services.intake.disclosure.store import Known, known_of
from services.intake.packets.store import has_packet
from services.intake.reach import must
from services.intake.reporters.store import mark_seen
from shared.access_rules import Verb
from shared.errors import Conflict, NotFound, Stale
from shared.events import CASES, Draft
from shared.outbox import Stamp
from shared.timers import cancel_many

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.store import CaseRow
    from services.intake.vault import Vault
    from shared.access import Caller
    from shared.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Consents:
    """What the desk records; each call is inside the caller's transaction."""

    vault: Vault
    outbox: Outbox

    async def record(
        self,
        conn: AsyncConnection,
        case_id: UUID,
        wish: Wish,
        private: Mapping[str, object],
        *,
        caller: Caller,
        version: int | None,
        at: datetime,
    ) -> tuple[Outcome, CaseRow]:
        """Record a decision; `private` are its free texts, which are sealed with the person.

        Raises:
            NotFound: no such case for this caller. Stale: `version` is not the present one.
            Conflict: the case is closed or erased. ConsentRefused: see `decide.decide`.

        """
        row, _ = must(caller, Verb.WORK, await cases.lock_case(conn, case_id), at)
        if row.facts is None:
            raise NotFound
        if version is not None and version != row.version:
            raise Stale(None, version=row.version)
        takes = wish.decision == "withdrawn"
        if row.facts.status == "erased" or (row.facts.status == "closed" and not takes):
            raise Conflict(None, state=row.facts.status)
        known = await known_of(conn, case_id)
        current = await store.consents_of(conn, case_id)
        circle = self._circle(known, row, caller)
        made = decide(current, wish, circle, at, uuid4, load_instruments())
        await self._keep(conn, row, known, made, private, wish=wish, caller=caller, at=at)
        found = await cases.find_case(conn, case_id)
        if found is None:
            raise NotFound
        return made, found

    def _circle(self, known: Known, row: CaseRow, caller: Caller) -> Circle:
        """Gather what the rules ask; the relations of who is alleged are compared and not told."""
        said = [
            str(self.vault.open(subject, sealed)).strip().lower()
            for subject in known.alleged
            for sealed in subject.fields
            if sealed.name == "relation"
        ]
        person = _person_of(known)
        facts = row.facts
        return Circle(
            facts.age if facts else None,
            is_caregiver_alleged(known.report, person),
            frozenset(said),
            tuple(facts.needs) if facts else (),
            caller.role,
            caller.actor,
        )

    async def _keep(
        self,
        conn: AsyncConnection,
        row: CaseRow,
        known: Known,
        made: Outcome,
        private: Mapping[str, object],
        *,
        wish: Wish,
        caller: Caller,
        at: datetime,
    ) -> None:
        if row.facts is None:
            raise NotFound
        ended = [c.consent_id for c in made.ended]
        state = "withdrawn" if wish.decision == "withdrawn" else "changed"
        await store.end_consents(conn, ended, state, caller.actor, at)
        about = ended[0] if state == "withdrawn" else made.added[0].consent_id
        said = {name: value for name, value in private.items() if value}
        if said:
            await self._seal(conn, row, known, f"consent:{about}:{wish.decision}", said)
        facts = msgspec.structs.replace(row.facts, consent=state_of(made.left))
        cases.save_cases(conn, [(row.case_id, facts)])
        if made.left and not by_others(made.left):
            done = Orders(ends=((ASK_AT_18, NO_ONE),))
            await carry_out(conn, [(row.case_id, done, facts)], by=caller.actor, at=at)
        if "consent-withdrawn" in made.events and await has_packet(conn, row.case_id):
            tell = Orders((Task(TELL_RECEIVER, urgency=facts.urgency),))
            await carry_out(conn, [(row.case_id, tell, facts)], by=caller.actor, at=at)
        await mark_seen(conn, row.case_id, at)
        await cancel_many(conn, KIND, [str(key) for key in ended])
        await keep_consents(conn, [(row.case_id, c) for c in made.added])
        drafts = []
        for kind in made.events:
            reason = state if kind == "consent-withdrawn" else None
            told = msgspec.structs.replace(facts, reason=reason)
            drafts.append(Draft(CASES, kind, str(row.case_id), told, tuple(facts.needs)))
        await self.outbox.append(conn, [(draft, Stamp(at, caller.actor)) for draft in drafts])

    async def _seal(
        self,
        conn: AsyncConnection,
        row: CaseRow,
        known: Known,
        name: str,
        said: dict[str, object],
    ) -> None:
        """Seal free texts with the person; a case that knew nobody so far gets a subject."""
        if known.person is not None:
            sealed = self.vault.seal_more(known.person, name, said)
            await store.add_sealed(conn, known.person.subject_id, sealed)
            return
        ref = await store.person_ref_of(conn, row.case_id)
        subject = self.vault.seal(row.case_id, "person", ref, {name: said})
        await store.add_subject(conn, row.submission_id, subject)


def _person_of(known: Known) -> Mapping[str, Any] | None:
    """Return the coarse person of the report that the case is about, if it has one."""
    ref = known.person.ref if known.person is not None else None
    people = [p for p in known.report.get("persons", ()) if p.get("role") == "at_risk"]
    return next((p for p in people if p.get("ref") == ref), None)
