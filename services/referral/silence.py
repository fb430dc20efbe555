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

from services.referral.referral import Escalation, Referral, change
from shared.vocabulary import ReferralState

if TYPE_CHECKING:
    from datetime import datetime

    from services.referral.rules import Pace, Terms
    from services.referral.world import Change

_S = ReferralState


class Silence(StrEnum):
    """What did not happen in time."""

    RESPOND = "respond"  # two providers did not answer for the same need
    FIRST_CONTACT = "first_contact"  # somebody said yes, and nobody saw the person
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


def silences_of(referral: Referral) -> tuple[str, ...]:
    """Return what a referral may be silent about in its state, in the order of its life."""
    match referral.state:
        case _S.PLANNED if referral.awaits is not None:
            return (Silence.RELEASE,)
        case _S.WAITING:
            return (Silence.NOBODY_SERVES,)
        case _S.ASSIGNED:
            return (Silence.RESPOND,)
        case _S.WAITLISTED:
            return (Silence.WAITLIST,)
        case _S.ACCEPTED if referral.first_contact_at is None:
            return (Silence.FIRST_CONTACT, Silence.DELIVER)
        case _S.ACCEPTED | _S.IN_SERVICE | _S.ON_HOLD:
            return (Silence.DELIVER,)
        case _S.WITHDRAWN if referral.unacknowledged:
            return (Silence.ACKNOWLEDGE,)
    return ()


def settled(referral: Referral) -> Referral:
    """Return the referral without what no longer holds: what the desk was to do, a past silence.

    Everything that happens to a referral passes here, so nothing else has to think of it.
    """
    if referral.state != _S.PLANNED:
        referral = change(referral, suggested=None, awaits=None, awaits_since=None)
    told = referral.escalation
    if told is not None and told.silence not in silences_of(referral):
        referral = change(referral, escalation=None)
    return referral


def begins(referral: Referral, silence: str, pace: Pace) -> datetime | None:
    """Return when a referral counts as silent about something; None: not by a clock.

    An unanswered offer ends (`respond_by`) and the need goes to the next, so people are told of it
    when that has happened twice, not by a clock of its own.
    """
    waiting = referral.waiting
    match silence:
        case Silence.RELEASE if referral.awaits_since is not None:
            return pace.due(referral.awaits_since, pace.assign_within)
        case Silence.NOBODY_SERVES if waiting is not None:
            return waiting.since
        case Silence.WAITLIST if waiting is not None and waiting.expected_on is not None:
            return pace.end_of_day(waiting.expected_on)
        case Silence.WAITLIST if waiting is not None:
            return pace.due(waiting.since, pace.waitlist_within)
        case Silence.FIRST_CONTACT:
            return referral.first_contact_by
        case Silence.DELIVER:
            return referral.deliver_by
        case Silence.ACKNOWLEDGE if referral.withdrawn_at is not None:
            return pace.due(referral.withdrawn_at, pace.acknowledge_within)
    return None


def above(told: str | None) -> str | None:
    """Return who is told after this one; the first for None, None above the last."""
    place = LADDER.index(told) + 1 if told in LADDER else 0
    return LADDER[place] if place < len(LADDER) else None


def next_step(referral: Referral, pace: Pace) -> Step | None:
    """Return the next telling: up the ladder of what is silent, or the first of what comes next."""
    told, silences = referral.escalation, silences_of(referral)
    steps: list[Step] = []
    if told is not None and told.silence in silences:
        to = above(told.to)
        if to is not None:
            steps.append(Step(pace.due(told.at, pace.escalate_within), told.silence, to))
        silences = silences[silences.index(told.silence) + 1 :]
    for silence in silences:
        at = begins(referral, silence, pace)
        if at is not None:
            steps.append(Step(at, silence, LADDER[0]))
    return min(steps, key=lambda step: step.at, default=None)


def next_look(referral: Referral, terms: Terms, at: datetime) -> datetime | None:
    """Return when a timer must look at a referral again, seen from `at`; None: never."""
    if referral.test:
        return None
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
    return made.happen("referral-escalated", change(referral, escalation=told))


def climb(referral: Referral, terms: Terms, at: datetime, made: Change) -> Referral | None:
    """Take the next step if its time has come, one at a time; return the referral after it."""
    step = next_step(referral, terms.paces[referral.urgency])
    if referral.test or step is None or step.at > at:
        return None
    return escalate(referral, step.silence, step.to, at, made)
