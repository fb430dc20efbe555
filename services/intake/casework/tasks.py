"""What comes before a person of the desk, purely: which event opens a task, and which ends one.

A task is one thing that a named person must do or know. No machine ends a case; a machine ends a
task only when what it was about has happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from shared.vocabulary import ReferralState, Urgency

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from shared.events import CaseFacts, NoticeFacts, ReferralFacts

COORDINATOR: Final = "coordinator"
SUPERVISOR: Final = "supervisor"
SAFEGUARDING: Final = "safeguarding_focal_person"
LEVELS: Final = (COORDINATOR, SUPERVISOR, "district_focal_person", SAFEGUARDING)
"""Whom a task may be before."""

NO_ONE: Final = UUID(int=0)
"""What a task is about when it is about the whole case."""

_S = ReferralState
_URGENT: Final = (Urgency.T0, Urgency.T1)
_NEVER_SENT: Final = ("test", "stale", "repeated")
"""Reasons of a withheld notice that nobody has to do anything about."""

PROVIDER_NOT_TOLD: Final = "provider_not_told"
"""Kind of the task when a provider was not told, or perhaps not, of what it must act on."""

_TO_ACT_ON: Final = ("referral-assigned", "referral-withdrawn")
"""What a provider must hear of: it is to answer, or to stop. The rest it did itself."""

_NOT_FOR_IT: Final = (*_NEVER_SENT, "taken", "conflict", "subscription-deleted")
"""Reasons of a notice that a provider did not get and nobody has to do anything about."""

_NEEDS_NO_OTHER: Final = (*_NEVER_SENT, "taken", "at-desk")
"""Reasons of a withheld page for which nobody else is paged sooner."""

_BY_HAND: Final = {"release": "release", "choose": "choose_offer", "call": "call_office"}
_BEFORE_GOING_OUT: Final = (*_BY_HAND.values(), "nobody_serves", "release_late")
_OUT: Final = (_S.ASSIGNED, _S.ACCEPTED, _S.WAITLISTED, _S.IN_SERVICE, _S.ON_HOLD)
_FINAL: Final = (_S.DECLINED, _S.EXPIRED, _S.DELIVERED, _S.FAILED, _S.WITHDRAWN)
ASK_AT_18: Final = "ask_again_at_18"
"""Kind of the task to ask whoever has turned 18 for a consent of their own."""

CONTACT_BOUNCED: Final = "contact_bounced"
"""Kind of the task to find out how a person is reached; until it is done, no machine writes."""

_OF_THE_NUMBER: Final = ("bad-number", "opted-out", "bounced")
"""Reasons of a failed notice that say that nobody is reached by this number."""

SILENCE_BESIDE: Final = "silence_beside"
"""Kind of the task of who is told of a silence at once beside the level that it came before."""

TELL_RECEIVER: Final = "tell_receiver"
"""Kind of the task when what a packet for another centre rests on was taken back."""

UNACKNOWLEDGED: Final = "withdrawal_unacknowledged"
"""Kind of the task when a provider did not say that it heard of a withdrawal."""

_SILENCES: Final = {
    "respond": "no_answer",
    "first_contact": "no_first_contact",
    "deliver": "not_delivered",
    "nobody_serves": "nobody_serves",
    "release": "release_late",
    "waitlist": "waitlisted_long",
    "acknowledge": UNACKNOWLEDGED,
}
_ENDS_SILENCE: Final = {
    _S.ACCEPTED: ("no_answer", "waitlisted_long"),
    _S.WAITLISTED: ("no_answer",),
    _S.IN_SERVICE: ("no_answer", "no_first_contact", "waitlisted_long"),
    _S.ON_HOLD: ("no_answer", "no_first_contact"),
}


@dataclass(frozen=True, slots=True)
class Task:
    """A task to open, or to bring to a higher level. `about` is a referral's or a notice's id."""

    kind: str
    about: UUID = NO_ONE
    urgency: str | None = None
    level: str = COORDINATOR
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Orders:
    """What an event does to the desk: tasks to open, and (kind, about) to end, None for any."""

    opens: tuple[Task, ...] = ()
    ends: tuple[tuple[str | None, UUID | None], ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.opens or self.ends)


def after_referral(
    event_type: str, facts: ReferralFacts, beside: Mapping[str, Collection[str]] | None = None
) -> Orders:
    """Say what an event of a referral does: what is planned needs hands, silence needs a person.

    `beside` names for an urgency the levels that are told of a silence at once, beside the one that
    it comes before.
    """
    if facts.test:
        return Orders()
    about = facts.referral_id
    state = ReferralState(facts.state) if facts.state in set(ReferralState) else None
    opens = []
    ends: set[str] = set()
    if state in _OUT or state in _FINAL:
        ends.update(_BEFORE_GOING_OUT)
    if state in _FINAL:
        ends.update(_SILENCES.values())
    ends.update(_ENDS_SILENCE.get(state, ()) if state else ())
    if event_type == "first-contact-made":
        ends.add("no_first_contact")
    heard = set(LEVELS) if ends & set(_SILENCES.values()) else set()
    if event_type not in _TO_ACT_ON and (state in _OUT or state in _FINAL):
        ends.add(PROVIDER_NOT_TOLD)
    if state is _S.PLANNED:
        ends.add("nobody_serves")
        hand = _BY_HAND.get(facts.awaits or "")
        ends.update(kind for kind in _BY_HAND.values() if kind != hand)
        if hand is not None:
            opens.append(Task(hand, about, facts.urgency, detail=facts.need))
    if event_type == "referral-waiting":
        opens.append(Task("nobody_serves", about, facts.urgency, detail=facts.need))
    if event_type == "referral-escalated":
        kind = _SILENCES.get(facts.silence or "", "no_answer")
        ends.discard(kind)
        level = facts.escalated_to or COORDINATOR
        opens.append(Task(kind, about, facts.urgency, level, facts.need))
        heard = set(LEVELS[: LEVELS.index(level) + 1]) if level in LEVELS else set()
        opens += [
            Task(SILENCE_BESIDE, uuid5(about, other), facts.urgency, other, facts.need)
            for other in (beside or {}).get(facts.urgency or "", ())
            if other not in heard
        ]
    return Orders(
        tuple(opens),
        (
            *((kind, about) for kind in sorted(ends)),
            *((SILENCE_BESIDE, uuid5(about, level)) for level in sorted(heard)),
        ),
    )


def after_erasure(event_type: str, facts: ReferralFacts) -> Orders:
    """Say what an event of a referral does when its case is erased: only the hearing of it is left.

    Who had the referral must still say that it ended.
    """
    found = after_referral(event_type, facts)
    return Orders(
        tuple(task for task in found.opens if task.kind == UNACKNOWLEDGED),
        tuple(end for end in found.ends if end[0] == UNACKNOWLEDGED),
    )


def without_going_out(found: Orders) -> Orders:
    """Leave out what would send somebody to a place of help: a closed case asks nobody any more.

    What referral decided before it heard of the closing comes after it.
    """
    opens = tuple(task for task in found.opens if task.kind not in _BEFORE_GOING_OUT)
    return Orders(opens, found.ends)


def after_notice(event_type: str, facts: NoticeFacts, urgency: str | None) -> Orders:
    """Say what a notice does: withheld, failed or unknown, at T0 and T1 it needs an owner."""
    if was_not_reached(event_type, facts):
        return Orders(
            (Task("page_not_sent", urgency=urgency, level=SUPERVISOR, detail=facts.reason),)
        )
    if facts.recipient == "provider":
        return _after_provider_notice(event_type, facts, urgency)
    if facts.recipient == "person" and not facts.test:
        return _after_person_notice(event_type, facts, urgency)
    return Orders()


def _after_person_notice(event_type: str, facts: NoticeFacts, urgency: str | None) -> Orders:
    """Say what a notice to whom a case is about does.

    What is withheld is one task a case: that a person must reach this person. A number that does
    not reach the person needs one at any urgency. Once an unknown one is known its task ends.
    """
    if event_type in ("notice-sent", "notice-delivered"):
        return Orders(ends=(("notice_unknown", facts.notice_id),))
    if event_type == "notice-failed" and facts.reason in _OF_THE_NUMBER:
        return Orders(
            (Task(CONTACT_BOUNCED, urgency=urgency, detail=facts.reason),),
            (("notice_unknown", facts.notice_id),),
        )
    if urgency not in _URGENT:
        return Orders()
    if event_type == "notice-withheld" and facts.reason not in _NEVER_SENT:
        return Orders((Task("notice_withheld", urgency=urgency, detail=facts.reason),))
    if event_type == "notice-failed":
        kind = "notice_unknown" if facts.state == "unknown" else "notice_failed"
        known = () if facts.state == "unknown" else (("notice_unknown", facts.notice_id),)
        return Orders((Task(kind, facts.notice_id, urgency, detail=facts.reason),), known)
    return Orders()


def _after_provider_notice(event_type: str, facts: NoticeFacts, urgency: str | None) -> Orders:
    """Say what a notice to a provider's system or workers does: one task a referral.

    It ends when any notice of the referral was sent, and with what the provider does.
    """
    if facts.test or facts.referral_id is None:
        return Orders()
    if event_type in ("notice-sent", "notice-delivered"):
        return Orders(ends=((PROVIDER_NOT_TOLD, facts.referral_id),))
    untold = event_type in ("notice-failed", "notice-withheld")
    if not untold or urgency not in _URGENT or facts.about_type not in _TO_ACT_ON:
        return Orders()
    if facts.reason in _NOT_FOR_IT:
        return Orders()
    task = Task(PROVIDER_NOT_TOLD, facts.referral_id, urgency, detail=facts.reason)
    return Orders((task,))


def asks_nobody(facts: NoticeFacts) -> bool:
    """Say whether a notice to a provider's workers ended before it was asked who they are.

    Then it is about nobody when the provider has none here: it hears by its system.
    """
    to_workers = facts.recipient == "provider" and facts.subscription_id is None
    return to_workers and facts.reason in ("no-gateway", "unserved")


def was_not_reached(event_type: str, facts: NoticeFacts) -> bool:
    """Say whether whoever was paged did not get the page, so that the next one is paged at once."""
    if facts.test or facts.recipient != "on_duty":
        return False
    withheld = event_type == "notice-withheld" and facts.reason not in _NEEDS_NO_OTHER
    return withheld or event_type == "notice-failed"


def after_case(event_type: str, facts: CaseFacts) -> Orders:
    """Say what an event of the case itself does: a place is visited first, an end ends all."""
    if event_type in ("case-closed", "case-erased"):
        return Orders(ends=((None, None),))
    if facts.test:
        return Orders()
    if event_type in ("case-created", "case-triaged") and facts.about == "place":
        seen = facts.work.finding is not None
        return Orders(() if seen else (Task("verify", urgency=facts.urgency),))
    if event_type in ("case-created", "case-updated") and _burns(facts):
        return Orders((Task("triage", urgency=facts.urgency),))
    if event_type == "contact-recorded" and facts.contact_stopped and facts.urgency in _URGENT:
        return Orders((Task("contact_stopped", urgency=facts.urgency),))
    if facts.about == "person" and event_type == "case-triaged":
        return Orders(ends=(("verify", NO_ONE),))
    if event_type == "case-updated" and facts.status == "review_due":
        return Orders((Task("review", urgency=facts.urgency),))
    return Orders(ends=(("review", NO_ONE),) if event_type == "case-updated" else ())


def _burns(facts: CaseFacts) -> bool:
    """Say whether nobody has looked at a report that cannot wait: it needs a person at once."""
    unseen = not facts.entitled and facts.status == "open" and facts.about == "person"
    return unseen and facts.urgency in _URGENT


TRIAGED: Final = Orders(ends=(("triage", NO_ONE),))
"""What a person's triage ends, whatever it concludes."""


def after_parking(consumer: str, cause: str, urgency: str | None) -> Orders:
    """Say what a parked event does: its case comes before a person (DECISIONS 13)."""
    return Orders((Task("parked", urgency=urgency, detail=f"{consumer}: {cause}"),))


def most_urgent(urgencies: Iterable[str | None]) -> str | None:
    """Return the most urgent of some urgencies; None when none is known."""
    return min((u for u in urgencies if u is not None), default=None)
