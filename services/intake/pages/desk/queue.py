"""What waits for people of the desk, worst first: each case once, with the worst that waits of it.

Read as the web role in the caller's reach, so that row-level security decides what is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from services.intake.casework.focal import is_focal, seeing_harm
from services.intake.casework.rules import rules_on
from shared.access_rules import Verb, scope_of
from shared.database import transaction
from shared.lean import text
from shared.paging import decode_cursor, encode_cursor

if TYPE_CHECKING:
    from shared.access import Caller
    from shared.runtime import Service

PAGE: Final = 40
"""Cases on one page."""

GROUPS: Final = {
    "danger": (
        "triage", "unseen", "contact_unsafe", "contact_stopped", "visit_overdue", "silent_calls",
        "harmed", "errand_not_done",
        "safety_plan", "page_not_sent", "nobody_on_duty", "flagged_attachment",
    ),
    "silence": (
        "no_answer", "no_first_contact", "not_delivered", "nobody_serves", "release_late",
        "silence_beside", "waitlisted_long", "withdrawal_unacknowledged", "notice_withheld",
        "notice_unknown", "notice_failed", "provider_not_told", "contact_bounced", "parked",
    ),
    "decide": (
        "release", "choose_offer", "call_office", "verify", "assign", "assess", "reassign",
        "approve_closing", "approve_erasure", "original_asked", "risk_lowered", "review_closing",
        "handover_answer", "handover_declined", "close_handed_over", "alert_down",
        "tell_receiver",
    ),
    "words": ("new_words", "addition", "call_back", "feedback", "new_attachment"),
    "follow": (
        "follow_up", "periodic_review", "check_after_closing", "review", "debrief",
        "ask_again_at_18",
    ),
}  # fmt: skip
"""Kinds of tasks by what they ask of somebody."""

_WITHIN: Final = {"T1": timedelta(hours=1), "T2": timedelta(hours=3), "T3": timedelta(days=1)}
"""How long a task may lie before somebody has it (PRODUCT, Urgency); T0 is in `casework.toml`."""

_WAITING: Final = """
WITH waiting AS (
  SELECT k.task_id, k.case_id, k.kind, k.urgency, k.level, k.named, k.detail, k.state,
    k.opened_at, k.claimed_by, c.facts
  FROM tasks k LEFT JOIN cases c USING (case_id) WHERE k.state <> 'done'
  UNION ALL
  SELECT NULL, c.case_id, 'unseen', c.facts ->> 'urgency', 'coordinator', NULL, NULL, 'open',
    c.changed_at, NULL, c.facts
  FROM cases c WHERE c.status = 'open' AND c.facts #>> '{work,worker}' IS NULL
  AND (c.facts -> 'entitled' IS DISTINCT FROM 'true'::jsonb OR c.facts -> 'needs' = '[]'::jsonb)
  AND c.facts -> 'test' IS DISTINCT FROM 'true'::jsonb
  AND NOT EXISTS (SELECT FROM tasks t WHERE t.case_id = c.case_id AND t.state <> 'done')
), wanted AS (
  SELECT *, coalesce(urgency, 'T9') AS worst, count(*) OVER (PARTITION BY case_id) AS many,
    row_number() OVER (PARTITION BY case_id ORDER BY coalesce(urgency, 'T9'), opened_at, task_id)
      AS nth
  FROM waiting WHERE (CAST(:kinds AS text[]) IS NULL OR kind = ANY(:kinds))
  AND (CAST(:levels AS text[]) IS NULL OR level = ANY(:levels))
  AND (CAST(:places AS text[]) IS NULL OR facts ->> 'upazila' = ANY(:places)
    OR facts ->> 'district' = ANY(:places))
  AND (CAST(:mine AS text[]) IS NULL OR claimed_by = ANY(:mine) OR named = ANY(:mine)
    OR facts #>> '{work,worker}' = ANY(:mine))
)
"""
"""A row a task, and one for a case without any that nobody looked at: nothing is forgotten."""

_PAGE: Final = text(
    _WAITING + "SELECT * FROM wanted WHERE nth = 1 AND (CAST(:id AS uuid) IS NULL"  # noqa: S608
    " OR (worst, opened_at, case_id) > (:u, CAST(CAST(:o AS text) AS timestamptz),"
    " CAST(:id AS uuid))) ORDER BY worst, opened_at, case_id LIMIT :n"
)

_COUNT: Final = text(
    _WAITING + "SELECT count(DISTINCT case_id) AS open,"  # noqa: S608
    " count(DISTINCT case_id) FILTER (WHERE urgency = 'T0') AS danger,"
    " count(DISTINCT case_id) FILTER (WHERE state = 'open') AS nobodys FROM wanted"
)

_NEW: Final = text(
    _WAITING + "SELECT count(DISTINCT case_id) FROM wanted"  # noqa: S608
    " WHERE opened_at > CAST(CAST(:since AS text) AS timestamptz)"
)

_UNOPENED: Final = text(
    "SELECT count(*) FROM submissions WHERE state = 'received' AND open_at < :at"
)

_DIGEST: Final = text("""
SELECT
  (SELECT count(*) FROM submissions WHERE received_at > :since AND NOT test) AS reports,
  (SELECT count(*) FROM tasks WHERE opened_at > :since) AS tasks,
  (SELECT count(*) FROM tasks WHERE ended_at > :since) AS done,
  (SELECT count(*) FROM tasks WHERE opened_at > :since AND state = 'open') AS nobodys,
  (SELECT count(*) FROM cases WHERE status = 'closed' AND changed_at > :since) AS closed
""")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody looks at: a group of kinds, a district or upazila, only what is theirs."""

    group: str | None = None
    place: str | None = None
    mine: bool = False
    levels: tuple[str, ...] = ()

    def values(self, caller: Caller) -> dict[str, Any]:
        """Return it as the parameters of the statements."""
        return {
            "kinds": list(GROUPS[self.group]) if self.group in GROUPS else None,
            "places": [self.place] if self.place else None,
            "levels": list(self.levels) or None,
            "mine": [caller.actor, caller.subject] if self.mine else None,
        }


@dataclass(frozen=True, slots=True)
class Line:
    """One case by its worst task, of `many`; without one nobody looked at it yet.

    `late`: it lies longer than its urgency lets it; `facts` are the case's, or empty.
    """

    task_id: UUID | None
    case_id: UUID
    kind: str
    urgency: str | None
    level: str
    named: str | None
    detail: str | None
    state: str
    opened_at: datetime
    claimed_by: str | None
    late: bool
    many: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Queue:
    """A page of what waits; `counts` of all, `next` the cursor of what follows."""

    lines: tuple[Line, ...]
    counts: dict[str, int]
    next: str | None
    unopened: int = 0


def _after(cursor: str | None) -> dict[str, Any]:
    match decode_cursor(cursor):
        case [str(urgency), str(opened), str(case_id)]:
            return {"u": urgency, "o": opened, "id": UUID(case_id)}
        case _:
            return {"u": None, "o": None, "id": None}


async def load_queue(
    service: Service, caller: Caller, wanted: Wanted, cursor: str | None, at: datetime
) -> Queue:
    """Read one page of what waits for whoever asks.

    Raises:
        InvalidBody: the cursor is none of ours.

    """
    async with service.flow.connect() as conn:
        focal = await is_focal(conn, caller, at)
        unopened = int(await conn.scalar(_UNOPENED, {"at": at}) or 0)
    scope = scope_of(caller, Verb.SEE, at)
    values = {**wanted.values(caller), **_after(cursor), "n": PAGE + 1}
    async with transaction(service.web, seeing_harm(scope) if focal else scope) as conn:
        rows = list(await conn.execute(_PAGE, values))
        counts = dict((await conn.execute(_COUNT, values)).one()._mapping)  # noqa: SLF001  (its public name)
    lines = tuple(_line(row, at) for row in rows[:PAGE])
    more = None
    if len(rows) > PAGE:
        last = lines[-1]
        more = encode_cursor([last.urgency or "T9", last.opened_at.isoformat(), str(last.case_id)])
    return Queue(lines, counts, more, unopened)


async def count_new(
    service: Service, caller: Caller, wanted: Wanted, since: str, at: datetime
) -> int:
    """Count what came since a time (RFC 3339), by case."""
    async with service.flow.connect() as conn:
        focal = await is_focal(conn, caller, at)
    scope = scope_of(caller, Verb.SEE, at)
    values = {**wanted.values(caller), "since": since}
    async with transaction(service.web, seeing_harm(scope) if focal else scope) as conn:
        return int(await conn.scalar(_NEW, values) or 0)


def _line(row: Any, at: datetime) -> Line:  # noqa: ANN401  (a database row)
    facts = row.facts
    known = msgspec.json.decode(facts) if isinstance(facts, str | bytes) else facts
    allowed = rules_on(at).page_within if row.urgency == "T0" else _WITHIN.get(row.urgency or "")
    late = row.state == "open" and allowed is not None and row.opened_at + allowed < at
    return Line(
        row.task_id, row.case_id, row.kind, row.urgency, row.level, row.named, row.detail,
        row.state, row.opened_at, row.claimed_by, late, row.many, known or {},
    )  # fmt: skip


async def load_digest(service: Service, caller: Caller, at: datetime) -> dict[str, dict[str, int]]:
    """Count what came and was done in the last day and week, in the caller's reach."""
    found = {}
    async with transaction(service.web, scope_of(caller, Verb.SEE, at)) as conn:
        for name, days in (("day", 1), ("week", 7)):
            rows = await conn.execute(_DIGEST, {"since": at - timedelta(days=days)})
            found[name] = dict(rows.one()._mapping)  # noqa: SLF001  (likewise)
    return found
