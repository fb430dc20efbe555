"""SQL of comparing cases: which may be alike, what is compared of them, what was said of two."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.intake.alike.blocks import NEAR
from services.intake.alike.comparing import CROWD
from services.intake.alike.features import Features, features_of, phones, words
from services.intake.blind import ROUGH
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

MOST: Final = 500
"""Cases that one is compared with at most: those with a number in common first, then the newest."""

_CANDIDATES: Final = text("""
WITH marked AS (
  SELECT submission_id, CASE WHEN kind = 'person' THEN case_id END AS case_id,
    bool_or(alike && CAST(:phones AS text[])) AS phone,
    max(cardinality(ARRAY(SELECT unnest(alike) INTERSECT SELECT unnest(CAST(:words AS text[])))))
      AS words
  FROM subjects WHERE alike <> '{}' AND submission_id <> :s
    AND alike && (CAST(:phones AS text[]) || CAST(:words AS text[]))
  GROUP BY 1, 2
)
SELECT case_id, bool_or(phone) AS phone, max(received_at) AS at FROM (
  SELECT k.case_id, m.phone, b.received_at FROM marked m JOIN cases k
    ON k.submission_id = m.submission_id AND (m.case_id IS NULL OR m.case_id = k.case_id)
    JOIN submissions b ON b.submission_id = k.submission_id
  WHERE (m.phone OR m.words > 1 OR CAST(:d AS text) IS NULL OR k.facts ->> 'district' IS NULL
    OR k.facts ->> 'district' = :d)
    AND k.status <> 'erased' AND b.test = :test AND in_reach(k.facts)
  UNION ALL
  SELECT k.case_id, false, b.received_at FROM cases k
    JOIN submissions b ON b.submission_id = k.submission_id
  WHERE k.facts ->> 'district' = :d AND k.submission_id <> :s
    AND b.received_at BETWEEN CAST(:at AS timestamptz) - CAST(:near AS interval)
    AND CAST(:at AS timestamptz) + CAST(:near AS interval)
    AND (k.facts ->> 'upazila' = :u OR ((CAST(:u AS text) IS NULL OR k.facts ->> 'upazila' IS NULL)
    AND k.facts -> 'concerns' ?| CAST(:concerns AS text[])))
    AND k.status <> 'erased' AND b.test = :test AND in_reach(k.facts)
) AS found GROUP BY case_id ORDER BY phone DESC, at DESC, case_id LIMIT :n
""")

_CASES: Final = text("""
SELECT k.case_id, k.submission_id, k.person_ref, k.status, k.facts, b.report, b.received_at
FROM cases k JOIN submissions b USING (submission_id)
WHERE k.case_id = ANY(CAST(:ids AS uuid[])) AND k.facts IS NOT NULL
""")

_SUBJECTS: Final = text("""
SELECT submission_id, kind, case_id, ref, alike FROM subjects
WHERE submission_id = ANY(CAST(:ids AS uuid[])) AND alike <> '{}'
""")

_CROWDED: Final = text("""
SELECT mark FROM unnest(CAST(:marks AS text[])) AS mark
JOIN subjects s ON s.alike <> '{}' AND s.alike @> ARRAY[mark] AND s.kind <> 'alleged'
GROUP BY mark HAVING count(DISTINCT s.submission_id) > :n
""")


def _json(value: Any) -> Any:  # noqa: ANN401  (jsonb comes as text or parsed)
    return msgspec.json.decode(value) if isinstance(value, str | bytes) else value


async def load_features(
    conn: AsyncConnection, cases: Collection[UUID]
) -> dict[UUID, tuple[Features, Mapping[str, Any]]]:
    """Return what is compared of cases, each with its facts as JSON tells them."""
    rows = (await conn.execute(_CASES, {"ids": list(cases)})).all()
    subjects: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    found = await conn.execute(_SUBJECTS, {"ids": [row.submission_id for row in rows]})
    for one in found:
        subjects[one.submission_id].append(
            {"kind": one.kind, "case_id": one.case_id, "ref": one.ref, "alike": one.alike}
        )
    told = {}
    for row in rows:
        facts = _json(row.facts)
        case = {
            "case_id": row.case_id,
            "submission_id": row.submission_id,
            "person_ref": row.person_ref,
            "received_at": row.received_at,
            "facts": facts,
        }
        features = features_of(case, _json(row.report), subjects[row.submission_id])
        told[row.case_id] = (features, facts)
    return told


async def list_candidates(conn: AsyncConnection, mine: Features, *, test: bool) -> list[UUID]:
    """Return cases of other reports, in the caller's reach, that may be worth comparing."""
    marks = mine.own | mine.near | mine.alleged
    rows = await conn.execute(
        _CANDIDATES,
        {
            "s": mine.report_id,
            "phones": sorted(phones(marks)),
            "words": sorted(words(mine.own, ROUGH)),
            "u": mine.upazila,
            "d": mine.district,
            "concerns": sorted(mine.concerns),
            "at": mine.received_at,
            "near": NEAR,
            "test": test,
            "n": MOST,
        },
    )
    return [row.case_id for row in rows]


async def crowded_of(conn: AsyncConnection, marks: Collection[str]) -> frozenset[str]:
    """Return the numbers among marks that more reports came with than one family's would."""
    if not marks:
        return frozenset()
    found = await conn.scalars(_CROWDED, {"marks": sorted(marks), "n": CROWD})
    return frozenset(found)


def _pair(one: UUID, other: UUID) -> dict[str, UUID]:
    first, second = sorted((one, other))
    return {"one": first, "other": second}


async def said_different(conn: AsyncConnection, case_id: UUID) -> dict[UUID, frozenset[str]]:
    """Return the cases that somebody said are different from one, with the grounds at that time."""
    rows = await conn.execute(
        text(
            "SELECT CASE WHEN one = :c THEN other ELSE one END AS away, grounds"
            " FROM said_different WHERE undone_at IS NULL AND (one = :c OR other = :c)"
        ),
        {"c": case_id},
    )
    return {row.away: frozenset(row.grounds) for row in rows}


async def say_different(
    conn: AsyncConnection,
    one: UUID,
    other: UUID,
    grounds: Collection[str],
    by: str,
    at: datetime,
) -> None:
    """Keep that two cases are different, on what is known now; said again, it is on what is new."""
    await conn.execute(
        text(
            "INSERT INTO said_different (one, other, grounds, said_by, said_at)"
            " VALUES (:one, :other, CAST(:g AS text[]), :by, :at)"
            " ON CONFLICT (one, other) WHERE undone_at IS NULL DO UPDATE SET"
            " grounds = excluded.grounds, said_by = excluded.said_by, said_at = excluded.said_at"
        ),
        {**_pair(one, other), "g": sorted(grounds), "by": by, "at": at},
    )


async def undo_different(
    conn: AsyncConnection, one: UUID, other: UUID, by: str, at: datetime
) -> bool:
    """Take back that two cases are different; False when nobody says so."""
    rows = await conn.execute(
        text(
            "UPDATE said_different SET undone_by = :by, undone_at = :at"
            " WHERE one = :one AND other = :other AND undone_at IS NULL RETURNING 1"
        ),
        {**_pair(one, other), "by": by, "at": at},
    )
    return rows.first() is not None
