"""What was kept long enough: listed as a dry run, asked for or erased as it is configured."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from services.intake.casework.desk import carry_out
from services.intake.casework.tasks import SUPERVISOR, Orders, Task
from services.intake.erasure import store
from services.intake.erasure.rules import Proposal
from services.intake.store import find_case
from shared import telemetry
from shared.erasure_list import CASE, Line
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.erasure.service import Erasures

_RULES: Final = Path(__file__).with_name("retention.toml")

MANY: Final = 500
"""Cases that are listed at most; the oldest first."""

STEP: Final = 20
"""Cases that are asked for or erased in one transaction."""

WHO: Final = "retention"
"""The pseudonym of the machine that looks."""

ACTOR: Final = "service:intake.retention"

_DUE = text("""
SELECT c.case_id, CASE WHEN b.test THEN 'test' WHEN c.status = 'no_case' THEN 'noise'
    ELSE 'closed' END AS kind, c.facts ->> 'reason' AS reason,
  CASE WHEN c.status = 'closed' AND NOT b.test THEN c.changed_at ELSE b.received_at END AS since,
  EXISTS (SELECT 1 FROM holds h JOIN cases o USING (case_id)
    WHERE o.submission_id = c.submission_id AND h.lifted_at IS NULL) AS held,
  EXISTS (SELECT 1 FROM erasures e WHERE e.case_id = c.case_id AND e.subject = 'case'
    AND e.erased_at IS NULL) AND EXISTS (SELECT 1 FROM tasks t WHERE t.case_id = c.case_id
    AND t.kind = 'approve_erasure' AND (t.state <> 'done' OR t.ended_at > :again)) AS asked
FROM cases c JOIN submissions b USING (submission_id)
WHERE c.status <> 'erased' AND b.answers IS NULL AND b.received_at <= :at
  AND (c.status IN ('closed', 'no_case') OR b.test) AND in_reach(c.facts)
ORDER BY since, c.case_id
""")


@dataclass(frozen=True, slots=True)
class Due:
    """What could be erased: `kind` is closed, noise or test. `held`: not before its hold ends.

    `since` is from when its time counts; `asked`: it waits for a person already, or a person put
    the question aside not long ago.
    """

    case_id: UUID
    kind: str
    reason: str | None
    since: datetime
    held: bool
    asked: bool

    @property
    def alone(self) -> bool:
        """Whether a machine erases it by itself."""
        return bool(load_retention()[self.kind]["approval"] == "none")


@cache
def load_retention() -> Mapping[str, Any]:
    """Read how long what is kept."""
    return tomllib.loads(_RULES.read_text("utf-8"))


def kept_for(kind: str, reason: str | None = None) -> timedelta:
    """Return how long something of a kind is kept; a closing for an unknown reason the longest."""
    rule = load_retention()[kind]
    if kind != "closed":
        return timedelta(days=rule["days"])
    return timedelta(days=rule["days"].get(reason, rule["otherwise"]))


def _shortest() -> timedelta:
    closed = [kept_for("closed", reason) for reason in load_retention()["closed"]["days"]]
    return min([*closed, kept_for("noise"), kept_for("test")])


async def list_due(conn: AsyncConnection, at: datetime) -> list[Due]:
    """List what was kept long enough at a time, the oldest first; changes nothing: a dry run.

    Of those alone that are in the reach that the transaction was given (`set_reach`).
    """
    again = at - timedelta(days=load_retention()["closed"]["ask_again_after"])
    rows = await conn.execute(_DUE, {"at": at - _shortest(), "again": again})
    due = [Due(*row) for row in rows]
    return [one for one in due if one.since + kept_for(one.kind, one.reason) <= at][:MANY]


async def keep_to_it(conn: AsyncConnection, erasures: Erasures, at: datetime) -> bool:
    """Ask for the erasure of what is due, or erase it, some at a time; say whether more is left.

    A supervisor erases what was asked for through the same path as any other erasure.
    """
    due = await list_due(conn, at)
    for kind in load_retention():
        mine = [one for one in due if one.kind == kind]
        telemetry.RETENTION_DUE.labels(kind, "held").set(sum(one.held for one in mine))
        telemetry.RETENTION_DUE.labels(kind, "due").set(sum(not one.held for one in mine))
    telemetry.KEPT.done()
    todo = [one for one in due if not one.held and (one.alone or not one.asked)]
    for one in todo[:STEP]:
        if one.alone:
            line = Line(case_id=one.case_id, subject=CASE, at=at, by=WHO, asked_by=WHO)
            await erasures.again(conn, line, ACTOR)
        else:
            await _ask(conn, one, at)
    return len(todo) > STEP


async def _ask(conn: AsyncConnection, one: Due, at: datetime) -> None:
    row = await find_case(conn, one.case_id)
    await store.save_proposal(conn, one.case_id, Proposal(WHO, WHO, "order"), at)
    facts = row.facts if row is not None else None
    task = Task("approve_erasure", level=SUPERVISOR, detail=WHO)
    await carry_out(conn, [(one.case_id, Orders((task,)), facts)], by=ACTOR, at=at)
