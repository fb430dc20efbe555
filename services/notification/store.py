"""SQL of subscriptions and notices; feed.py has the feeds', claims.py that of serving.

Nothing here decides anything; transactions are the callers'. On the web role row-level security
shows a provider its own rows only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

Cursor = tuple[int, int]
"""Place in a list: transaction id and row number; (0, 0) is the beginning."""

REPLAY: Final = 10_000
"""Entries that one replay may bring back."""

_SUBSCRIPTION: Final = (
    "id, seq, organisation, notifier, url, types, public_key, standing, created_at, ended_at,"
    " ended_why, failures, last_success_at, last_cursor, last_failure_at, last_status,"
    " last_trouble, due_at"
)


async def insert_subscription(
    conn: AsyncConnection,
    *,
    subscription_id: UUID,
    organisation: str,
    url: str | None,
    types: Sequence[str] | None,
    sealed: bytes,
    public_key: str | None,
    at: datetime,
    actor: str,
) -> bool:
    """Add a subscription that is active from `at` on, without a URL to the provider's topic.

    False if there is one to that topic already.
    """
    added = await conn.execute(
        text(
            "INSERT INTO subscriptions (id, organisation, notifier, url, types, secret, public_key,"
            " created_at, created_by) VALUES (:id, :o,"
            " CASE WHEN CAST(:url AS text) IS NULL THEN 'kafka' ELSE 'webhook' END, :url,"
            " CAST(:types AS text[]), :secret, :public, :at, :actor)"
            " ON CONFLICT (organisation, notifier)"
            " WHERE notifier <> 'webhook' AND standing <> 'deleted' DO NOTHING RETURNING id"
        ),
        {
            "id": subscription_id,
            "o": organisation,
            "url": url,
            "types": None if types is None else list(types),
            "secret": sealed,
            "public": public_key,
            "at": at,
            "actor": actor,
        },
    )
    return added.first() is not None


async def count_subscriptions(conn: AsyncConnection) -> int:
    """Count the subscriptions that the caller sees."""
    statement = text("SELECT count(*) FROM subscriptions WHERE standing <> 'deleted'")
    return int(await conn.scalar(statement) or 0)


async def list_subscriptions(
    conn: AsyncConnection, provider: str | None, after: int, limit: int
) -> list[Row[Any]]:
    """Read the subscriptions that the caller sees, oldest first, from a row number on."""
    rows = await conn.execute(
        text(
            f"SELECT {_SUBSCRIPTION} FROM subscriptions WHERE standing <> 'deleted'"  # noqa: S608
            " AND seq > :after AND (CAST(:p AS text) IS NULL OR organisation = :p)"
            " ORDER BY seq LIMIT :n"
        ),
        {"after": after, "p": provider, "n": limit},
    )
    return list(rows.all())


async def find_subscription(
    conn: AsyncConnection, subscription_id: UUID, *, lock: bool = False
) -> Row[Any] | None:
    """Read one subscription that the caller sees and that is not deleted, locked if asked."""
    rows = await conn.execute(
        text(
            f"SELECT {_SUBSCRIPTION} FROM subscriptions"  # noqa: S608
            " WHERE id = :id AND standing <> 'deleted'" + (" FOR NO KEY UPDATE" if lock else "")
        ),
        {"id": subscription_id},
    )
    return rows.first()


async def count_waiting(conn: AsyncConnection, subscription_id: UUID) -> int:
    """Count the notices that wait for a subscription."""
    statement = text(
        "SELECT count(*) FROM notices WHERE subscription_id = :id AND state = 'waiting'"
    )
    return int(await conn.scalar(statement, {"id": subscription_id}) or 0)


async def delete_subscription(conn: AsyncConnection, subscription_id: UUID, at: datetime) -> None:
    """Mark a subscription deleted, blank its secret, and have what waits withheld."""
    await conn.execute(
        text(
            "UPDATE subscriptions SET standing = 'deleted', secret = '', ended_at = :at,"
            " ended_why = 'deleted', due_at = :at WHERE id = :id"
        ),
        {"id": subscription_id, "at": at},
    )


async def enable_subscription(conn: AsyncConnection, subscription_id: UUID, at: datetime) -> None:
    """Bring a subscription back with no failures, due now."""
    await conn.execute(
        text(
            "UPDATE subscriptions SET standing = 'active', failures = 0, ended_at = NULL,"
            " ended_why = NULL, due_at = :at WHERE id = :id"
        ),
        {"id": subscription_id, "at": at},
    )


async def replay_feed(
    conn: AsyncConnection,
    notifier: str,
    subscription_id: UUID,
    after: int,
    useful_until: datetime,
    at: datetime,
) -> list[int]:
    """Make up to `REPLAY` entries after a cursor wait again; return their places in the feed.

    Its types decide which; what is for a test, or what its provider must not hear of, stays
    withheld. An entry keeps its notice and its id. Neither the subscription nor a notice that
    waits is locked: nobody stands behind a long replay. Call `hasten` after the commit.
    """
    rows = await conn.execute(
        text(
            "WITH f AS (SELECT f.organisation, s.id, f.feed_seq"
            " FROM subscriptions s JOIN feed f ON f.organisation = s.organisation"
            " WHERE s.id = :id AND f.feed_seq > :after AND NOT f.test AND NOT f.excluded"
            " AND (s.types IS NULL OR f.type = ANY(s.types)) ORDER BY f.feed_seq LIMIT :n),"
            " again AS (UPDATE notices n SET state = 'waiting', reason = NULL, attempt = 0,"
            " status = NULL, ended_at = NULL, useful_until = CAST(:until AS timestamptz) FROM f"
            " WHERE n.subscription_id = f.id AND n.feed_seq = f.feed_seq AND n.state <> 'waiting'"
            " RETURNING n.feed_seq),"
            " new AS (INSERT INTO notices (notifier, organisation, subscription_id, feed_seq,"
            " state, useful_until, created_at)"
            " SELECT CAST(:notifier AS text), f.organisation, f.id, f.feed_seq, 'waiting',"
            " CAST(:until AS timestamptz), CAST(:at AS timestamptz) FROM f WHERE NOT EXISTS"
            " (SELECT 1 FROM notices n WHERE n.subscription_id = f.id AND n.feed_seq = f.feed_seq)"
            " ORDER BY f.feed_seq ON CONFLICT (subscription_id, feed_seq) DO NOTHING"
            " RETURNING feed_seq)"
            " SELECT feed_seq FROM again UNION ALL SELECT feed_seq FROM new"
        ),
        {
            "notifier": notifier,
            "id": subscription_id,
            "after": after,
            "until": useful_until,
            "at": at,
            "n": REPLAY,
        },
    )
    return sorted(row.feed_seq for row in rows)


async def hasten(conn: AsyncConnection, subscription_id: UUID, at: datetime) -> None:
    """Make a subscription due; one that backs off keeps its time."""
    await conn.execute(
        text(
            "UPDATE subscriptions SET due_at = CASE WHEN failures > 0 THEN coalesce(due_at, :at)"
            " ELSE :at END WHERE id = :id"
        ),
        {"id": subscription_id, "at": at},
    )


# --- housekeeping --------------------------------------------------------------------------------


async def keep_fingerprint(conn: AsyncConnection, fingerprint: bytes) -> bool:
    """Store the sealing key's fingerprint; False when the database knows only another key."""
    rows = await conn.execute(
        text("SELECT fingerprint FROM key_fingerprints WHERE kind = 'seal' FOR UPDATE")
    )
    known = {bytes(row.fingerprint) for row in rows}
    if known and fingerprint not in known:
        return False
    await conn.execute(
        text(
            "INSERT INTO key_fingerprints (kind, fingerprint) VALUES ('seal', :f)"
            " ON CONFLICT DO NOTHING"
        ),
        {"f": fingerprint},
    )
    return True


async def count_standings(conn: AsyncConnection) -> dict[str, int]:
    """Count webhook subscriptions that are not deleted, by standing."""
    rows = await conn.execute(
        text(
            "SELECT standing, count(*) AS n FROM subscriptions"
            " WHERE notifier = 'webhook' AND standing <> 'deleted' GROUP BY standing"
        )
    )
    return {row.standing: row.n for row in rows}


async def forget(conn: AsyncConnection, before: datetime) -> int:
    """Delete feed entries and ended notices from before; what waits is kept. Return how many."""
    gone = await conn.execute(
        text("DELETE FROM notices WHERE created_at < :at AND state <> 'waiting'"), {"at": before}
    )
    await conn.execute(
        text(
            "DELETE FROM feed f WHERE arrived_at < :at AND NOT EXISTS (SELECT 1 FROM notices n"
            " WHERE n.organisation = f.organisation AND n.feed_seq = f.feed_seq)"
        ),
        {"at": before},
    )
    return int(gone.rowcount)
