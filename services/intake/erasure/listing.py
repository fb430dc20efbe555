"""What is erased goes into the list outside the database, and from there into one put back.

The database is the truth while it lives; a task copies what it has done into the list, at least
once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from services.intake.keys.rotation import EPOCH, GRACE
from shared import telemetry
from shared.erasure_list import Line, append_lines, list_path
from shared.lean import text
from shared.telemetry import Log

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.intake.erasure.store import Place

EVERY: Final = 1.0
"""Seconds between looks for erasures that are not in the list."""

MANY: Final = 500
"""Erasures that are written in one go."""

_log = Log("erasures")

_UNLISTED = text("""
SELECT case_id, subject, erased_at AS at, approved_by AS by, asked_by, shared FROM erasures
WHERE erased_at IS NOT NULL AND listed_at IS NULL
ORDER BY erased_at, case_id, subject LIMIT :n FOR UPDATE SKIP LOCKED
""")


async def write_list(engine: AsyncEngine, path: Path) -> int:
    """Write down what was erased since; return how many lines.

    Raises:
        OSError: the list cannot be written: its lines come again next time.

    """
    async with engine.begin() as conn:
        rows = (await conn.execute(_UNLISTED, {"n": MANY})).all()
        if rows:
            lines = [Line(**dict(row._mapping)) for row in rows]  # noqa: SLF001  (its public name)
            await asyncio.to_thread(append_lines, path, lines)
            await conn.execute(
                text(
                    "UPDATE erasures e SET listed_at = now() FROM unnest(CAST(:c AS uuid[]),"
                    " CAST(:s AS text[])) AS t (c, s) WHERE e.case_id = t.c AND e.subject = t.s"
                ),
                {"c": [row.case_id for row in rows], "s": [row.subject for row in rows]},
            )
    return len(rows)


async def keep_list(engine: AsyncEngine) -> None:
    """Write the list for ever; what is not in it is a metric, whether or not one is kept."""
    path = list_path()
    if path is None:
        _log.warning("no-list-of-erasures")
    while True:
        try:
            if path is not None:
                await write_list(engine, path)
        except OSError as error:
            _log.error("list-of-erasures-late", error)
        async with engine.connect() as conn:
            left = await conn.scalar(
                text(
                    "SELECT count(*) FROM erasures WHERE erased_at IS NOT NULL"
                    " AND listed_at IS NULL"
                )
            )
        telemetry.ERASURES_UNLISTED.set(left or 0)
        telemetry.LISTED.done()
        await asyncio.sleep(EVERY)


async def show_erasure(
    conn: AsyncConnection, place: Place, case_id: UUID, subject: str, *, shared: bool, held: bool
) -> dict[str, Any]:
    """Say how an erasure stands, or what it would take away; nothing changes: a dry run.

    `complete`: the keys under which the destroyed ones were wrapped are destroyed too, so that no
    copy of the database opens any more. `complete_by` is when that is due.
    """
    kinds = [subject] if subject != "case" else ["person"]
    if subject == "case" and (shared or not place.others):
        kinds = ["person", "reporter", "alleged"]
    goes = (
        await conn.execute(
            text(
                "SELECT count(DISTINCT s.subject_id) AS subjects, count(f.subject_id) AS fields,"
                " (SELECT count(*) FROM consents WHERE case_id = :c AND :whole) AS consents,"
                " (SELECT count(*) FROM attachments JOIN subjects u USING (subject_id)"
                " WHERE attachments.submission_id = :s AND u.wrapped_key IS NOT NULL"
                " AND u.kind = ANY(CAST(:k AS text[]))) AS attachments"
                " FROM subjects s LEFT JOIN sealed f USING (subject_id)"
                " WHERE s.submission_id = :s AND s.wrapped_key IS NOT NULL"
                " AND s.kind = ANY(CAST(:k AS text[])) AND (s.kind <> 'person' OR s.case_id = :c)"
            ),
            {"c": case_id, "s": place.submission_id, "k": kinds, "whole": subject == "case"},
        )
    ).one()
    found: dict[str, Any] = {
        "case_id": case_id,
        "subject": subject,
        "legal_hold": held,
        "would_erase": {
            "kinds": kinds,
            "keys": goes.subjects,
            "sealed_fields": goes.fields,
            "consents": goes.consents,
            "attachments": goes.attachments,
            "other_cases_of_the_report": len(place.others),
        },
    }
    return found | await _standing(conn, case_id, subject)


async def _standing(conn: AsyncConnection, case_id: UUID, subject: str) -> dict[str, Any]:
    rows = await conn.execute(
        text(
            "SELECT e.erased_at, e.asked_by, e.shared, e.listed_at, (SELECT count(*) FROM"
            " key_fingerprints k WHERE k.fingerprint = ANY(e.epochs) AND k.destroyed_at IS NULL)"
            " AS living, (SELECT max(k.destroyed_at) FROM key_fingerprints k"
            " WHERE k.fingerprint = ANY(e.epochs)) AS destroyed_at,"
            " (SELECT max(k.first_seen) FROM key_fingerprints k"
            " WHERE k.fingerprint = ANY(e.epochs)) AS began FROM erasures e"
            " WHERE e.case_id = :c AND e.subject = :s"
        ),
        {"c": case_id, "s": subject},
    )
    row = rows.first()
    if row is None:
        return {"status": "not_asked"}
    asked = {"asked_by": row.asked_by, "shared": row.shared}
    if row.erased_at is None:
        return {"status": "waits_for_approval", **asked}
    done = {"status": "erased", "erased_at": row.erased_at, "listed": row.listed_at is not None}
    if not row.living:
        at: datetime = row.destroyed_at or row.erased_at
        return {**done, **asked, "complete": True, "complete_by": max(at, row.erased_at)}
    return {**done, **asked, "complete": False, "complete_by": row.began + EPOCH + GRACE}
