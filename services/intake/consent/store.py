"""SQL of consents. Transactions, and the lock of the case, are the callers'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from services.intake.consent.record import Consent
from shared.lean import later, text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.vault import SealedField, Subject

_COLUMNS = (
    "consent_id, given_by, basis, given_at, recorded_by, purposes, providers, fields,"
    " share_identity, explained, how, expires_at, heard_by, decision_body, instrument"
)


async def consents_of(conn: AsyncConnection, case_id: UUID) -> list[Consent]:
    """Return the consents of a case that were not changed, taken back or ended; oldest first."""
    rows = await conn.execute(
        text(
            f"SELECT {_COLUMNS} FROM consents WHERE case_id = :c AND state = 'current'"  # noqa: S608
            " ORDER BY given_at, consent_id"
        ),
        {"c": case_id},
    )
    return [_consent(row) for row in rows]


def _consent(row: Any) -> Consent:  # noqa: ANN401  (a database row)
    found = dict(row._mapping)  # noqa: SLF001  (SQLAlchemy's public name for it)
    found["purposes"] = tuple(found["purposes"])
    found["providers"] = tuple(found["providers"])
    found["fields"] = None if found["fields"] is None else tuple(found["fields"])
    return Consent(**found)


async def list_consents(conn: AsyncConnection, case_id: UUID) -> list[dict[str, Any]]:
    """Read every consent of a case with how it stands, oldest first; nothing sealed."""
    rows = await conn.execute(
        text(
            f"SELECT {_COLUMNS}, state, ended_at, ended_by FROM consents"  # noqa: S608
            " WHERE case_id = :c ORDER BY given_at, consent_id"
        ),
        {"c": case_id},
    )
    return [dict(row._mapping) for row in rows]  # noqa: SLF001


def add_consents(conn: AsyncConnection, given: Sequence[tuple[UUID, Consent]]) -> None:
    """Store consents of cases as current, later; one that is stored already stays as it is."""
    if not given:
        return
    rows = [
        {"case_id": case_id, **{name: getattr(c, name) for name in Consent.__slots__}}
        for case_id, c in given
    ]
    later(
        conn,
        text(
            f"INSERT INTO consents (case_id, {_COLUMNS}) SELECT case_id, {_COLUMNS}"  # noqa: S608
            " FROM jsonb_populate_recordset(CAST(NULL AS consents), CAST(:rows AS jsonb))"
            " ON CONFLICT (consent_id) DO NOTHING"
        ),
        {"rows": msgspec.json.encode(rows).decode()},
    )


async def end_consents(
    conn: AsyncConnection, ids: Collection[UUID], state: str, by: str, at: datetime
) -> None:
    """Say that consents count no more, and why: `changed`, `withdrawn` or `expired`."""
    if ids:
        await conn.execute(
            text(
                "UPDATE consents SET state = :s, ended_at = :at, ended_by = :by"
                " WHERE consent_id = ANY(CAST(:ids AS uuid[])) AND state = 'current'"
            ),
            {"s": state, "at": at, "by": by, "ids": sorted(ids)},
        )


async def person_ref_of(conn: AsyncConnection, case_id: UUID) -> str | None:
    """Return by which name the report of a case calls its person; None if by none."""
    found = await conn.scalar(
        text("SELECT person_ref FROM cases WHERE case_id = :c"), {"c": case_id}
    )
    return None if found is None else str(found)


async def add_subject(conn: AsyncConnection, submission_id: UUID, subject: Subject) -> None:
    """Store a subject with what is sealed of it."""
    await conn.execute(
        text(
            "INSERT INTO subjects (subject_id, case_id, submission_id, kind, ref, wrapped_key,"
            " commitment, kek) VALUES (:i, :c, :s, :k, :r, :w, :m, :f)"
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
        },
    )
    for sealed in subject.fields:
        await add_sealed(conn, subject.subject_id, sealed)


async def add_sealed(conn: AsyncConnection, subject_id: UUID, sealed: SealedField) -> None:
    """Store one more sealed field of a subject."""
    await conn.execute(
        text("INSERT INTO sealed (subject_id, field, version, ciphertext) VALUES (:s, :f, :v, :c)"),
        {"s": subject_id, "f": sealed.name, "v": sealed.version, "c": sealed.ciphertext},
    )


async def forget_consents(conn: AsyncConnection, case_id: UUID) -> None:
    """Delete what is kept of the consents of a case that is erased."""
    await conn.execute(text("DELETE FROM consents WHERE case_id = :c"), {"c": case_id})
