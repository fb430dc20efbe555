"""Silence, purely: what a referral owes by when, and who is told, step by step, when it does not.

A referral is silent when what its state asks for does not happen in time. Then a person is told:
the coordinator, after a while the supervisor, then the district focal person, one event a step,
until what was silent happened or the referral ended. Never a committee, never for test traffic. All
of it lies in the referral, so that a timer only has to look: a step is taken once, whoever looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from services.referral.moments import astray
from services.referral.referral import Escalation, Referral, change
from shared.vocabulary import ReferralState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime, timedelta

    from services.referral.rules import Pace, Terms
    from services.referral.world import Change

_S = ReferralState


class Silence(StrEnum):
    """What did not happen in time."""

    RESPOND = "respond"  # two providers did not answer for the same need
    FIRST_CONTACT = "first_contact"  # somebody said yes, and nobody saw the person
    APPOINTMENT = "appointment"  # one was missed, or nobody said whether it was kept
    MILESTONE = "milestone"  # the next step of a long service is overdue
    REVIEW = "review"  # what rests was to be looked at
    QUIET = "quiet"  # whoever serves said nothing for long
    DELIVER = "deliver"
    NOBODY_SERVES = "nobody_serves"
    RELEASE = "release"  # the desk did not release, choose or call
    WAITLIST = "waitlist"  # the promised place did not come
    ACKNOWLEDGE = "acknowledge"  # who had it did not say that the withdrawal was heard


DUE: Final = "referral.due"
"""Kind of the one timer of a referral, which looks at it when something of it may be due."""

LADDER: Final = ("coordinator", "supervisor", "district_focal_person")
"""Who is told, in this order."""


@dataclass(frozen=True, slots=True)
class Step:
    """The next telling of a referral: when, what was silent, and who is told."""

    at: datetime
    silence: str
    to: str


_SERVING: Final = (Silence.APPOINTMENT, Silence.MILESTONE, Silence.QUIET, Silence.DELIVER)

_BY_STATE: Final[Mapping[str, tuple[str, ...]]] = {
    _S.PLANNED: (Silence.RELEASE,),
    _S.WAITING: (Silence.NOBODY_SERVES,),
    _S.ASSIGNED: (Silence.RESPOND,),
    _S.WAITLISTED: (Silence.WAITLIST,),
    _S.ACCEPTED: (Silence.FIRST_CONTACT, *_SERVING),
    _S.IN_SERVICE: _SERVING,
    _S.ON_HOLD: (Silence.REVIEW, *_SERVING),
    _S.WITHDRAWN: (Silence.ACKNOWLEDGE,),
    _S.ENTERED_IN_ERROR: (Silence.ACKNOWLEDGE,),
}


def silences_of(referral: Referral) -> tuple[str, ...]:
    """Return what a referral may be silent about in its state, in the order of its life."""
    over = set()
    if referral.awaits is None:
        over.add(Silence.RELEASE)
    if referral.first_contact_at is not None:
        over.add(Silence.FIRST_CONTACT)
    if not referral.unacknowledged:
        over.add(Silence.ACKNOWLEDGE)
    return tuple(s for s in _BY_STATE.get(referral.state, ()) if s not in over)


def settled(referral: Referral) -> Referral:
    """Return the referral without what no longer holds: what the desk was to do, a past silence.

    Everything that happens to a referral passes here, so nothing else has to think of it.
    """
    if referral.state != _S.PLANNED:
        referral = change(referral, suggested=None, awaits=None, awaits_since=None)
    return over(referral, set(Silence).difference(silences_of(referral)))


def over(referral: Referral, silences: Collection[str]) -> Referral:
    """Return the referral without these silences: if one begins again, people are told anew."""
    told = referral.escalation
    if told is not None and told.silence in silences:
        referral = change(referral, escalation=None)
    return change(referral, told_of=[s for s in referral.told_of if s not in silences])


def _has_day(referral: Referral) -> bool:
    """Whether it is known when something is to be heard again: silence is measured by that."""
    resting = referral.state == _S.ON_HOLD and referral.review_on is not None
    return resting or _next_step_due(referral) is not None


def _next_step_due(referral: Referral) -> str | None:
    """Return the day (ISO 8601) on which the next step of a long service is due, if it has one."""
    return referral.milestones[-1].due_on if referral.milestones else None


_SETTLES: Final = frozenset({"planned", "kept"})


def _appointment_over(referral: Referral, pace: Pace) -> datetime | None:
    """Return when somebody must ask about an appointment: missed, or never spoken of again.

    A missed one that another was planned after, or that was followed by a kept one, is settled.
    """
    settled_at = max((a.at for a in referral.appointments if a.state in _SETTLES), default=None)
    asked = [
        a.at if a.state == "missed" else pace.due(a.at, pace.escalate_within)
        for a in referral.appointments
        if a.state == "planned"
        or (a.state == "missed" and (settled_at is None or settled_at <= a.at))
    ]
    return min(asked, default=None)


def _waitlist_over(referral: Referral, pace: Pace) -> datetime | None:
    waiting = referral.waiting
    if waiting is None:
        return None
    if waiting.expected_on is not None:
        return pace.end_of_day(waiting.expected_on)
    return pace.due(waiting.since, pace.waitlist_within)


def _end_of(day: str | None, pace: Pace) -> datetime | None:
    return None if day is None else pace.end_of_day(day)


def _after(at: datetime | None, within: timedelta, pace: Pace) -> datetime | None:
    return None if at is None else pace.due(at, within)


_BEGINS: Final[Mapping[str, Callable[[Referral, Pace], datetime | None]]] = {
    Silence.RELEASE: lambda r, pace: _after(r.awaits_since, pace.assign_within, pace),
    Silence.NOBODY_SERVES: lambda r, _: r.waiting.since if r.waiting else None,
    Silence.WAITLIST: _waitlist_over,
    Silence.FIRST_CONTACT: lambda r, _: r.first_contact_by,
    Silence.APPOINTMENT: _appointment_over,
    Silence.MILESTONE: lambda r, pace: _end_of(_next_step_due(r), pace),
    Silence.REVIEW: lambda r, pace: _end_of(r.review_on, pace),
    Silence.QUIET: lambda r, pace: (
        None if _has_day(r) else _after(r.heard_at, pace.quiet_within, pace)
    ),
    Silence.DELIVER: lambda r, _: r.deliver_by,
    Silence.ACKNOWLEDGE: lambda r, pace: _after(r.withdrawn_at, pace.acknowledge_within, pace),
}


def begins(referral: Referral, silence: str, pace: Pace) -> datetime | None:
    """Return when a referral counts as silent about something; None: not by a clock.

    An unanswered offer ends (`respond_by`) and the need goes to the next, so people are told of it
    when that has happened twice, not by a clock of its own.
    """
    found = _BEGINS.get(silence)
    return found(referral, pace) if found is not None else None


def above(told: str | None) -> str | None:
    """Return who is told after this one; the first for None, None above the last."""
    place = LADDER.index(told) + 1 if told in LADDER else 0
    return LADDER[place] if place < len(LADDER) else None


def next_step(referral: Referral, pace: Pace) -> Step | None:
    """Return the next telling: up the ladder of what is silent, or the first of what comes next.

    A missed first contact is told whatever else was before: another offer follows from it.
    """
    told, silences, steps = referral.escalation, silences_of(referral), list[Step]()
    if told is not None and told.silence in silences:
        to = above(told.to)
        if to is not None:
            steps.append(Step(pace.due(told.at, pace.escalate_within), told.silence, to))
        later = silences[silences.index(told.silence) + 1 :]
        silences = (*set(silences).intersection({Silence.FIRST_CONTACT} - {told.silence}), *later)
    for silence in silences:
        at = begins(referral, silence, pace)
        if at is not None and silence not in referral.told_of:
            steps.append(Step(at, silence, LADDER[0]))
    return min(steps, key=lambda step: step.at, default=None)


def next_look(referral: Referral, terms: Terms, at: datetime) -> datetime | None:
    """Return when a timer must look at a referral again, seen from `at`; None: never."""
    if referral.test:
        return None
    if astray(referral, at):
        return at
    step = next_step(referral, terms.paces[referral.urgency])
    times = [] if step is None else [step.at]
    if referral.state == _S.ASSIGNED and referral.respond_by is not None:
        times.append(referral.respond_by)
    if referral.state == _S.WAITING:
        times.append(at + terms.retry_waiting_within)
    return min(times, default=None)


def escalate(referral: Referral, silence: str, to: str, at: datetime, made: Change) -> Referral:
    """Tell somebody that a referral is silent: one `referral-escalated`."""
    told = Escalation(silence=silence, to=to, at=at)
    told_of = [*referral.told_of, silence] if silence not in referral.told_of else referral.told_of
    referral = change(referral, escalation=told, told_of=told_of)
    return made.happen("referral-escalated", referral)


def climb(referral: Referral, terms: Terms, at: datetime, made: Change) -> Referral | None:
    """Take the next step if its time has come, one at a time; return the referral after it."""
    step = next_step(referral, terms.paces[referral.urgency])
    if referral.test or step is None or step.at > at:
        return None
    return escalate(referral, step.silence, step.to, at, made)
