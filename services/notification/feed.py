"""SQL of providers' feeds and of the notices that entries give; transactions are the callers'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from services.notification.domain import Entry, ProviderId, Standing, Subscription, SubscriptionId
from shared.lean import later, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.notification.domain import Notice

ENTRY_COLUMNS: Final = (
    "f.organisation, f.feed_seq, f.event_id, f.type, f.happened_at, f.case_id, f.referral_id,"
    " f.state AS referral_state, f.version, f.test, f.excluded, f.traceparent"
)
"""The columns of `feed f` that `entry_from` reads."""


def entry_from(row: Row[Any]) -> Entry:
    """Return the feed entry in a row with `ENTRY_COLUMNS`."""
    return Entry(
        organisation=ProviderId(row.organisation),
        feed_seq=row.feed_seq,
        event_id=row.event_id,
        type=row.type,
        happened_at=row.happened_at,
        case_id=row.case_id,
        referral_id=row.referral_id,
        state=row.referral_state,
        version=row.version,
        test=row.test,
        excluded=row.excluded,
        traceparent=row.traceparent,
    )


_SUBSCRIBERS: Final = text(
    "SELECT id, organisation, types, standing, created_at FROM subscriptions"
    " WHERE organisation = ANY(CAST(:o AS text[])) AND notifier = :notifier"
    " AND standing <> 'deleted' ORDER BY seq"
)


async def list_subscribers(
    conn: AsyncConnection, organisations: Iterable[str], notifier: str
) -> dict[str, list[Subscription]]:
    """Read these providers' subscriptions to a notifier that are not deleted, by provider."""
    rows = await conn.execute(_SUBSCRIBERS, {"o": sorted(set(organisations)), "notifier": notifier})
    found: dict[str, list[Subscription]] = {}
    for row in rows:
        found.setdefault(row.organisation, []).append(
            Subscription(
                SubscriptionId(row.id),
                ProviderId(row.organisation),
                None if row.types is None else frozenset(row.types),
                Standing(row.standing),
                row.created_at,
            )
        )
    return found


_ENTER: Final = text(
    "WITH entered AS (INSERT INTO feed (organisation, feed_seq, event_id, type, happened_at,"
    " arrived_at, case_id, referral_id, state, version, test, excluded, traceparent)"
    " SELECT o, n, e, y, h, CAST(:at AS timestamptz), c, r, s, v, t, d, p"
    " FROM unnest(CAST(:o AS text[]),"
    " CAST(:n AS bigint[]), CAST(:e AS uuid[]), CAST(:y AS text[]),"
    " CAST(:h AS timestamptz[]), CAST(:c AS uuid[]), CAST(:r AS uuid[]),"
    " CAST(:s AS text[]), CAST(:v AS integer[]), CAST(:t AS boolean[]), CAST(:d AS boolean[]),"
    " CAST(:p AS text[])) AS x (o, n, e, y, h, c, r, s, v, t, d, p) ORDER BY o, n)"
    " INSERT INTO feed_heads AS h (organisation)"
    " SELECT DISTINCT o FROM unnest(CAST(:o AS text[])) AS x (o)"
    " ORDER BY o ON CONFLICT (organisation) DO UPDATE SET complete = h.complete"
    " RETURNING organisation, complete"
)
"""Adds entries and locks their feeds' heads."""

_ADVANCE: Final = text(
    "UPDATE feed_heads h SET complete = x.complete, seen = x.seen,"
    " gap_since = CASE WHEN x.seen <= x.complete THEN NULL"
    " WHEN x.complete > h.complete OR h.gap_since IS NULL THEN CAST(:at AS timestamptz)"
    " ELSE h.gap_since END"
    " FROM (SELECT h.organisation, greatest(h.seen, max(f.feed_seq)) AS seen, coalesce("
    "   max(f.feed_seq) FILTER (WHERE f.feed_seq = h.complete + f.rank), h.complete) AS complete"
    "  FROM feed_heads h LEFT JOIN LATERAL"
    "   (SELECT feed_seq, row_number() OVER (ORDER BY feed_seq) AS rank FROM feed"
    "    WHERE organisation = h.organisation AND feed_seq > h.complete) f ON true"
    "  WHERE h.organisation = ANY(CAST((SELECT CAST(:o AS text[])) AS text[]))"
    "  GROUP BY h.organisation, h.complete, h.seen) x"
    " WHERE h.organisation = x.organisation"
)


async def insert_entries(conn: AsyncConnection, entries: Sequence[Entry], at: datetime) -> int:
    """Add entries to their providers' feeds, and move on up to where each feed is complete.

    The feeds' heads are locked in order, so that two batches see one another's entries. Return how
    many entries came after their place was passed over.
    """
    rows = await conn.execute(
        _ENTER,
        {
            "at": at,
            "o": [e.organisation for e in entries],
            "n": [e.feed_seq for e in entries],
            "e": [e.event_id for e in entries],
            "y": [e.type for e in entries],
            "h": [e.happened_at for e in entries],
            "c": [e.case_id for e in entries],
            "r": [e.referral_id for e in entries],
            "s": [e.state for e in entries],
            "v": [e.version for e in entries],
            "t": [e.test for e in entries],
            "d": [e.excluded for e in entries],
            "p": [e.traceparent for e in entries],
        },
    )
    complete = {row.organisation: row.complete for row in rows}
    later(conn, _ADVANCE, {"o": sorted(complete), "at": at})
    return sum(entry.feed_seq <= complete[entry.organisation] for entry in entries)


_NOTICES: Final = text(
    "INSERT INTO notices (notice_id, notifier, organisation, subscription_id, feed_seq,"
    " state, reason, useful_until, created_at, ended_at)"
    " SELECT i, CAST(:notifier AS text), o, s, n, z, w, u, CAST(:at AS timestamptz),"
    " CASE WHEN z = 'waiting' THEN NULL ELSE CAST(:at AS timestamptz) END"
    " FROM unnest(CAST(:i AS uuid[]), CAST(:o AS text[]), CAST(:s AS uuid[]),"
    " CAST(:n AS bigint[]), CAST(:z AS text[]), CAST(:w AS text[]),"
    " CAST(:u AS timestamptz[])) AS x (i, o, s, n, z, w, u) ORDER BY s, n"
)


def insert_notices(
    conn: AsyncConnection, notifier: str, notices: Sequence[Notice], at: datetime
) -> None:
    """Add notices, later; those that are withheld have ended already."""
    later(
        conn,
        _NOTICES,
        {
            "notifier": notifier,
            "at": at,
            "i": [n.id for n in notices],
            "o": [n.entry.organisation for n in notices],
            "s": [n.subscription_id for n in notices],
            "n": [n.entry.feed_seq for n in notices],
            "z": [str(n.state) for n in notices],
            "w": [str(n.reason) if n.reason else None for n in notices],
            "u": [n.useful_until for n in notices],
        },
    )


_CALL_UP: Final = text(
    "UPDATE subscriptions s SET due_at ="
    " CASE WHEN s.failures > 0 THEN coalesce(s.due_at, :at) ELSE least(s.due_at, :at) END"
    " FROM (SELECT id FROM subscriptions"
    " WHERE organisation = ANY(CAST((SELECT CAST(:o AS text[])) AS text[]))"
    " AND (due_at IS NOT NULL OR id = ANY(CAST((SELECT CAST(:s AS uuid[])) AS uuid[])))"
    " ORDER BY id FOR NO KEY UPDATE) found WHERE s.id = found.id"
)


def call_up(
    conn: AsyncConnection,
    organisations: Iterable[str],
    subscriptions: Iterable[UUID],
    at: datetime,
) -> None:
    """Make subscriptions due, later: with something new, or waiting for a gap that is now filled.

    One that backs off keeps its time; one that is being served looks again by itself.
    """
    later(
        conn,
        _CALL_UP,
        {"o": sorted(set(organisations)), "s": sorted(set(subscriptions)), "at": at},
    )


async def list_gaps(conn: AsyncConnection) -> list[tuple[str, int, int, datetime]]:
    """Read the first gap of each feed that has one: provider, first and last missing, since."""
    rows = await conn.execute(
        text(
            "SELECT h.organisation, h.complete + 1 AS first, (SELECT min(f.feed_seq) - 1 FROM feed"
            " f WHERE f.organisation = h.organisation AND f.feed_seq > h.complete) AS last,"
            " h.gap_since FROM feed_heads h WHERE h.gap_since IS NOT NULL ORDER BY h.organisation"
        )
    )
    return [(r.organisation, r.first, r.last, r.gap_since) for r in rows if r.last is not None]


async def pass_over(
    conn: AsyncConnection, organisation: str, first: int, last: int, at: datetime
) -> bool:
    """Let a feed go on without the missing entries from `first` to `last`; False if it moved."""
    moved = await conn.execute(
        text(
            "UPDATE feed_heads SET complete = CAST(:last AS bigint), gap_since = NULL"
            " WHERE organisation = :o AND complete = CAST(:before AS bigint)"
            " AND NOT EXISTS (SELECT 1 FROM feed WHERE organisation = :o"
            " AND feed_seq > CAST(:before AS bigint) AND feed_seq <= CAST(:last AS bigint))"
            " RETURNING 1"
        ),
        {"o": organisation, "before": first - 1, "last": last},
    )
    if moved.first() is None:
        return False
    await conn.execute(_ADVANCE, {"o": [organisation], "at": at})
    call_up(conn, [organisation], (), at)
    return True


async def list_parked_values(
    conn: AsyncConnection, consumer: str, organisation: str
) -> list[bytes | None]:
    """Read the records a consumer parked, not handled since, that hold this provider's id."""
    rows = await conn.execute(
        text(
            "SELECT value FROM parked WHERE consumer = :c AND state <> 'done'"
            " AND position(CAST(:o AS bytea) IN value) > 0"
        ),
        {"c": consumer, "o": organisation.encode()},
    )
    return [bytes(row.value) for row in rows]
