"""SQL of disclosure: the subjects of a case with what is sealed, and its coarse report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from services.intake.vault import SealedField, Subject
from shared.lean import text

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Known:
    """Whom a case knows of. `person` is whom it is about, or None; each with its newest fields.

    `sole`: the report has this one case, so that its reporter may be the person. `report` is
    coarse.
    """

    person: Subject | None
    reporter: Subject | None
    others: tuple[Subject, ...]
    alleged: tuple[Subject, ...]
    report: dict[str, Any]
    sole: bool


async def case_of_referral(conn: AsyncConnection, referral_id: UUID) -> UUID | None:
    """Return the case of a referral that intake has heard of; None if it has not."""
    found = await conn.scalar(
        text("SELECT case_id FROM case_referrals WHERE referral_id = :r"), {"r": referral_id}
    )
    return None if found is None else UUID(str(found))


async def known_of(conn: AsyncConnection, case_id: UUID) -> Known:
    """Read everyone a case knows of whose key is not destroyed; the caller has locked the case."""
    row = (
        await conn.execute(
            text(
                "SELECT c.submission_id, c.person_ref, b.report,"
                " cardinality(b.case_ids) = 1 AS sole FROM cases c"
                " JOIN submissions b USING (submission_id) WHERE c.case_id = :c"
            ),
            {"c": case_id},
        )
    ).one()
    rows = await conn.execute(
        text(
            "SELECT subject_id, case_id, kind, ref, wrapped_key, commitment, kek FROM subjects"
            " WHERE submission_id = :s AND wrapped_key IS NOT NULL"
            " AND (kind <> 'person' OR case_id = :c) ORDER BY kind, ref, subject_id"
        ),
        {"s": row.submission_id, "c": case_id},
    )
    bare = [Subject(r[0], r[1], r[2], r[3], bytes(r[4]), bytes(r[5]), bytes(r[6])) for r in rows]
    sealed = await _sealed(conn, [s.subject_id for s in bare])
    found = [
        Subject(
            s.subject_id,
            s.case_id,
            s.kind,
            s.ref,
            s.wrapped_key,
            s.commitment,
            s.kek,
            tuple(sealed.get(s.subject_id, ())),
        )
        for s in bare
    ]
    people = [s for s in found if s.kind == "person"]
    person = next((s for s in people if s.ref == row.person_ref), None)
    report = row.report
    return Known(
        person,
        next((s for s in found if s.kind == "reporter"), None),
        tuple(s for s in people if s is not person),
        tuple(s for s in found if s.kind == "alleged"),
        msgspec.json.decode(report) if isinstance(report, str | bytes) else report,
        bool(row.sole),
    )


async def _sealed(conn: AsyncConnection, ids: list[UUID]) -> dict[UUID, list[SealedField]]:
    """Return the newest version of each sealed field of subjects, but no messages."""
    rows = await conn.execute(
        text(
            "SELECT DISTINCT ON (subject_id, field) subject_id, field, ciphertext, version"
            " FROM sealed WHERE subject_id = ANY(CAST(:ids AS uuid[]))"
            " AND field NOT LIKE 'message:%' AND field NOT LIKE 'consent:%'"
            " AND field NOT LIKE 'note:%'"
            " ORDER BY subject_id, field, version DESC"
        ),
        {"ids": ids},
    )
    found: dict[UUID, list[SealedField]] = {}
    for row in rows:
        found.setdefault(row.subject_id, []).append(
            SealedField(row.field, bytes(row.ciphertext), row.version)
        )
    return found
