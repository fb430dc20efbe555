"""Whether and when somebody with a receipt is reached: nobody any more, or by a call at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.intake import store as cases
from services.intake.casework.desk import carry_out
from services.intake.casework.tasks import Orders, Task, after_case
from services.intake.conversation import stop_contact
from services.intake.reporters.service import REPORTER
from shared.outbox import Stamp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.reporters.service import Reporters
    from services.intake.reporters.store import Report
    from shared.events import CaseFacts


async def stop(reporters: Reporters, conn: AsyncConnection, report: Report, at: datetime) -> None:
    """Stop what would be sent about a report; nothing else of its cases changes (SAFETY 7c).

    Who asked is not known: no consent ends by it. Where nothing is open yet, a person is told.
    """
    known = await cases.lock_facts(conn, report.case_ids)
    changes = [(i, stop_contact(i, f)) for i, f in sorted(known.items())]
    made = [(case_id, *change) for case_id, change in changes if change is not None]
    cases.save_cases(conn, [(case_id, facts) for case_id, facts, _ in made])
    orders: list[tuple[UUID, Orders, CaseFacts | None]] = [
        (case_id, after_case(draft.type, facts), facts) for case_id, facts, draft in made
    ]
    if not known:
        orders = [(report.case_ids[0], Orders((Task("contact_stopped"),)), None)]
    await carry_out(conn, orders, by=REPORTER, at=at)
    drafts = [(draft, Stamp(at, REPORTER)) for _, _, draft in made]
    await reporters.outbox.append(conn, drafts)


async def ask_for_call(
    reporters: Reporters,
    conn: AsyncConnection,
    report: Report,
    wish: Mapping[str, str],
    at: datetime,
) -> None:
    """Ask that a person calls: which number, when, and who may answer are sealed words.

    Raises:
        Conflict: what the report held was erased.

    """
    await reporters.say(conn, report, dict(wish), way="in", kind="words", at=at, actor=REPORTER)
    await reporters.tell(conn, report, Task("call_back"), "contact-recorded", at)
