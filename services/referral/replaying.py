"""Rule replay: the decisions of the last days taken again under a policy, beside what happened.

Each stored explanation is a recorded decision: what was asked, and how every offer stood then. It
is decided again from that alone, so the same policy gives the same winner. Each is judged with the
places and loads that stood then; what an earlier other choice would have taken is not carried on.

Read in pages, each in a read-only transaction of its own within the caller's reach: nothing can be
changed, nothing is locked, memory stays as large as one page, however slowly the caller reads.
"""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from services.referral.explaining import decide_again
from services.referral.store import plain
from shared.database import transaction
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.referral.ranking import Policy
    from shared.access_rules import Scope

PAGE: Final = 500
"""Recorded decisions that are read, and told of, at a time."""

MOST_SHOWN: Final = 50
"""Offers that the sums name: those with the greatest differences."""

_THESE: Final = (
    " FROM explanations e JOIN referrals r USING (referral_id)"
    " WHERE e.changed_at >= :since AND e.changed_at < :until AND NOT r.test"
    " AND (CAST(:need AS text) IS NULL OR r.need = :need)"
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is tried: a policy, on the days before `at`, of one need or all, and what is told."""

    policy: Policy
    at: datetime
    days: int
    need: str | None = None
    lines: Literal["changed", "all", "none"] = "changed"


@dataclass(slots=True)
class Sums:
    """What a replay has seen so far. `unreadable`: stored before measures were."""

    seen: int = 0
    same: int = 0
    changed: int = 0
    waited: int = 0
    would_wait: int = 0
    unreadable: int = 0
    chosen: Counter[str] = field(default_factory=Counter)
    would: Counter[str] = field(default_factory=Counter)

    def take(self, told: Mapping[str, Any]) -> dict[str, Any] | None:
        """Count one decision beside itself taken again; return both, None if unreadable."""
        self.seen += 1
        if "again" not in told:
            self.unreadable += 1
            return None
        then, now = told["then"], told["again"]
        self.waited += then["waits"]
        self.would_wait += now["waits"]
        for counted, one in ((self.chosen, then), (self.would, now)):
            if one["chosen"] is not None:
                counted[one["chosen"]] += 1
        same = then == now
        self.same += same
        self.changed += not same
        return {**told, "same": same}

    def shown(self) -> dict[str, Any]:
        """Return the sums, with the offers whose share changes most."""
        moved = {key: self.would[key] - self.chosen[key] for key in {*self.chosen, *self.would}}
        most = sorted((key for key, by in moved.items() if by), key=lambda k: (-abs(moved[k]), k))
        return {
            "seen": self.seen,
            "same": self.same,
            "changed": self.changed,
            "waiting": {"then": self.waited, "would": self.would_wait},
            "unreadable": self.unreadable,
            "offers": [
                {"offer_id": key, "then": self.chosen[key], "would": self.would[key]}
                for key in most[:MOST_SHOWN]
            ],
        }


def beside(explanation: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    """Return a stored decision and the same taken again: `then`, and `again` if it can be."""
    try:
        again = decide_again(explanation, policy)
        waits = explanation["chosen"] is None and not explanation["open_to_persons"]
        then = {"chosen": explanation["chosen"], "waits": waits}
        return {"then": then, "again": {"chosen": again.chosen, "waits": again.waits}}
    except (KeyError, TypeError, ValueError):
        return {}


async def replay(engine: AsyncEngine, scope: Scope, wish: Wish) -> AsyncGenerator[bytes, None]:
    """Yield the lines of a replay; closing the iterator ends it between two pages."""
    span = {"since": wish.at - timedelta(days=wish.days), "until": wish.at, "need": wish.need}
    async with _reading(engine, scope) as conn:
        of = await conn.scalar(text(f"SELECT count(*){_THESE}"), span)
    yield _line("start", policy=wish.policy.version, days=wish.days, decisions=of)
    sums, after = Sums(), (span["since"], "00000000-0000-0000-0000-000000000000")
    while True:
        async with _reading(engine, scope) as conn:
            rows = await _page(conn, span, after)
        if not rows:
            break
        for row in rows:
            told = beside(plain(row.explanation), wish.policy)
            both = sums.take({"referral_id": row.referral_id, "need": row.need, **told})
            wanted = wish.lines == "all" or (wish.lines == "changed" and both and not both["same"])
            if wanted and both:
                happened = {"state": row.state, "offer_id": row.offer_id}
                yield _line("decision", **both, happened=happened)
        after = (rows[-1].changed_at, str(rows[-1].referral_id))
        yield _line("progress", seen=sums.seen, of=max(of or 0, sums.seen))
    yield _line("end", **sums.shown())


@asynccontextmanager
async def _reading(engine: AsyncEngine, scope: Scope) -> AsyncIterator[AsyncConnection]:
    async with transaction(engine, scope) as conn:
        await conn.execute(text("SET TRANSACTION READ ONLY"))
        yield conn


async def _page(
    conn: AsyncConnection, span: Mapping[str, Any], after: tuple[Any, str | UUID]
) -> list[Any]:
    rows = await conn.execute(
        text(
            "SELECT e.referral_id, e.explanation, e.changed_at, r.need, r.state, r.offer_id"
            f"{_THESE} AND (e.changed_at, e.referral_id) > (:changed_at, CAST(:id AS uuid))"
            " ORDER BY e.changed_at, e.referral_id LIMIT :n"
        ),
        {**span, "changed_at": after[0], "id": after[1], "n": PAGE},
    )
    return list(rows)


def _line(event: str, **told: Any) -> bytes:  # noqa: ANN401
    return msgspec.json.encode({"event": event, **told}) + b"\n"
