"""Any course of a referral beside a model of it, under a clock that runs right, ahead or behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.referral import domain
from services.referral.answers import fall_due, follow
from services.referral.consumers import NeedRule, Taken
from services.referral.desk import release
from services.referral.domain import Actor, Order
from services.referral.silence import LADDER, above, next_look
from shared.clock import AHEAD, new_event_id
from shared.errors import Conflict, Forbidden
from shared.events import Event
from shared.outbox import Stamp
from shared.vocabulary import Role
from tests.support.course import BY_DESK, NEXT, OVER, SERVES, Attempt, Course, pace_of
from tests.support.referrals import AT, DESK, FIELDS, facts, offer, world

if TYPE_CHECKING:
    from services.referral.referral import Referral
    from services.referral.service import Referrals
    from services.referral.world import Case, Change

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MOST = 100
"""Timers that fire at one moment, at most: each is set anew for later."""

WORDS = sorted(
    {word for words in NEXT.values() for word in words} | {"release", "acknowledge", "contact"}
)
AREAS = {"near": {}, "far": {"code": "BD3026"}, "third": {"code": "BD30"}}
LEVELS = {"near": "upazila", "far": "district", "third": "division"}
WHY = {"superseded": "superseded", "named": "excluded", None: None}


def _order(word: str, at: datetime) -> Order:
    verb = {
        "list": "accept",
        "part": "deliver",
        "onward": "refer-onward",
        "acknowledge": "acknowledge-withdrawal",
    }.get(word, word)
    given = FIELDS | {"need": "legal_aid", "offer_id": None, "waitlisted": word == "list"}
    given |= {"how_much": "part" if word == "part" else "all", "at": at}
    return Order(verb, reason="no_capacity", fields=given)


class Referrals_(RuleBasedStateMachine):  # noqa: N801  (beside the service's own)
    """Two cases that want the same one place, three offers, one clock, and one timer a referral."""

    def __init__(self) -> None:
        super().__init__()
        self.true, self.off = AT, timedelta()
        self.righted = AT
        self.here = world(
            offer("near", places_free=1, capacity_at=AT),
            *(
                replace(offer(key, LEVELS[key], AREAS[key]["code"]), needs=frozenset(SERVES[key]))
                for key in ("far", "third")
            ),
        )
        for area in ("BD3026", "BD30"):
            ids = self.here.by_area[("medical", area)]
            self.here.by_area[("legal_aid", area)] = list(ids)
        self.courses: dict[UUID, Course] = {}
        self.twin: dict[UUID, Attempt] = {}
        self.timers: dict[UUID, tuple[datetime, datetime]] = {}
        self.told: dict[UUID, datetime] = {}
        self.sequence = 1

    @initialize(trusted=st.tuples(st.booleans(), st.booleans()))
    def begin(self, trusted: tuple[bool, bool]) -> None:
        places = {"near": 1}
        for number, entitled in enumerate(trusted):
            case_id = UUID(int=number)
            self.courses[case_id] = Course(entitled, places)
            self._hear(case_id, "case-created", facts(entitled=entitled))
            self.courses[case_id].plan("medical")
            self._pair(case_id)

    # --- the real thing -------------------------------------------------------------------------

    @property
    def clock(self) -> datetime:
        return self.true + self.off

    def _keep(self, done: Change) -> None:
        """Keep the timers of a change, as the service does."""
        for key, one in (done.looked | done.referrals).items():
            due = next_look(one, self.here.terms(one.need, self.clock), self.clock)
            self.timers.pop(key, None)
            if due is not None:
                self.timers[key] = (due, self.clock)
        for happened in done.happenings:
            if happened.type == "referral-escalated":
                self.told[happened.referral.referral_id] = self.true

    def _hear(self, case_id: UUID, kind: str, told: Any) -> None:
        event = Event(
            new_event_id(),
            "/intake",
            kind,
            str(case_id),
            self.clock,
            self.sequence,
            "x",
            None,
            told,
        )
        self.sequence += 1
        service: Referrals = None  # type: ignore[assignment]  # a decision needs none
        taken = Taken(self.here)
        NeedRule(service, "medical").decide(taken, event, Stamp(self.clock, "service:test"))
        for done, _ in taken.made:
            self._keep(done)

    def _now(self, key: UUID) -> Referral:
        return next(mine[key] for mine in self.here.referrals.values() if key in mine)

    def _case(self, one: Referral) -> Case:
        return self.here.cases[one.case_id]

    def _act(self, one: Referral, word: str) -> str:
        order = _order(word, self.clock)
        named = one.reason == "excluded" and word == "acknowledge"
        who = Actor(Role.PROVIDER_SYSTEM, "x", one.provider_id or "near")
        actor = DESK if word in BY_DESK or named else who
        try:
            if not domain.check(one, order, actor):
                return "again"
            if word == "release":
                done = release(self.here, self._case(one), one, None, DESK.name, self.clock)
            else:
                done = follow(self.here, self._case(one), one, order, self.clock)
        except Forbidden:
            return "not yours"
        except Conflict:
            return "conflict"
        self.here.take(done)
        self._keep(done)
        return "done" if done.happenings else "again"

    # --- side by side ---------------------------------------------------------------------------

    def _pair(self, case_id: UUID) -> None:
        """Pair each referral with its attempt in the model, in their order."""
        course = self.courses[case_id]
        for need in ("medical", "legal_aid"):
            mine, modelled = self.here.of(case_id, need), course.of(need)
            assert len(mine) == len(modelled), (need, mine, modelled)
            self.twin |= {r.referral_id: a for r, a in zip(mine, modelled, strict=True)}

    def _course(self, case_id: UUID) -> Course:
        course = self.courses[case_id]
        course.clock, course.true = self.clock, self.true
        return course

    @rule(data=st.data(), sense=st.integers(0, 5))
    def say(self, data: st.DataObject, sense: int) -> None:
        """Say any word to any referral; mostly one that makes sense to one that lives."""
        keys = sorted(self.twin, key=lambda k: (self._now(k).case_id, self._now(k).need, k))
        live = [key for key in keys if self._now(key).state not in OVER]
        one = self._now(data.draw(st.sampled_from(live if live and sense else keys)))
        course, twin = self._course(one.case_id), self.twin[one.referral_id]
        words = [word for word in WORDS if course.outcome(twin, word) == "done"]
        word = data.draw(st.sampled_from(words if words and sense else WORDS))
        expected = course.outcome(twin, word)
        if expected == "done":
            expected = course.say(twin, word)
        assert self._act(one, word) == expected
        self._pair(one.case_id)
        self._tick()

    @rule(provider=st.sampled_from(sorted(SERVES)), which=st.integers(0, 1))
    def name(self, provider: str, which: int) -> None:
        case_id = sorted(self.courses)[which]
        course = self._course(case_id)
        course.name(provider)
        told = facts(entitled=course.trusted, excluded=sorted(course.excluded))
        self._hear(case_id, "case-updated", told)
        self._pair(case_id)
        self._tick()

    def _tick(self) -> None:
        """Fire what is due, as the loop of timers does, until nothing is."""
        fired = 0
        while due := sorted(
            (at, key)
            for key, (at, set_at) in self.timers.items()
            if at <= self.clock or set_at > self.clock + AHEAD
        ):
            assert (fired := fired + 1) < MOST, "a timer fires for ever"
            key = due[0][1]
            del self.timers[key]
            one = self._now(key)
            done = fall_due(self.here, self._case(one), one, self.clock)
            first = any(
                h.referral.referral_id == key
                and h.referral.escalation is not None
                and (h.referral.escalation.silence, h.referral.escalation.to)
                == ("first_contact", LADDER[0])
                for h in done.happenings
                if h.type == "referral-escalated"
            )
            self.here.take(done)
            self._keep(done)
            self._course(one.case_id).look(self.twin[key], told_first=first)
            self._pair(one.case_id)

    @rule(hours=st.sampled_from([1, 3, 12, 25, 80, 400, 24 * 370]))
    def wait(self, hours: int) -> None:
        end = self.true + hours * HOUR
        for _ in range(200):  # step by step, as long as anything is due before
            following = min((at for at, _ in self.timers.values()), default=None)
            if following is None or following - self.off > end:
                break
            self.true = max(self.true, following - self.off)
            self._tick()
        self.true = end
        self._tick()

    @precondition(lambda self: not self.off)
    @rule(off=st.sampled_from([DAY, -DAY, 365 * DAY, HOUR, -365 * DAY]))
    def go_wrong(self, off: timedelta) -> None:
        self.off = off
        self._tick()

    @precondition(lambda self: self.off)
    @rule()
    def go_right(self) -> None:
        self.off, self.righted = timedelta(), self.true
        self._tick()

    # --- what always holds ----------------------------------------------------------------------

    @invariant()
    def both_say_the_same(self) -> None:
        for key, twin in self.twin.items():
            one = self._now(key)
            seen = (one.state, one.provider_id, one.reserved, one.first_contact_at is not None)
            assert seen == (twin.state, twin.offer, twin.holds, twin.contacted), (one, twin)
            assert (one.acknowledged_at is not None) == twin.acknowledged
            if twin.why is not None and one.state == "withdrawn":
                assert one.reason == WHY[twin.why]
        if self.courses:
            assert (
                self.here.offers["near"].places_free
                == next(iter(self.courses.values())).places["near"]
            )

    @invariant()
    def one_provider_serves_and_no_place_is_given_twice(self) -> None:
        for case_id, course in self.courses.items():
            for need in ("medical", "legal_aid"):
                live = [r for r in self.here.of(case_id, need) if r.state not in OVER]
                assert len([r for r in live if r.first_contact_at]) <= 1
                assert len({r.offer_id for r in live if r.offer_id}) == len(
                    [r for r in live if r.offer_id]
                )
            assert course.places["near"] >= 0
        held = sum(r.reserved for mine in self.here.referrals.values() for r in mine.values())
        assert (self.here.offers["near"].places_free or 0) + held == 1

    @invariant()
    def nothing_is_late_by_a_right_clock(self) -> None:
        """What is owed is acted on in its time, counted from when the clock was right again."""
        if self.off:
            return
        for key, twin in self.twin.items():
            one, pace = self._now(key), pace_of(twin.need)
            since = max(twin.since, self.righted)
            if one.state == "assigned":
                assert self.true < pace.due(since, pace.respond_within), one
            if one.state == "accepted" and not twin.contacted and not twin.parallel:
                assert self.true < pace.due(since, pace.first_contact_within), one
            if one.state == "planned" and one.escalation is None:
                assert self.true < pace.due(since, pace.assign_within), one
            told = one.escalation
            if told is not None and above(told.to) is not None:
                last = max(self.told[key], self.righted)
                assert self.true < pace.due(last, pace.escalate_within), one


Referrals_.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestReferrals = Referrals_.TestCase
