"""SQL of erasure. Transactions are the callers'; the lock order is submission, then case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from sqlalchemy import text

from services.intake.erasure.rules import Proposal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case stands in its report, which is coarse; `others` are its cases not erased yet."""

    submission_id: UUID
    person_ref: str | None
    others: tuple[UUID, ...]
    report: dict[str, Any]


async def lock_place(conn: AsyncConnection, case_id: UUID) -> Place | None:
    """Lock the report of a case; None if there is no such case."""
    submission_id = await conn.scalar(
        text("SELECT submission_id FROM cases WHERE case_id = :c"), {"c": case_id}
    )
    if submission_id is None:
        return None
    row = (
        await conn.execute(
            text("SELECT report FROM submissions WHERE submission_id = :s FOR UPDATE"),
            {"s": submission_id},
        )
    ).one()
    cases = await conn.execute(
        text(
            "SELECT case_id, person_ref, status FROM cases WHERE submission_id = :s"
            " ORDER BY case_id FOR UPDATE"
        ),
        {"s": submission_id},
    )
    found = {r.case_id: r for r in cases}
    report = row.report
    return Place(
        UUID(str(submission_id)),
        found[case_id].person_ref,
        tuple(k for k, r in found.items() if k != case_id and r.status != "erased"),
        msgspec.json.decode(report) if isinstance(report, str | bytes) else report,
    )


async def is_held(conn: AsyncConnection, case_id: UUID) -> bool:
    """Say whether a case is under a legal hold; a new hold waits until the caller has ended."""
    found = await conn.scalar(
        text("SELECT 1 FROM holds WHERE case_id = :c AND lifted_at IS NULL"), {"c": case_id}
    )
    return found is not None


async def place_hold(
    conn: AsyncConnection, case_id: UUID, reason: str, by: str, at: datetime
) -> None:
    """Put a case under a legal hold; one that is under it stays as it is."""
    await conn.execute(
        text(
            "INSERT INTO holds (case_id, reason, placed_by, placed_at) VALUES (:c, :r, :by, :at)"
            " ON CONFLICT (case_id) WHERE lifted_at IS NULL DO NOTHING"
        ),
        {"c": case_id, "r": reason, "by": by, "at": at},
    )


async def lift_hold(conn: AsyncConnection, case_id: UUID, by: str, at: datetime) -> bool:
    """End a legal hold; False if there is none."""
    found = await conn.execute(
        text(
            "UPDATE holds SET lifted_by = :by, lifted_at = :at"
            " WHERE case_id = :c AND lifted_at IS NULL RETURNING case_id"
        ),
        {"c": case_id, "by": by, "at": at},
    )
    return found.first() is not None


async def proposal_of(conn: AsyncConnection, case_id: UUID) -> Proposal | None:
    """Return the proposal to erase a case that waits for another person."""
    rows = await conn.execute(
        text("SELECT proposed_by, asked_by, checked_how, shared FROM erasures WHERE case_id = :c"),
        {"c": case_id},
    )
    row = rows.first()
    return None if row is None else Proposal(*row)


async def save_proposal(
    conn: AsyncConnection, case_id: UUID, proposal: Proposal, at: datetime
) -> None:
    """Keep a proposal; a newer one takes the place of an older."""
    await conn.execute(
        text(
            "INSERT INTO erasures (case_id, proposed_by, asked_by, checked_how, shared,"
            " proposed_at) VALUES (:c, :by, :a, :h, :s, :at) ON CONFLICT (case_id) DO UPDATE SET"
            " proposed_by = excluded.proposed_by, asked_by = excluded.asked_by,"
            " checked_how = excluded.checked_how, shared = excluded.shared,"
            " proposed_at = excluded.proposed_at"
        ),
        {
            "c": case_id,
            "by": proposal.by,
            "a": proposal.asked_by,
            "h": proposal.checked_how,
            "s": proposal.shared,
            "at": at,
        },
    )


async def note_erased(conn: AsyncConnection, case_id: UUID, by: str, at: datetime) -> None:
    """Note who approved, and when it was done."""
    await conn.execute(
        text("UPDATE erasures SET approved_by = :by, erased_at = :at WHERE case_id = :c"),
        {"c": case_id, "by": by, "at": at},
    )


async def destroy_subjects(
    conn: AsyncConnection, place: Place, case_id: UUID, *, whole: bool
) -> int:
    """Destroy the wrapped keys of the persons of a case and delete what is sealed under them.

    `whole`: those of everyone in the report too, its reporter and who is alleged. Returns how many.
    """
    rows = await conn.execute(
        text(
            "UPDATE subjects SET wrapped_key = NULL, commitment = '', ref = NULL,"
            " phone_mark = NULL, name_mark = NULL"
            " WHERE submission_id = :s AND wrapped_key IS NOT NULL"
            " AND ((kind = 'person' AND case_id = :c) OR (:whole AND kind <> 'person'))"
            " RETURNING subject_id"
        ),
        {"s": place.submission_id, "c": case_id, "whole": whole},
    )
    gone = [row.subject_id for row in rows]
    await conn.execute(
        text("DELETE FROM sealed WHERE subject_id = ANY(CAST(:ids AS uuid[]))"), {"ids": gone}
    )
    return len(gone)


async def cut_report(
    conn: AsyncConnection, place: Place, report: dict[str, Any], *, last: bool
) -> None:
    """Store what is left of a coarse report; of the last case nothing that leads to a number."""
    await conn.execute(
        text(
            "UPDATE submissions SET report = CAST(:r AS jsonb),"
            " reading = CASE WHEN :last THEN NULL ELSE reading END,"
            " sender = CASE WHEN :last THEN NULL ELSE sender END,"
            " message_id = CASE WHEN :last THEN NULL ELSE message_id END"
            " WHERE submission_id = :s"
        ),
        {"s": place.submission_id, "r": msgspec.json.encode(report).decode(), "last": last},
    )


async def forget_case(conn: AsyncConnection, case_id: UUID) -> Sequence[UUID]:
    """Delete what the desk keeps of a case; return the ids of its consents, which are deleted."""
    for statement in (
        "UPDATE tasks SET detail = NULL WHERE case_id = :c",
        "DELETE FROM closings WHERE case_id = :c",
        "DELETE FROM case_steps WHERE case_id = :c",
        "DELETE FROM case_referrals WHERE case_id = :c",
        "UPDATE cases SET person_ref = NULL WHERE case_id = :c",
    ):
        await conn.execute(text(statement), {"c": case_id})
    rows = await conn.execute(
        text("DELETE FROM consents WHERE case_id = :c RETURNING consent_id"), {"c": case_id}
    )
    return [row.consent_id for row in rows]
