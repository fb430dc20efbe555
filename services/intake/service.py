"""Intake's use cases on stored submissions and cases: open, triage, show."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from services.intake import store
from services.intake.calls import call_of, is_many_silent
from services.intake.calls_store import lock_left, make_received, silences_of
from services.intake.casework import handover
from services.intake.casework.course import Done, is_excluded
from services.intake.casework.desk import carry_out
from services.intake.casework.due import debrief_later
from services.intake.casework.pager import Pager
from services.intake.casework.tasks import TRIAGED, Orders, Task, after_case
from services.intake.casework.ties import excluding, let_go, with_ties
from services.intake.consent.expiry import keep_consents, look_again
from services.intake.consent.of_age import has_turned
from services.intake.conversation import (
    REPLY_WITHIN,
    language_of,
    plan_reply,
    plan_reply_to_worker,
    read_answer,
    stop_contact,
    take_answer,
)
from services.intake.domain import (
    CONVERSATIONS,
    Submission,
    consents_of,
    excluded_of,
    open_cases,
)
from services.intake.preparing import submitted
from services.intake.reach import must
from services.intake.reading import Reading, read
from services.intake.reporters.store import mark_seen
from services.intake.talks import save_talks, talks_of
from services.intake.triage import Triage, triage
from shared import telemetry
from shared.access_rules import Verb, scope_of
from shared.clock import day_of
from shared.database import transaction
from shared.errors import NotFound, Stale
from shared.outbox import Stamp
from shared.telemetry import Log
from shared.vocabulary import Urgency

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.intake.consent.record import Consent
    from services.intake.store import Unopened
    from services.intake.talks import Talk
    from services.intake.vault import Vault
    from shared.access import Caller
    from shared.access_rules import Allowed
    from shared.events import CaseFacts, Draft
    from shared.outbox import Outbox

_log = Log("intake")


@dataclass(slots=True)
class Opening:
    """The state of one opening: what was locked, and what was decided."""

    unopened: dict[UUID, Unopened]
    talks: Mapping[UUID, Talk] = field(default_factory=dict)
    silences: Mapping[UUID, int] = field(default_factory=dict)
    facts: dict[UUID, CaseFacts] = field(default_factory=dict)
    opened: dict[UUID, tuple[Reading | None, list[tuple[UUID, CaseFacts]]]] = field(
        default_factory=dict
    )
    answers: dict[UUID, UUID] = field(default_factory=dict)
    stops: list[tuple[bytes, UUID]] = field(default_factory=list)
    replies: list[tuple[UUID, str, str]] = field(default_factory=list)
    changed: dict[UUID, CaseFacts] = field(default_factory=dict)
    orders: list[tuple[UUID, Orders, CaseFacts | None]] = field(default_factory=list)
    drafts: list[tuple[Draft, Stamp]] = field(default_factory=list)
    consents: list[tuple[UUID, Consent]] = field(default_factory=list)
    excluded: dict[UUID, list[str]] = field(default_factory=dict)


def decide_opening(state: Opening, submission_id: UUID, vault: Vault, stamp: Stamp) -> None:
    """Open one submission's cases inside `state`; nothing happens when it is open already.

    A text may be a command or the answer to a question instead: then it opens no case.
    """
    waiting = state.unopened.get(submission_id)
    if waiting is None or submission_id in state.opened:
        return
    reading, said = None, ""
    opened: list[tuple[UUID, CaseFacts]] = []
    narrator = waiting.narrator
    if narrator is not None:
        said = str(vault.open(narrator, narrator.fields[0]))
        reading = read(said, today=day_of(stamp.at))
    elif waiting.submission.channel == "sms":
        reading = read("", today=day_of(stamp.at))
    talk = state.talks.get(submission_id)
    if talk is not None and reading is not None and _converse(state, talk, reading, said, stamp):
        state.opened[submission_id] = (reading, [])
        return
    submission = _with_silences(waiting.submission, state.silences)
    cases = open_cases(submission, reading, stamp.at)
    if submission_id in state.excluded:
        cases = excluding(cases, state.excluded[submission_id])
    if any(facts.urgency == Urgency.T0 for _, facts, _ in cases):
        telemetry.keep_trace()
    for case_id, facts, draft in cases:
        done = _first_step(case_id, facts, submission)
        state.facts[case_id] = done.facts
        state.drafts += [(one, stamp) for one in (draft, *done.drafts)]
        orders = after_case(draft.type, facts)
        state.orders += [(case_id, orders, facts), (case_id, done.orders, done.facts)]
        opened.append((case_id, done.facts))
    state.consents += consents_of(submission, opened, stamp.at)
    state.opened[submission_id] = (reading, opened)


def _with_silences(submission: Submission, silences: Mapping[UUID, int]) -> Submission:
    """Return a submission that knows how many silent calls of its number came within a day."""
    times = silences.get(submission.submission_id)
    if times is None:
        return submission
    call = {**call_of(submission.report), "times": times}
    return replace(submission, report={**submission.report, "call": call})


def _first_step(case_id: UUID, facts: CaseFacts, submission: Submission) -> Done:
    """Take the step that a call asks for: silent calls come before a person, or it is handed over.

    Whoever the case excludes is offered nothing.
    """
    to = call_of(submission.report).get("offer_to")
    if to is not None and not is_excluded(facts, to):
        return handover.offer(case_id, facts, to)
    if is_many_silent(submission.report):
        task = Task("triage", urgency=facts.urgency, detail="silent_calls")
        return Done(facts, (), Orders((task,)))
    return Done(facts, ())


def _converse(state: Opening, talk: Talk, reading: Reading, said: str, stamp: Stamp) -> bool:
    """Plan the reply to a text; say whether the text was a stop or an answer, and no report."""
    kind = plan_reply_to_worker(said, stopped=talk.stopped) if talk.worker else None
    kind = kind or plan_reply(reading, stopped=talk.stopped)
    if kind is not None and talk.reply and stamp.at < talk.received_at + REPLY_WITHIN:
        state.replies.append((talk.submission_id, kind, language_of(reading)))
    changes: list[tuple[UUID, tuple[CaseFacts, Draft] | None]] = []
    answer = None
    if reading.command == "stop":
        state.stops.append((talk.sender, talk.submission_id))
        changes = [(c, stop_contact(c, f)) for c in talk.cases if (f := state.facts.get(c))]
    elif talk.asked is not None and (answer := read_answer(said, reading, talk.asked.kind)):
        state.answers[talk.submission_id] = talk.asked.submission_id
        cases = talk.asked.cases
        changes = [(c, take_answer(c, f, answer)) for c in cases if (f := state.facts.get(c))]
    for case_id, change in changes:
        if change is not None:
            facts, draft = change
            state.facts[case_id] = state.changed[case_id] = facts
            state.drafts.append((draft, stamp))
            state.orders.append((case_id, after_case(draft.type, facts), facts))
    return reading.command == "stop" or answer is not None


class Intake:
    """The use cases that work on stored cases."""

    def __init__(self, flow: AsyncEngine, web: AsyncEngine, outbox: Outbox, vault: Vault) -> None:
        """Take both engines, the outbox and the vault."""
        self._flow = flow
        self._web = web
        self._outbox = outbox
        self._vault = vault

    async def open_overdue(self, at: datetime, limit: int = 50) -> int:
        """Open submissions that no consumer opened in time, through the same decision."""
        async with self._flow.connect() as conn:
            due = await store.due_unopened(conn, at, limit)
        opened = 0
        for submission_id in due:
            try:
                async with self._flow.begin() as conn:
                    await self.open_in(conn, submission_id, at)
                opened += 1
            except Exception as error:  # noqa: BLE001  (one bad submission never stops the sweep)
                _log.error("opening-failed", error)
                async with self._flow.begin() as conn:
                    await store.put_off(conn, submission_id, at)
        return opened

    async def end_calls(self, at: datetime) -> int:
        """Take calls for finished of which nothing more was saved; return how many."""
        async with self._flow.begin() as conn:
            calls = await lock_left(conn, at)
            if calls:
                await make_received(conn, [call.submission.submission_id for call in calls], at)
                told = [(submitted(c.submission), Stamp(at, c.actor)) for c in calls]
                await self._outbox.append(conn, told)
        return len(calls)

    async def load(self, conn: AsyncConnection, submissions: Sequence[UUID]) -> Opening:
        """Lock submissions that are not open yet, and the cases that their texts may be about."""
        unopened = await store.lock_unopened(conn, submissions)
        texts = [k for k, one in unopened.items() if one.submission.channel in CONVERSATIONS]
        talks = await talks_of(conn, texts) if texts else {}
        cases = sorted({case_id for talk in talks.values() for case_id in talk.cases})
        facts = await store.lock_facts(conn, cases) if cases else {}
        calls = [key for key, one in unopened.items() if call_of(one.submission.report)]
        silences = await silences_of(conn, calls) if calls else {}
        opening = Opening(unopened, talks, silences, facts)
        for submission_id, waiting in unopened.items():
            named = excluded_of(waiting.submission.report)
            if named:
                opening.excluded[submission_id] = await with_ties(conn, named)
        return opening

    async def open_in(self, conn: AsyncConnection, submission_id: UUID, at: datetime) -> None:
        """Open one submission's cases inside the caller's transaction, if they are not open."""
        state = await self.load(conn, [submission_id])
        if submission_id in state.unopened:
            trace = state.unopened[submission_id].traceparent
            stamp = Stamp(at, "service:intake.sweep", trace)
            decide_opening(state, submission_id, self._vault, stamp)
        await self.save(conn, state, at)

    async def save(self, conn: AsyncConnection, state: Opening, at: datetime) -> None:
        """Store what was decided and its events."""
        store.save_opened(conn, state.opened)
        await keep_consents(conn, state.consents)
        await save_talks(conn, state.answers, state.stops, state.replies, at)
        store.save_cases(conn, sorted(state.changed.items()))
        await carry_out(conn, state.orders, by="service:intake.opener", at=at)
        await Pager(self._outbox).look(conn, state.orders, at)
        await self._outbox.append(conn, state.drafts)
        for submission_id, (_, opened) in state.opened.items():
            told = state.unopened[submission_id].submission
            if opened and not told.test:
                waited = (at - told.received_at).total_seconds()
                telemetry.TIME_TO_CASE.labels(told.channel).observe(max(0.0, waited))

    async def triage_in(
        self,
        conn: AsyncConnection,
        case_id: UUID,
        change: Triage,
        caller: Caller,
        version: int | None,
        at: datetime,
    ) -> store.CaseRow:
        """Apply a coordinator's triage; a case that nobody opened yet is opened first.

        Raises:
            NotFound: no such case for this caller. Stale: `version` is not the present one.
            Conflict: it is closed.

        """
        row, _ = must(caller, Verb.WORK, await store.find_case(conn, case_id), at)
        await self.open_in(conn, row.submission_id, at)
        row, _ = must(caller, Verb.WORK, await store.lock_case(conn, case_id), at)
        if row.facts is None:
            raise NotFound
        if version is not None and version != row.version:
            raise Stale(None, version=row.version)
        if change.excluded is not None:
            change = replace(change, excluded=await with_ties(conn, change.excluded))
        facts, draft = triage(case_id, row.facts, change)
        stamp = Stamp(at, caller.actor)
        drafts: list[tuple[Draft, Stamp]] = []
        if facts.age != row.facts.age:
            since = await store.received_at(conn, row.submission_id)
            turned = has_turned(row.facts.age, facts.age, since, at)
            facts, drafts = await look_again(conn, case_id, facts, stamp, turned=turned)
            draft = replace(draft, data=facts)
        store.save_cases(conn, [(case_id, facts)])
        await mark_seen(conn, case_id, at)
        if row.facts.urgency == Urgency.T0 and not row.facts.test:
            await debrief_later(conn, case_id, caller.actor, at)
        await self._outbox.append(conn, [*drafts, (draft, stamp)])
        orders = after_case(draft.type, facts)
        done = [(case_id, TRIAGED, facts), (case_id, orders, facts)]
        await carry_out(conn, done, by=caller.actor, at=at)
        if facts.excluded != row.facts.excluded:
            await let_go(conn, case_id, facts, caller.actor, at)
        found = await store.find_case(conn, case_id)
        if found is None:
            raise NotFound
        return found

    async def show_case(
        self, case_id: UUID, caller: Caller, at: datetime
    ) -> tuple[store.CaseRow, Allowed]:
        """Read one case, and how far the caller may see it.

        Raises:
            NotFound: there is none for this caller.

        """
        async with transaction(self._web, scope_of(caller, Verb.SEE, at)) as conn:
            row = await store.find_case(conn, case_id)
        return must(caller, Verb.SEE, row, at)
