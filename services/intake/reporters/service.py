"""Use cases of a receipt, and of the desk's answers to a report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import msgspec

from services.intake import store as cases
from services.intake.casework.desk import carry_out
from services.intake.casework.focal import is_focal
from services.intake.casework.pager import Pager
from services.intake.casework.tasks import SAFEGUARDING, Orders, Task, most_urgent
from services.intake.data_read import readings
from services.intake.reach import must_reach
from services.intake.reading import read
from services.intake.reporters import store
from services.intake.reporters.status import TEXTS, Said, answer_of
from shared.access_rules import Verb
from shared.clock import day_of
from shared.errors import Conflict, NotFound
from shared.events import CASES, DataRead, Draft
from shared.outbox import Stamp
from shared.vocabulary import Urgency

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.reporters.store import Report
    from services.intake.vault import Vault
    from shared.access import Caller
    from shared.events import Step
    from shared.outbox import Outbox

REPORTER: Final = "reporter:receipt"
"""The actor of what somebody with a receipt does: nobody knows who that is."""

ADDITION: Final = "addition:"
"""How the sealed field of an addition begins; its own id follows."""

GONE: Final = "what this report held was erased"
OTHER: Final = "this id had another content"
AHEAD: Final = "the base version is not there yet"


@dataclass(frozen=True, slots=True)
class Feedback:
    """The person's own word: `helped` is yes, partly, no or harmed; `about` whom it is about."""

    helped: str
    about: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Addition:
    """What a known reporter adds to an own report; `to_decide` names what no machine may merge.

    `said` is sealed as it came. `base_version` is the version it was written on: 1 is the report
    alone, and each addition makes one more.
    """

    addition_id: UUID
    base_version: int
    said: dict[str, object]
    words: str
    danger: bool
    to_decide: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reporters:
    """What is said between a report and the desk; each call is inside the caller's transaction."""

    vault: Vault
    outbox: Outbox

    async def status(self, conn: AsyncConnection, report: Report) -> dict[str, object]:
        """Return the one answer of four, in both languages."""
        said = await store.messages_of(conn, report.submission_id)
        answer = answer_of(seen=report.seen, said=[Said(m.way, m.kind) for m in said])
        return {"status": str(answer), "text": TEXTS[answer]}

    async def hear(self, conn: AsyncConnection, report: Report) -> list[dict[str, object]]:
        """Return what the desk said; what the reporter wrote is never shown on a phone again."""
        said = await store.messages_of(conn, report.submission_id)
        reporter = await store.reporter_of(conn, report.submission_id)
        if reporter is None:
            return []
        sealed = await store.sealed_of(conn, reporter.subject_id)
        return [
            {"at": m.said_at, "text": self.vault.open(reporter, sealed[m.field])}
            for m in said
            if m.way == "out" and m.field in sealed
        ]

    async def read_words(
        self, conn: AsyncConnection, submission_id: UUID, reason: str, by: Caller, at: datetime
    ) -> list[dict[str, object]]:
        """Open what was said of a report later, for the desk; the reading is an event.

        An `addition` of a committee member has the id that its task is `about`.
        That somebody was harmed is read by the safeguarding focal person alone.

        Raises:
            NotFound: no such report for this caller.

        """
        report = await store.find_submission(conn, submission_id, lock=True)
        if report is None:
            raise NotFound
        await must_reach(conn, report.case_ids, by, Verb.KNOW, at)
        reporter = await store.reporter_of(conn, submission_id)
        if reporter is None:
            return []
        focal = await is_focal(conn, by, at)
        sealed = await store.sealed_of(conn, reporter.subject_id)
        items: list[dict[str, object]] = []
        for m in await store.messages_of(conn, submission_id):
            said = self.vault.open(reporter, sealed[m.field]) if m.field in sealed else None
            if focal or not (isinstance(said, dict) and said.get("helped") == "harmed"):
                one = {"way": m.way, "kind": m.kind, "at": m.said_at, "said": said}
                if m.field.startswith(ADDITION):
                    one["addition"] = m.field.removeprefix(ADDITION)
                items.append(one)
        read = DataRead(fields=["messages"], reason=reason)
        known = await cases.lock_facts(conn, report.case_ids)
        await self.outbox.append(conn, readings(known, read, by, at))
        return items

    async def add_words(
        self, conn: AsyncConnection, report: Report, words: str, at: datetime
    ) -> None:
        """Add words to a report: they come before the desk, at once when they tell of danger.

        Raises:
            Conflict: what the report held was erased; a new report can be made.

        """
        await self.say(conn, report, words, way="in", kind="words", at=at, actor=REPORTER)
        danger = read(words, today=day_of(at)).urgency
        await self.tell(conn, report, Task("new_words", urgency=danger), "contact-recorded", at)

    async def add_addition(
        self, conn: AsyncConnection, report: Report, addition: Addition, by: str, at: datetime
    ) -> tuple[int, tuple[str, ...]] | None:
        """Keep an addition beside the report, which stays as it was; None when it is there already.

        Returns the version that it made, and what a person has to decide: `to_decide`, and
        `version` when it was written on an older one than is there.

        Raises:
            Conflict: another addition has this id, the base version is still to come, or what the
                report held was erased.

        """
        reporter = await store.reporter_of(conn, report.submission_id)
        if reporter is None:
            raise Conflict(GONE)
        field = f"{ADDITION}{addition.addition_id}"
        known = await store.sealed_of(conn, reporter.subject_id)
        if field in known:
            if self.vault.open(reporter, known[field]) != addition.said:
                raise Conflict(OTHER)
            return None
        version = 1 + sum(name.startswith(ADDITION) for name in known)
        if addition.base_version > version:
            raise Conflict(AHEAD)
        await self.say(
            conn, report, addition.said, way="in", kind="words", at=at, actor=by, field=field
        )
        decide = addition.to_decide + ("version",) * (addition.base_version < version)
        danger = read(addition.words, today=day_of(at)).urgency
        urgency = Urgency.T0 if addition.danger else danger
        task = Task("new_words", urgency=urgency)
        if decide:
            task = Task("addition", addition.addition_id, urgency, detail=",".join(decide))
        await self.tell(conn, report, task, "contact-recorded", at)
        return version + 1, decide

    async def add_feedback(
        self, conn: AsyncConnection, report: Report, feedback: Feedback, at: datetime
    ) -> None:
        """Keep the person's own word; `harmed` goes to the safeguarding focal person alone.

        Raises:
            Conflict: what the report held was erased.

        """
        sealed = {"about": feedback.about, "text": feedback.text, "helped": feedback.helped}
        await self.say(conn, report, sealed, way="in", kind="feedback", at=at, actor=REPORTER)
        task = None
        if feedback.helped == "harmed":
            task = Task("harmed", urgency=Urgency.T1, level=SAFEGUARDING)
        elif feedback.text or feedback.helped != "yes":
            task = Task("feedback")
        await self.tell(conn, report, task, "feedback-received", at, feedback=feedback.helped)

    async def ask(
        self, conn: AsyncConnection, submission_id: UUID, question: str, by: Caller, at: datetime
    ) -> None:
        """Put a question of the desk behind the receipt.

        Raises:
            NotFound: no such report for this caller. Conflict: what it held was erased.

        """
        report = await self._report(conn, submission_id, by, at)
        await self.say(conn, report, question, way="out", kind="question", at=at, actor=by.actor)

    async def end(
        self, conn: AsyncConnection, submission_id: UUID, by: Caller, at: datetime
    ) -> None:
        """Say that the report has come to its end for now; the reporter can write again.

        Raises:
            NotFound: no such report for this caller. Conflict: what it held was erased.

        """
        report = await self._report(conn, submission_id, by, at)
        await self.say(conn, report, None, way="out", kind="end", at=at, actor=by.actor)

    @staticmethod
    async def _report(
        conn: AsyncConnection, submission_id: UUID, by: Caller, at: datetime
    ) -> Report:
        report = await store.find_submission(conn, submission_id, lock=True)
        if report is None:
            raise NotFound
        await must_reach(conn, report.case_ids, by, Verb.WORK, at)
        return report

    async def say(
        self,
        conn: AsyncConnection,
        report: Report,
        words: object,
        *,
        way: str,
        kind: str,
        at: datetime,
        actor: str,
        field: str | None = None,
    ) -> None:
        """Keep one message of a report, sealed with its reporter. Raises `Conflict`: erased."""
        reporter = await store.reporter_of(conn, report.submission_id)
        if reporter is None:
            raise Conflict(GONE)
        sealed = None
        if words is not None:
            sealed = self.vault.seal_more(reporter, field or f"message:{uuid4()}", words)
        await store.add_message(
            conn, report.submission_id, reporter, sealed, way=way, kind=kind, at=at, actor=actor
        )

    async def tell(
        self,
        conn: AsyncConnection,
        report: Report,
        task: Task | None,
        event: str,
        at: datetime,
        *,
        feedback: str | None = None,
        step: Step | None = None,
        by: str = REPORTER,
    ) -> None:
        """Bring what was said before the desk, and into the history without the words."""
        known = {
            case_id: facts
            for case_id, facts in (await cases.lock_facts(conn, report.case_ids)).items()
            if facts.status != "erased"
        }
        if task is not None:
            case_id = next(iter(known), report.case_ids[0])
            facts = known.get(case_id)
            urgent = most_urgent([task.urgency, facts.urgency if facts else None])
            order = Orders((replace(task, urgency=urgent),))
            await carry_out(conn, [(case_id, order, facts)], by=by, at=at)
            await Pager(self.outbox).look(conn, [(case_id, order, facts)], at)
        drafts = [
            Draft(
                CASES,
                event,
                str(case_id),
                msgspec.structs.replace(facts, feedback=feedback, step=step),
                tuple(facts.needs),
            )
            for case_id, facts in sorted(known.items())
        ]
        await self.outbox.append(conn, [(draft, Stamp(at, by)) for draft in drafts])
