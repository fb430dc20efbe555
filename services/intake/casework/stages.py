"""Use cases of the stages: each locks the case, decides, seals, stores and tells, in one commit."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from services.intake import store as cases
from services.intake.casework import due
from services.intake.casework.desk import carry_out
from services.intake.casework.focal import HARM, is_focal
from services.intake.casework.steps import Taken, add_step, steps_of
from services.intake.consent.gate import is_caregiver_alleged
from services.intake.consent.store import add_sealed, add_subject, person_ref_of
from services.intake.data_read import readings
from services.intake.disclosure.store import known_of
from services.intake.reach import must
from services.intake.reporters.store import mark_seen, sealed_of
from shared import telemetry
from shared.access_rules import Verb
from shared.errors import Conflict, NotFound, Stale
from shared.events import DataRead
from shared.outbox import Stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.course import Done
    from services.intake.store import CaseRow
    from services.intake.vault import Subject, Vault
    from shared.access import Caller
    from shared.events import CaseFacts
    from shared.outbox import Outbox

SOON: Final = timedelta(days=90)
"""Opened again within this of its closing, a case was closed too soon, or was not safe."""

_OVERWRITES: Final = ("assign", "assess", "safety-plan", "plan", "verify")
"""Steps that take the place of an earlier one of their kind: never silently somebody else's."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for a step on which case, when, and on which version they saw it (or None)."""

    case_id: UUID
    caller: Caller
    at: datetime
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of a step: its kind, coarse details, and texts that are sealed."""

    kind: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    private: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stages:
    """What people do with a case; each call is inside the caller's transaction."""

    vault: Vault
    outbox: Outbox

    async def take(
        self,
        conn: AsyncConnection,
        asked: Asked,
        entry: Entry,
        decide: Callable[[CaseFacts], Done],
    ) -> tuple[CaseRow, Taken]:
        """Take one step; return the case after it and the step.

        Raises:
            NotFound: no such case for this caller. Stale: it has changed since it was read, and
                `held_by` names who changed it. Conflict: the state does not allow it, or another
                person took this step before and no version was named.

        """
        row, facts = await self.lock(conn, asked, entry.kind)
        done = decide(facts)
        changed = entry.kind in _OVERWRITES or done.facts != facts
        if changed:
            cases.save_cases(conn, [(asked.case_id, done.facts)])
        step = await self._note(conn, row, asked, entry, changed=changed)
        stamp = Stamp(asked.at, asked.caller.actor)
        await self.outbox.append(conn, [(draft, stamp) for draft in done.drafts])
        orders = [(asked.case_id, done.orders, done.facts)]
        await carry_out(conn, orders, by=asked.caller.actor, at=asked.at)
        await mark_seen(conn, asked.case_id, asked.at)
        if entry.kind == "reopen":
            soon = asked.at - row.changed_at <= SOON
            telemetry.REOPENED.labels("within_90_days" if soon else "later").inc()
        await _timers(conn, asked, entry, done)
        found = await cases.find_case(conn, asked.case_id)
        if found is None:
            raise NotFound
        return found, step

    async def lock(
        self, conn: AsyncConnection, asked: Asked, kind: str = "", verb: Verb = Verb.WORK
    ) -> tuple[CaseRow, CaseFacts]:
        """Lock a case for somebody, on the version they saw; whom it names does not find it."""
        locked = await cases.lock_case(conn, asked.case_id)
        row, _ = must(asked.caller, verb, locked, asked.at)
        if row.facts is None:
            raise NotFound
        if asked.version is not None and asked.version != row.version:
            last = await steps_of(conn, asked.case_id)
            holder = last[-1].by if last else row.facts.work.worker
            raise Stale(None, version=row.version, held_by=holder)
        if asked.version is None and kind in _OVERWRITES:
            same = await steps_of(conn, asked.case_id, kind)
            if same and same[-1].by != asked.caller.actor:
                raise Conflict(
                    "another person took this step: read it and name its version in If-Match",
                    version=row.version,
                    held_by=same[-1].by,
                )
        return row, row.facts

    async def _note(
        self, conn: AsyncConnection, row: CaseRow, asked: Asked, entry: Entry, *, changed: bool
    ) -> Taken:
        step_id = uuid4()
        said = {name: value for name, value in entry.private.items() if value}
        note = f"note:{step_id}:{entry.kind}" if said else None
        if note is not None:
            await self._seal(conn, row, note, said)
        step = Taken(
            entry.kind,
            asked.caller.actor,
            asked.at,
            row.version + changed,
            entry.detail,
            note,
            step_id,
        )
        await add_step(conn, row.case_id, step)
        return step

    async def _seal(
        self, conn: AsyncConnection, row: CaseRow, name: str, said: dict[str, object]
    ) -> None:
        """Seal texts with the person; a case that knew nobody so far gets a subject."""
        known = await known_of(conn, row.case_id)
        if known.person is not None:
            sealed = self.vault.seal_more(known.person, name, said)
            await add_sealed(conn, known.person.subject_id, sealed)
            return
        ref = await person_ref_of(conn, row.case_id)
        subject = self.vault.seal(row.case_id, "person", ref, {name: said})
        await add_subject(conn, row.submission_id, subject)

    async def refuse_alleged(self, conn: AsyncConnection, case_id: UUID, agreed_by: str) -> None:
        """Refuse what a caregiver agreed to who is among those said to do the harm.

        Raises:
            Conflict: a caregiver is alleged.

        """
        if agreed_by != "caregiver":
            return
        known = await known_of(conn, case_id)
        ref = known.person.ref if known.person is not None else None
        people = [p for p in known.report.get("persons", ()) if p.get("role") == "at_risk"]
        person = next((p for p in people if p.get("ref") == ref), None)
        if is_caregiver_alleged(known.report, person):
            raise Conflict("a caregiver is alleged: nothing is agreed with one")

    async def read_notes(
        self, conn: AsyncConnection, asked: Asked, reason: str
    ) -> list[dict[str, object]]:
        """Open the texts of a case's steps; the reading is an event.

        Raises:
            NotFound: no such case for this caller.

        """
        row, facts = await self.lock(conn, asked, verb=Verb.KNOW)
        focal = await is_focal(conn, asked.caller, asked.at)
        steps = [s for s in await steps_of(conn, asked.case_id) if focal or s.kind != HARM]
        known = await known_of(conn, asked.case_id)
        told = await self._opened(conn, known.person, steps) if known.person else {}
        read = DataRead(fields=["notes"], reason=reason)
        events = readings({row.case_id: facts}, read, asked.caller, asked.at)
        await self.outbox.append(conn, events)
        return [
            {"step_id": s.step_id, "kind": s.kind, "by": s.by, "at": s.at, "said": told[s.note]}
            for s in steps
            if s.note in told
        ]

    async def _opened(
        self, conn: AsyncConnection, person: Subject, steps: Sequence[Taken]
    ) -> dict[str | None, object]:
        sealed = await sealed_of(conn, person.subject_id)
        names = [s.note for s in steps if s.note in sealed]
        return {name: self.vault.open(person, sealed[name]) for name in names if name}


async def _timers(conn: AsyncConnection, asked: Asked, entry: Entry, done: Done) -> None:
    if entry.kind in ("assign", "reopen"):
        await due.begin(conn, asked.case_id, done.facts, asked.at)
    reached = entry.kind == "contacts" and entry.detail.get("result") == "reached"
    with_person = entry.detail.get("with") == "person"
    still_open = done.facts.status != "closed"
    if (entry.kind == "assess" or (reached and with_person)) and still_open:
        await due.follow(conn, asked.case_id, done.facts, asked.at)
