"""SQL of cases and referrals. Nothing here decides; transactions are the callers'.

The directory's SQL is `offers_store`, the providers' feeds' is `feeds_store`; explanations and
remarks are `notes_store`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.referral.referral import Referral
from services.referral.silence import DUE
from services.referral.world import Case
from shared.events import CaseFacts
from shared.lean import later, text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

Cursor = tuple[int, int]
"""Place in a list: transaction id and row number; (0, 0) is the beginning."""


def plain(value: Any) -> Any:  # noqa: ANN401  (jsonb comes as text or parsed)
    """Return a jsonb value as plain objects."""
    return msgspec.json.decode(value) if isinstance(value, str | bytes) else value


def json_text(value: object) -> str:
    """Return a value as the text that a jsonb column takes."""
    return msgspec.json.encode(value).decode()


# --- Cases --------------------------------------------------------------------------------------


def _case(row: Any) -> Case:  # noqa: ANN401  (a database row)
    facts = msgspec.convert(plain(row.facts), CaseFacts)
    return Case(row.case_id, row.sequence, facts, row.withdrawn)


async def lock_cases(conn: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, Case]:
    """Lock and read the known ones of these cases, in order of id (DECISIONS 14)."""
    rows = await conn.execute(
        text(
            "SELECT case_id, sequence, facts, withdrawn FROM cases"
            " WHERE case_id = ANY(CAST(:ids AS uuid[])) ORDER BY case_id FOR UPDATE"
        ),
        {"ids": sorted(ids)},
    )
    return {row.case_id: _case(row) for row in rows}


async def find_case(conn: AsyncConnection, case_id: UUID) -> Case | None:
    """Read one case; None if it is not there or not for this organisation."""
    rows = await conn.execute(
        text("SELECT case_id, sequence, facts, withdrawn FROM cases WHERE case_id = :id"),
        {"id": case_id},
    )
    row = rows.first()
    return None if row is None else _case(row)


async def begin_cases(conn: AsyncConnection, facts: Mapping[UUID, CaseFacts]) -> dict[UUID, Case]:
    """Make a row, of sequence 0, for each case that is new; return those, locked by that."""
    made = await conn.execute(
        text(
            "INSERT INTO cases (case_id, sequence, status, facts)"
            " SELECT id, 0, 'unknown', CAST(facts AS jsonb)"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:facts AS text[])) AS t (id, facts)"
            " ORDER BY id ON CONFLICT DO NOTHING RETURNING case_id"
        ),
        {"ids": sorted(facts), "facts": [json_text(facts[key]) for key in sorted(facts)]},
    )
    return {key: Case(key, 0, facts[key], withdrawn=False) for key in made.scalars()}


def save_cases(conn: AsyncConnection, cases: Sequence[Case]) -> None:
    """Store cases brought forward, later; an older sequence never overwrites a newer one."""
    if not cases:
        return
    later(
        conn,
        text(
            "UPDATE cases c SET sequence = t.sequence, status = t.status,"
            " facts = CAST(t.facts AS jsonb), withdrawn = t.withdrawn, changed_at = now()"
            " FROM unnest((SELECT CAST(:ids AS uuid[])), CAST(:sequences AS bigint[]),"
            " CAST(:status AS text[]), CAST(:facts AS text[]), CAST(:withdrawn AS boolean[]))"
            " AS t (id, sequence, status, facts, withdrawn)"
            " WHERE c.case_id = t.id AND c.sequence < t.sequence"
        ),
        {
            "ids": [c.case_id for c in cases],
            "sequences": [c.sequence for c in cases],
            "status": [c.facts.status for c in cases],
            "facts": [json_text(c.facts) for c in cases],
            "withdrawn": [c.withdrawn for c in cases],
        },
    )


# --- Referrals ----------------------------------------------------------------------------------


def referral_in(row: Any) -> Referral:  # noqa: ANN401  (a database row)
    """Return the referral that a row with its `body` holds."""
    return msgspec.convert(plain(row.body), Referral)


async def lock_referrals(
    conn: AsyncConnection, cases: Collection[UUID]
) -> dict[UUID, dict[UUID, Referral]]:
    """Lock and read every referral of these cases, in order of id; the cases are locked before."""
    rows = await conn.execute(
        text(
            "SELECT body FROM referrals WHERE case_id = ANY(CAST(:ids AS uuid[]))"
            " ORDER BY referral_id FOR UPDATE"
        ),
        {"ids": sorted(cases)},
    )
    found: dict[UUID, dict[UUID, Referral]] = {}
    for row in rows:
        referral = referral_in(row)
        found.setdefault(referral.case_id, {})[referral.referral_id] = referral
    return found


async def find_referral(conn: AsyncConnection, referral_id: UUID) -> Referral | None:
    """Read one referral; None if it is not there or not for this organisation."""
    rows = await conn.execute(
        text("SELECT body FROM referrals WHERE referral_id = :id"), {"id": referral_id}
    )
    row = rows.first()
    return None if row is None else referral_in(row)


async def needs_of(conn: AsyncConnection, referrals: Collection[UUID]) -> dict[UUID, set[str]]:
    """Return the needs of these referrals, by case; nothing is locked."""
    rows = await conn.execute(
        text("SELECT case_id, need FROM referrals WHERE referral_id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": sorted(referrals)},
    )
    found: dict[UUID, set[str]] = {}
    for row in rows:
        found.setdefault(row.case_id, set()).add(row.need)
    return found


_SAVE: Final = text("""
INSERT INTO referrals (referral_id, case_id, need, urgency, state, attempt, version, provider_id,
  offer_id, feed_seq, answer_by, acknowledged, test, body)
SELECT referral_id, case_id, need, urgency, state, attempt, version, provider_id, offer_id,
  feed_seq, answer_by, acknowledged, test, CAST(body AS jsonb)
FROM unnest(CAST(:referral_id AS uuid[]), CAST(:case_id AS uuid[]), CAST(:need AS text[]),
  CAST(:urgency AS text[]), CAST(:state AS text[]), CAST(:attempt AS integer[]),
  CAST(:version AS integer[]), CAST(:provider_id AS text[]), CAST(:offer_id AS text[]),
  CAST(:feed_seq AS bigint[]), CAST(:answer_by AS timestamptz[]),
  CAST(:acknowledged AS boolean[]), CAST(:test AS boolean[]), CAST(:body AS text[]))
  AS t (referral_id, case_id, need, urgency, state, attempt, version, provider_id, offer_id,
  feed_seq, answer_by, acknowledged, test, body)
ORDER BY referral_id
ON CONFLICT (referral_id) DO UPDATE SET urgency = excluded.urgency, state = excluded.state,
  version = excluded.version, provider_id = excluded.provider_id, offer_id = excluded.offer_id,
  feed_seq = excluded.feed_seq, answer_by = excluded.answer_by,
  acknowledged = excluded.acknowledged, body = excluded.body, changed_at = clock_timestamp(),
  txid = pg_current_xact_id(), seq = nextval('referral_order')
""")


def save_referrals(conn: AsyncConnection, referrals: Sequence[Referral]) -> None:
    """Store referrals, new or changed, later; each moves to the end of the order of changes."""
    if not referrals:
        return
    names = ["referral_id", "case_id", "need", "urgency", "state", "attempt", "version"]
    names += ["provider_id", "offer_id", "feed_seq", "answer_by", "test"]
    columns: dict[str, list[Any]] = {n: [getattr(r, n) for r in referrals] for n in names}
    columns["acknowledged"] = [r.acknowledged_at is not None for r in referrals]
    columns["body"] = [json_text(r) for r in referrals]
    later(conn, _SAVE, columns)


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list of referrals is asked for; None is anything."""

    case_id: UUID | None = None
    provider_id: str | None = None
    state: str | None = None

    def where(self, conditions: Iterable[str]) -> str:
        """Return the WHERE clause with further conditions."""
        mine = [f"{n} = :{n}" for n in self.__slots__ if getattr(self, n) is not None]
        return " AND ".join([*mine, *conditions])

    def values(self) -> dict[str, Any]:
        """Return the bound values."""
        return {n: getattr(self, n) for n in self.__slots__ if getattr(self, n) is not None}


async def list_referrals(
    conn: AsyncConnection, wanted: Filter, after: Cursor, limit: int
) -> list[tuple[Referral, Cursor]]:
    """Read referrals in the order of their last change, below every open transaction."""
    where = wanted.where(
        (
            "(txid, seq) > (CAST(CAST(:txid AS text) AS xid8), :seq)",
            "txid < pg_snapshot_xmin(pg_current_snapshot())",
        )
    )
    rows = await conn.execute(
        text(
            f"SELECT body, txid::text AS xid, seq FROM referrals WHERE {where}"  # noqa: S608
            " ORDER BY txid, seq LIMIT :n"
        ),
        {"txid": str(after[0]), "seq": after[1], "n": limit, **wanted.values()},
    )
    return [(referral_in(row), (int(row.xid), row.seq)) for row in rows]


async def list_own(
    conn: AsyncConnection, wanted: Filter, after: int, limit: int
) -> list[tuple[Referral, Cursor]]:
    """Read a provider's referrals in the order of its feed (DECISIONS 17)."""
    where = wanted.where(("feed_seq > :after", "NOT test"))
    rows = await conn.execute(
        text(
            f"SELECT body, feed_seq FROM referrals WHERE {where}"  # noqa: S608
            " ORDER BY feed_seq LIMIT :n"
        ),
        {"after": after, "n": limit, **wanted.values()},
    )
    return [(referral_in(row), (0, row.feed_seq)) for row in rows]


async def hasten(conn: AsyncConnection, needs: Sequence[str], at: datetime) -> int:
    """Make the timers of referrals that wait for one of these needs due now; return how many.

    A timer that fires at this moment is left alone: it holds the case, and locks the offer after
    whoever changes it, so it sees the change or comes before it and is set anew.
    """
    done = await conn.execute(
        text(
            "UPDATE timers SET due_at = least(due_at, :at) WHERE id IN (SELECT t.id FROM timers t"
            " JOIN referrals r ON CAST(r.referral_id AS text) = t.subject"
            " WHERE t.kind = :kind AND r.state = 'waiting'"
            " AND r.need = ANY(CAST(:needs AS text[])) ORDER BY t.id FOR UPDATE OF t SKIP LOCKED)"
        ),
        {"at": at, "kind": DUE, "needs": list(needs)},
    )
    return int(done.rowcount)
