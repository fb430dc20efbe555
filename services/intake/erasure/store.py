"""SQL of erasure. Transactions are the callers'; the lock order is submission, then case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from services.intake.awareness import subscribers
from services.intake.erasure.rules import Proposal
from services.intake.media.store import forget_attachments
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.erasure_list import Line


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case stands in its report, which is coarse; `others` are its cases not erased yet."""

    submission_id: UUID
    person_ref: str | None
    others: tuple[UUID, ...]
    report: dict[str, Any]

    @property
    def reporter_is_person(self) -> bool:
        """Whether whoever reported is whom the report is about."""
        return bool(self.report.get("reporter", {}).get("kind") == "self")


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


async def is_held(conn: AsyncConnection, cases: Sequence[UUID]) -> bool:
    """Say whether one of some cases is under a legal hold; a new hold waits for the caller."""
    found = await conn.scalar(
        text(
            "SELECT 1 FROM holds WHERE case_id = ANY(CAST(:c AS uuid[])) AND lifted_at IS NULL"
            " LIMIT 1"
        ),
        {"c": list(cases)},
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


async def proposal_of(conn: AsyncConnection, case_id: UUID, subject: str) -> Proposal | None:
    """Return the proposal to erase whom of a case that waits for another person."""
    rows = await conn.execute(
        text(
            "SELECT proposed_by, asked_by, checked_how, shared, subject FROM erasures"
            " WHERE case_id = :c AND subject = :s AND erased_at IS NULL"
        ),
        {"c": case_id, "s": subject},
    )
    row = rows.first()
    return None if row is None else Proposal(*row)


async def save_proposal(
    conn: AsyncConnection, case_id: UUID, proposal: Proposal, at: datetime
) -> None:
    """Keep a proposal; a newer one takes the place of an older."""
    await conn.execute(
        text(
            "INSERT INTO erasures (case_id, subject, proposed_by, asked_by, checked_how, shared,"
            " proposed_at) VALUES (:c, :w, :by, :a, :h, :s, :at) ON CONFLICT (case_id, subject)"
            " DO UPDATE SET proposed_by = excluded.proposed_by, asked_by = excluded.asked_by,"
            " checked_how = excluded.checked_how, shared = excluded.shared,"
            " proposed_at = excluded.proposed_at, approved_by = NULL, erased_at = NULL"
        ),
        {
            "c": case_id,
            "w": proposal.subject,
            "by": proposal.by,
            "a": proposal.asked_by,
            "h": proposal.checked_how,
            "s": proposal.shared,
            "at": at,
        },
    )


async def note_erased(
    conn: AsyncConnection, line: Line, name: str, epochs: Collection[bytes]
) -> None:
    """Note who approved and when it was done, and under which keys the destroyed ones were wrapped.

    The list of erasures takes it from here. `name` is what the erasure is called in every schema.
    """
    await conn.execute(
        text(
            "UPDATE erasures SET approved_by = :by, erased_at = :at, epochs = :e, listed_at = NULL"
            " WHERE case_id = :c AND subject = :s"
        ),
        {
            "by": line.by,
            "at": line.at,
            "e": sorted(epochs),
            "c": line.case_id,
            "s": line.subject,
        },
    )
    await conn.execute(
        text("INSERT INTO erased_cases (case_id) VALUES (:n) ON CONFLICT (case_id) DO NOTHING"),
        {"n": name},
    )


async def destroy_subjects(
    conn: AsyncConnection, place: Place, case_id: UUID, kinds: Sequence[str]
) -> list[bytes]:
    """Destroy the wrapped keys of some kinds of subjects and delete what is sealed under them.

    `person`: those of the case; `reporter`, `alleged`: those of its report, and whoever answered a
    question to it. Returns for each key the fingerprint of the one that wrapped it.
    """
    rows = await conn.execute(
        text(
            "UPDATE subjects SET wrapped_key = NULL, commitment = '', ref = NULL,"
            " phone_mark = NULL, name_mark = NULL, alike = '{}'"
            " WHERE wrapped_key IS NOT NULL AND kind = ANY(CAST(:k AS text[]))"
            " AND ((submission_id = :s AND (kind <> 'person' OR case_id = :c))"
            " OR (kind = 'reporter' AND submission_id IN"
            " (SELECT submission_id FROM submissions WHERE answers = :s)))"
            " RETURNING subject_id, kek"
        ),
        {"s": place.submission_id, "c": case_id, "k": list(kinds)},
    )
    gone = rows.all()
    await conn.execute(
        text("DELETE FROM sealed WHERE subject_id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": [row.subject_id for row in gone]},
    )
    await forget_attachments(conn, [row.subject_id for row in gone])
    if "reporter" in kinds:
        await conn.execute(
            text("DELETE FROM talk_sessions WHERE submission_id = :s"), {"s": place.submission_id}
        )
    return [bytes(row.kek) for row in gone]


async def cut_subject(conn: AsyncConnection, place: Place, subject: str) -> None:
    """Take out of a coarse report what leads to whoever reported; who is alleged is sealed alone.

    How somebody alleged is related stays: it keeps a caregiver from consenting.
    """
    if subject != "reporter":
        return
    report = place.report | {"reporter": {}}
    await cut_report(conn, place, report, last=True)


async def cut_report(
    conn: AsyncConnection, place: Place, report: dict[str, Any], *, last: bool
) -> None:
    """Store what is left of a coarse report; `last`: nothing else that leads to who reported.

    Then nothing is left of the answers to it either, nor of notices that the number asked for.
    """
    if last:
        numbers = await conn.execute(
            text(
                "SELECT DISTINCT sender FROM submissions"
                " WHERE (submission_id = :s OR answers = :s) AND sender IS NOT NULL"
            ),
            {"s": place.submission_id},
        )
        for row in numbers.all():
            await subscribers.end(conn, bytes(row.sender))
    await conn.execute(
        text(
            "UPDATE submissions SET report = CAST(:r AS jsonb),"
            " reading = CASE WHEN :last THEN NULL ELSE reading END,"
            " sender = CASE WHEN :last THEN NULL ELSE sender END,"
            " message_id = CASE WHEN :last THEN NULL ELSE message_id END,"
            " external = CASE WHEN :last THEN '{}' ELSE external END,"
            " traceparent = CASE WHEN :last THEN NULL ELSE traceparent END"
            " WHERE submission_id = :s"
        ),
        {"s": place.submission_id, "r": msgspec.json.encode(report).decode(), "last": last},
    )
    if last:
        await conn.execute(
            text(
                "UPDATE submissions SET report = '{}', reading = NULL, sender = NULL,"
                " message_id = NULL, external = '{}', traceparent = NULL WHERE answers = :s"
            ),
            {"s": place.submission_id},
        )


async def forget_case(conn: AsyncConnection, case_id: UUID) -> Sequence[UUID]:
    """Delete what the desk keeps of a case; return the ids of its consents, which are deleted."""
    for statement in (
        "UPDATE tasks SET detail = NULL WHERE case_id = :c",
        "DELETE FROM closings WHERE case_id = :c",
        "DELETE FROM case_steps WHERE case_id = :c",
        "DELETE FROM case_referrals WHERE case_id = :c",
        "DELETE FROM provider_answers WHERE case_id = :c",
        "UPDATE cases SET person_ref = NULL WHERE case_id = :c",
    ):
        await conn.execute(text(statement), {"c": case_id})
    rows = await conn.execute(
        text("DELETE FROM consents WHERE case_id = :c RETURNING consent_id"), {"c": case_id}
    )
    return [row.consent_id for row in rows]
