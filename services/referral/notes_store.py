"""SQL of the explanations of routing that are kept beside a referral."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.referral.store import json_text, plain
from shared.lean import later, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection


def save_explanations(
    conn: AsyncConnection, explanations: Mapping[UUID, Mapping[str, Any]]
) -> None:
    """Store the newest explanation of each referral, later."""
    if not explanations:
        return
    ids = sorted(explanations)
    later(
        conn,
        text(
            "INSERT INTO explanations (referral_id, explanation)"
            " SELECT id, CAST(body AS jsonb) FROM unnest(CAST(:ids AS uuid[]),"
            " CAST(:bodies AS text[])) AS t (id, body) ORDER BY id"
            " ON CONFLICT (referral_id) DO UPDATE SET explanation = excluded.explanation,"
            " changed_at = now()"
        ),
        {"ids": ids, "bodies": [json_text(explanations[key]) for key in ids]},
    )


async def find_explanation(conn: AsyncConnection, referral_id: UUID) -> Any:  # noqa: ANN401
    """Read the explanation of a referral; None if there is none for this organisation."""
    found = await conn.scalar(
        text("SELECT explanation FROM explanations WHERE referral_id = :id"), {"id": referral_id}
    )
    return None if found is None else plain(found)
