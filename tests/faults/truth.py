"""What the system says happened, in plain values: the checker reads this and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

PEOPLE = frozenset(
    {"partner", "coordinator", "supervisor", "provider_system", "provider_worker", "operator"}
)
"""Roles whose events must each come from an attempt of the load."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the audit log. `actor` is `role:pseudonym`; `flags` is what audit holds against
    it.
    """

    index: int
    event_id: str
    type: str
    stream: str
    subject: str
    sequence: int
    actor: str = "service:test"
    submission_id: str = ""
    flags: tuple[str, ...] = ()

    @property
    def role(self) -> str:
        return self.actor.partition(":")[0]

    @property
    def mark(self) -> str:
        return self.actor.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Submission:
    """A stored submission; `mark` is the attempt's, `state` is received, opened or no_case."""

    submission_id: str
    mark: str
    case_ids: tuple[str, ...]
    state: str = "opened"


@dataclass(frozen=True, slots=True)
class Referral:
    referral_id: str
    case_id: str
    need: str
    attempt: int
    state: str = "assigned"


@dataclass(frozen=True, slots=True)
class Heard:
    """One event as a provider heard it, over SSE or as a webhook, in the order of hearing."""

    who: str
    place: int
    event_id: str
    body: str
    subject: str = ""
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything that is read at the end of a run.

    `events` are the outbox rows of all services: event id → stream. `expected` names, for each
    listener, the event ids that its feed holds in the database, in feed order.
    """

    entries: tuple[Entry, ...] = ()
    submissions: tuple[Submission, ...] = ()
    cases: tuple[tuple[str, str], ...] = ()
    referrals: tuple[Referral, ...] = ()
    events: dict[str, str] = field(default_factory=dict)
    heard: tuple[Heard, ...] = ()
    expected: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unsent: int = 0
    lag: int = 0
    parked: int = 0
    absorbed: int = 0
    audit_valid: bool = True
