"""A case against a model: whatever people do in whatever order, the same rules hold."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.intake.casework import handover
from services.intake.casework.course import (
    CHECK,
    FOLLOW_UP,
    Contact,
    Done,
    Finding,
    Goal,
    Reopening,
    agree_plan,
    assess,
    assign,
    fall_due,
    make_safety_plan,
    next_steps,
    record_contact,
    reopen,
    verify,
)
from services.intake.casework.kin import Found, split
from services.intake.casework.review import Closing, ClosingReason, close
from services.intake.casework.risk import Assessed, Risk
from shared.errors import Conflict, Forbidden
from shared.events import CaseFacts
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.events import Draft

CASE = UUID(int=1)
TODAY = date(2026, 11, 25)
_PEOPLE = st.sampled_from(["w1", "w2", "coordinator:w1", "s1", "named"])


class Case(RuleBasedStateMachine):
    """Does anything in any order, and compares with what the model says must have happened.

    The model is small: is it open, closed; who has it; is there a risk; was there a proposal.
    """

    def __init__(self) -> None:
        super().__init__()
        self.facts = CaseFacts(
            report_id=UUID(int=2),
            channel="web",
            urgency="T1",
            excluded=["named"],
            needs=["shelter"],
        )
        self.open = True
        self.worker: str | None = None
        self.risk: str | None = None
        self.offered: str | None = None
        self.accepted = False
        self.reopened = 0
        self.proposed: Closing | None = None
        self.split = False
        self.history: list[Draft] = []

    def do(self, step: Callable[[], Done], *, allowed: bool) -> Done | None:
        """Take a step that the model allows or not; nothing happens when it does not."""
        try:
            done = step()
        except Conflict:
            assert not allowed
            return None
        assert allowed
        self.facts = done.facts
        self.history += done.drafts
        return done

    @rule(worker=_PEOPLE, supervisor=_PEOPLE)
    def assign(self, worker: str, supervisor: str) -> None:
        two = worker.rpartition(":")[2] != supervisor.rpartition(":")[2]
        allowed = self.open and two and "named" not in (worker, supervisor)
        if self.do(lambda: assign(CASE, self.facts, worker, supervisor), allowed=allowed):
            self.worker = worker

    @rule(finding=st.sampled_from(list(Finding)))
    def verify(self, finding: Finding) -> None:
        self.do(lambda: verify(CASE, self.facts, str(finding), "visit"), allowed=self.open)

    @rule(risk=st.sampled_from(list(Risk)), lowered=st.booleans())
    def assess(self, risk: Risk, lowered: bool) -> None:  # noqa: FBT001
        found = Assessed(risk, (), "x", lowered)
        allowed = self.open and self.worker is not None
        if self.do(lambda: assess(CASE, self.facts, found), allowed=allowed):
            self.risk = str(risk)

    @rule()
    def make_safety_plan(self) -> None:
        allowed = self.open and self.worker is not None
        self.do(lambda: make_safety_plan(CASE, self.facts), allowed=allowed)

    @rule(days=st.integers(-2, 90), need=st.sampled_from(["shelter", "legal_aid"]))
    def agree(self, days: int, need: str) -> None:
        goals = [Goal(need, "w1", TODAY + timedelta(days=days))]
        allowed = self.open and self.worker is not None and self.risk is not None and days >= 0
        self.do(lambda: agree_plan(CASE, self.facts, goals, TODAY), allowed=allowed)

    @rule(result=st.sampled_from(["reached", "no_answer", "unsafe"]))
    def contact(self, result: str) -> None:
        before = self.facts
        made = Contact("person", "phone", result)
        self.do(lambda: record_contact(CASE, self.facts, made), allowed=True)
        assert self.facts == before

    @rule(kind=st.sampled_from([FOLLOW_UP, CHECK]))
    def time_passes(self, kind: str) -> None:
        done = fall_due(CASE, self.facts, kind, TODAY)
        assert (done is not None) is (self.open if kind == FOLLOW_UP else not self.open)
        assert done is None or done.facts == self.facts

    @rule(to=st.sampled_from(["centre-b", "named"]))
    def offer(self, to: str) -> None:
        allowed = self.open and self.offered is None and not self.accepted and to != "named"
        if self.do(lambda: handover.offer(CASE, self.facts, to), allowed=allowed):
            self.offered = to

    @rule(to=st.sampled_from(["centre-b", "centre-c"]), yes=st.booleans())
    def answer(self, to: str, yes: bool) -> None:  # noqa: FBT001
        state = handover.ACCEPTED if yes else handover.DECLINED
        allowed = self.open and self.offered == to
        if self.do(lambda: handover.answer(CASE, self.facts, to, state), allowed=allowed):
            self.offered, self.accepted = None, yes

    @rule(
        reason=st.sampled_from(list(ClosingReason)),
        by=st.sampled_from(["w1", "s1"]),
        role=st.sampled_from([Role.COORDINATOR, Role.SUPERVISOR]),
    )
    def close(self, reason: ClosingReason, by: str, role: Role) -> None:
        """At T1 it takes two persons, the second a supervisor, and one reason.

        It is handed over only to somebody who accepted.
        """
        elsewhere = reason in (ClosingReason.HANDED_OVER, ClosingReason.TURNED_18_HANDED_OVER)
        try:
            done = close(
                CASE, self.facts, reason, by=by, role=role, attempts=(), proposed=self.proposed
            )
        except (Conflict, Forbidden):
            same = self.proposed is not None and (
                self.proposed.by == by or self.proposed.reason != reason
            )
            assert not self.open or same or (elsewhere and not self.accepted)
            return
        assert self.open
        assert self.accepted or not elsewhere
        if isinstance(done, Closing):
            assert role is not Role.SUPERVISOR or self.proposed is None
            self.proposed = done
            return
        assert self.proposed is not None
        assert self.proposed.by != by
        assert role is Role.SUPERVISOR
        self.facts, self.open, self.proposed = done[0], False, None
        self.history.append(done[1])

    @rule(reason=st.sampled_from(list(Reopening)))
    def reopen(self, reason: Reopening) -> None:
        allowed = not self.open
        if self.do(lambda: reopen(CASE, self.facts, str(reason)), allowed=allowed):
            self.open = True
            self.reopened += 1
            self.offered, self.accepted = None, False
            if reason is Reopening.RETURNED_TO_HARM:
                self.risk = "high"

    @precondition(lambda self: not self.split)
    @rule(found=st.integers(1, 4))
    def divide(self, found: int) -> None:
        try:
            made = split(CASE, self.facts, [Found()] * found, [uuid4()] * (found - 1), {})
        except Conflict:
            assert not self.open or found == 1
            return
        assert self.open
        assert found > 1
        self.facts, self.split = made.facts, True
        self.history += [d for d in made.drafts if d.subject == str(CASE)]

    @invariant()
    def the_facts_are_what_the_model_says(self) -> None:
        assert (self.facts.status in ("open", "review_due")) is self.open
        work = self.facts.work
        assert (work.worker, work.risk, work.reopened) == (self.worker, self.risk, self.reopened)
        assert work.handover == (
            "offered" if self.offered else "accepted" if self.accepted else None
        )
        assert bool(work.split_into) is self.split

    @invariant()
    def what_is_said_to_come_next_can_be_done(self) -> None:
        steps = next_steps(self.facts)
        assert ("reopen" in steps) is not self.open
        assert ("plan" in steps) is (
            self.open and self.worker is not None and self.risk is not None
        )

    @invariant()
    def every_event_carries_all_and_is_about_the_case(self) -> None:
        if not self.history:
            return
        last = self.history[-1]
        assert {draft.subject for draft in self.history} == {str(CASE)}
        data: CaseFacts = last.data  # type: ignore[assignment]
        plain = msgspec.structs.replace(data, step=None, reason=None)
        known = msgspec.structs.replace(self.facts, reason=None)
        assert plain == known or last.type in ("contact-recorded", "case-closed")


TestCase = Case.TestCase
TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
