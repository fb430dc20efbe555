"""A model of what becomes of a need, told a second time and in other words than the domain's.

It knows three offers, who may be asked next, who holds a place, and until when somebody owes an
answer; a test compares it with the real one after every step. Only the length of spans is the
rules' own (`Pace`, which has tests of its own).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.support.referrals import AT, RULES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from services.referral.rules import Pace

SERVES = {"near": {"medical"}, "far": {"medical", "legal_aid"}, "third": {"medical", "legal_aid"}}
"""Offers, the first to be asked first, with their needs. `near` counts its places: it has one."""

URGENCY = {"medical": "T1", "legal_aid": "T2"}
FRESH = timedelta(days=7)
YES = {"accepted", "waitlisted", "in_service", "on_hold"}
OVER = {"declined", "expired", "delivered", "failed", "withdrawn", "entered_in_error"}

NEXT: dict[str, dict[str, str]] = {
    "planned": {"withdraw": "withdrawn", "mark-error": "entered_in_error"},
    "waiting": {"withdraw": "withdrawn", "mark-error": "entered_in_error"},
    "assigned": {"accept": "accepted", "list": "waitlisted", "decline": "declined"},
    "accepted": {
        "start": "in_service",
        "hold": "on_hold",
        "fail": "failed",
        "deliver": "delivered",
        "part": "delivered",
    },
    "waitlisted": {
        "accept": "accepted",
        "decline": "declined",
        "start": "in_service",
        "hold": "on_hold",
        "fail": "failed",
    },
    "in_service": {
        "hold": "on_hold",
        "deliver": "delivered",
        "part": "delivered",
        "fail": "failed",
    },
    "on_hold": {
        "start": "in_service",
        "deliver": "delivered",
        "part": "delivered",
        "fail": "failed",
    },
    "delivered": {"mark-error": "entered_in_error"},
    "failed": {"mark-error": "entered_in_error"},
}
"""What each word makes of each state; `list` is a yes without a place, `part` a part delivered."""
for _state in ("assigned", *YES):
    NEXT[_state] |= {"withdraw": "withdrawn", "mark-error": "entered_in_error"}
    if _state in YES:
        NEXT[_state] |= dict.fromkeys(("contact", "appointment", "milestone", "onward"), _state)
NEXT["delivered"]["onward"] = "delivered"

BY_DESK = {"release", "withdraw", "mark-error"}


def pace_of(need: str) -> Pace:
    return RULES[need].terms(AT.date()).paces[URGENCY[need]]


@dataclass(slots=True, eq=False)
class Attempt:
    """One offer made for a need; `noted` by the clock in use, `since` by the true one."""

    need: str
    state: str = "planned"
    offer: str | None = None
    released: bool = False
    onward: bool = False
    holds: int = 0
    said: set[str] = field(default_factory=set)
    contacted: bool = False
    acknowledged: bool = False
    meetings: set[datetime] = field(default_factory=set)
    why: str | None = None
    from_: Attempt | None = None
    noted: datetime = AT
    since: datetime = AT
    by: datetime | None = None
    parallel: bool = False


@dataclass(slots=True)
class Course:
    """What is known of one case: its attempts, by need, oldest first."""

    trusted: bool
    places: dict[str, int]
    excluded: set[str] = field(default_factory=set)
    attempts: list[Attempt] = field(default_factory=list)
    clock: datetime = AT
    true: datetime = AT

    def of(self, need: str) -> list[Attempt]:
        return [a for a in self.attempts if a.need == need]

    # --- who is asked ---------------------------------------------------------------------------

    def _askable(self, need: str) -> Iterator[str]:
        for offer, needs in SERVES.items():
            told_lately = self.clock - AT <= FRESH
            full = offer == "near" and told_lately and self.places["near"] < 1
            vain = any(self._in_vain(a) for a in self.of(need) if a.offer == offer)
            if need in needs and offer not in self.excluded and not full and not vain:
                yield offer

    @staticmethod
    def _in_vain(a: Attempt) -> bool:
        """Whether who was asked need not be asked again: has it, said no or nothing, or lost it."""
        lost = a.why == "superseded" and "accept" in a.said
        return a.state not in OVER or a.state in ("declined", "expired") or lost or a.why == "named"

    def ask(self, a: Attempt, *, by_desk: bool = False) -> None:
        """Look for somebody; whoever is found gets it only if it is released."""
        offer = next(self._askable(a.need), None)
        if by_desk or (offer is not None and self.trusted and not a.onward):
            a.released = True
        before = a.state
        a.state = "waiting" if offer is None else "assigned" if a.released else "planned"
        if (before, a.state) != ("planned", "planned"):
            a.noted, a.since = self.clock, self.true
        if a.state == "assigned":
            a.offer = offer
            a.holds = self._take(offer)
            a.by = pace_of(a.need).due(self.clock, pace_of(a.need).respond_within)

    def _take(self, offer: str | None) -> int:
        if offer != "near" or not self.places["near"]:
            return 0
        self.places["near"] -= 1
        return 1

    def _give_back(self, a: Attempt) -> None:
        self.places["near"] += a.holds
        a.holds = 0

    def plan(self, need: str, **known: object) -> None:
        a = Attempt(need, **known)  # type: ignore[arg-type]
        self.attempts.append(a)
        a.state = "new"
        self.ask(a)

    def _next(self, a: Attempt) -> None:
        """Ask the next; a release goes on, a provider's own wish stays one."""
        self.plan(a.need, released=a.released, onward=a.onward, from_=a)

    # --- what is said ---------------------------------------------------------------------------

    def outcome(self, a: Attempt, word: str) -> str:
        """Return what is to be expected: `done`, `again` (nothing new), `conflict`, `not yours`."""
        verb = {"list": "accept", "part": "deliver"}.get(word, word)
        if word not in BY_DESK and a.offer is None:
            return "not yours"
        if verb in a.said:
            if word in ("milestone", "list"):
                return "again"
            if word == "appointment" and self.clock in a.meetings:
                return "again"
            if not self._possible(a, word):
                return "again"
        return "done" if self._possible(a, word) else "conflict"

    def _possible(self, a: Attempt, word: str) -> bool:
        match word:
            case "release":
                return a.state in ("planned", "waiting")
            case "acknowledge":
                gone = a.state in ("withdrawn", "entered_in_error")
                return gone and a.offer is not None and not a.acknowledged
            case "contact":
                return a.state in YES and not a.contacted
        return word in NEXT.get(a.state, {})

    def say(self, a: Attempt, word: str) -> str:
        """Take a word in that is `done`; return `conflict` if an onward need is somebody's."""
        if word == "release":
            a.said.add(word)
            self.ask(a, by_desk=True)
            return "done"
        if word == "onward":
            live = [b for b in self.of("legal_aid") if b.state not in OVER]
            if any(b.from_ is a for b in live):
                return "again"
            if live:
                return "conflict"
            a.said.add(word)
            self.plan("legal_aid", onward=True, from_=a)
            return "done"
        a.said.add({"list": "accept", "part": "deliver"}.get(word, word))
        self._change(a, word)
        return "done"

    def _change(self, a: Attempt, word: str) -> None:
        if word == "acknowledge":
            a.acknowledged = True
            return
        if word == "appointment":
            a.meetings.add(self.clock)
        open_, a.state = a.state not in OVER, NEXT[a.state][word]
        if open_ and (a.state in OVER or word == "list"):
            self._give_back(a)
        if word in ("accept", "start") and not a.holds:
            a.holds = self._take(a.offer)
        if word == "accept":
            a.noted, a.since = self.clock, self.true
            a.by = pace_of(a.need).due(self.clock, pace_of(a.need).first_contact_within)
        a.contacted |= word in ("contact", "start")
        if word in ("accept", "contact", "start", "deliver", "part") and a.state != "waitlisted":
            self._end_others(a)
        if word == "decline":
            self._next(a)
        if word == "part":
            self.plan(a.need, onward=a.onward, from_=a)

    def _end_others(self, a: Attempt) -> None:
        for other in self.of(a.need):
            if other is not a and other.state not in OVER:
                self._end(other, "superseded")

    def _end(self, a: Attempt, why: str) -> None:
        self._give_back(a)
        a.state, a.why = "withdrawn", why

    # --- what silence and the case do -----------------------------------------------------------

    def look(self, a: Attempt, *, told_first: bool) -> None:
        """Take in that somebody looked; `told_first`: the missed contact was told just now."""
        within = pace_of(a.need)
        if a.by is not None and a.noted > self.clock + timedelta(minutes=1):
            span = within.respond_within if a.state == "assigned" else within.first_contact_within
            a.by, a.noted = min(a.by, within.due(self.clock, span)), self.clock
        if a.state == "waiting":
            self.ask(a)
        elif a.state == "assigned" and a.by is not None and a.by <= self.clock:
            self._give_back(a)
            a.state = "expired"
            self._next(a)
        elif told_first:
            assert a.state == "accepted", "only who said yes owes a first contact"
            assert not a.contacted
            assert not a.parallel, "one parallel offer"
            assert a.by is not None
            assert a.by <= self.clock
            a.parallel = True
            self._next(a)

    def name(self, provider: str) -> None:
        """Take in that the case names a provider: it loses everything, and others are asked."""
        self.excluded.add(provider)
        lost = [a for a in self.attempts if a.offer == provider and a.state not in OVER]
        for a in lost:
            self._end(a, "named")
        for a in lost:
            if a.onward and all(b.state in OVER for b in self.of(a.need)):
                self.plan(a.need, onward=True, from_=a)
        mine = self.of("medical")
        live = [a for a in mine if a.state not in OVER]
        for a in live:
            if a.state in ("planned", "waiting") and not a.released:
                self.ask(a)
        last = [a.why for a in mine if a.why != "superseded"]
        if not live and last and last[-1] == "named":
            self.plan("medical")
