"""SQL of cases that belong together: a new case under a report, and its person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.blind import Marks
    from services.intake.vault import Subject


async def lock_report(conn: AsyncConnection, case_id: UUID) -> UUID | None:
    """Lock the report of a case, before the case itself; None if there is no such case."""
    found = await conn.scalar(
        text(
            "SELECT submission_id FROM submissions WHERE submission_id ="
            " (SELECT submission_id FROM cases WHERE case_id = :c) FOR UPDATE"
        ),
        {"c": case_id},
    )
    return None if found is None else UUID(str(found))


async def add_cases(
    conn: AsyncConnection, origin: UUID, born: Sequence[tuple[UUID, str, Mapping[str, Any]]]
) -> None:
    """Add cases (id, the name the report calls the person by, the coarse person) to a report.

    They belong to whoever the case belongs to that they came from; the caller stores their facts.
    """
    if not born:
        return
    await conn.execute(
        text(
            "INSERT INTO cases (case_id, submission_id, person_ref, organisation)"
            " SELECT t.id, c.submission_id, t.ref, c.organisation FROM cases c,"
            " unnest(CAST(:ids AS uuid[]), CAST(:refs AS text[])) AS t (id, ref)"
            " WHERE c.case_id = :c"
        ),
        {"c": origin, "ids": [key for key, _, _ in born], "refs": [ref for _, ref, _ in born]},
    )
    people = msgspec.json.encode([person for _, _, person in born]).decode()
    await conn.execute(
        text(
            "UPDATE submissions SET case_ids = case_ids || CAST(:ids AS uuid[]),"
            " report = jsonb_set(report, '{persons}',"
            " coalesce(report -> 'persons', '[]'::jsonb) || CAST(:p AS jsonb))"
            " WHERE submission_id = (SELECT submission_id FROM cases WHERE case_id = :c)"
        ),
        {"c": origin, "ids": [key for key, _, _ in born], "p": people},
    )


async def add_person(conn: AsyncConnection, submission_id: UUID, subject: Subject) -> None:
    """Store a person with what is sealed of them and the marks they are found by."""
    await conn.execute(
        text(
            "INSERT INTO subjects (subject_id, case_id, submission_id, kind, ref, wrapped_key,"
            " commitment, kek, phone_mark, name_mark, alike)"
            " VALUES (:i, :c, :s, :k, :r, :w, :m, :f, :pm, :nm, CAST(:al AS text[]))"
        ),
        {
            "i": subject.subject_id,
            "c": subject.case_id,
            "s": submission_id,
            "k": subject.kind,
            "r": subject.ref,
            "w": subject.wrapped_key,
            "m": subject.commitment,
            "f": subject.kek,
            "pm": subject.marks.phone,
            "nm": subject.marks.name,
            "al": list(subject.marks.alike),
        },
    )
    for sealed in subject.fields:
        await conn.execute(
            text(
                "INSERT INTO sealed (subject_id, field, version, ciphertext)"
                " VALUES (:s, :f, :v, :c)"
            ),
            {
                "s": subject.subject_id,
                "f": sealed.name,
                "v": sealed.version,
                "c": sealed.ciphertext,
            },
        )


async def mark_person(conn: AsyncConnection, subject_id: UUID, marks: Marks) -> None:
    """Set the marks of a person of whom more became known; what is not known stays.

    Those by which cases are compared are added: somebody has more than one number or name.
    """
    await conn.execute(
        text(
            "UPDATE subjects SET phone_mark = coalesce(:p, phone_mark),"
            " name_mark = coalesce(:n, name_mark), alike = ARRAY(SELECT DISTINCT m"
            " FROM unnest(alike || CAST(:al AS text[])) AS m ORDER BY m) WHERE subject_id = :s"
        ),
        {"s": subject_id, "p": marks.phone, "n": marks.name, "al": list(marks.alike)},
    )
