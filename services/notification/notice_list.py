"""SQL of the one list of all notices, to systems and to persons, in the order they were made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from shared.lean import text

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.notification.store import Cursor

_PLACE: Final = (
    "(n.txid, n.seq) > (CAST(CAST(:txid AS text) AS xid8), :seq)"
    " AND n.txid < pg_snapshot_xmin(pg_current_snapshot())"
    " AND (CAST(:state AS text) IS NULL OR n.state = :state)"
)

_END: Final = "ORDER BY n.txid, n.seq LIMIT :n"

_LIST: Final = text(
    "SELECT n.txid::text AS xid, n.seq, n.notice_id, n.notifier, n.recipient,"  # noqa: S608
    " n.subscription_id, n.organisation, n.case_id, n.referral_id, n.event_id, n.type, n.feed_seq,"
    " n.happened_at, n.template, n.state, n.reason, n.attempt, n.status, n.test, n.created_at,"
    " n.due_at, n.ended_at FROM ("
    "(SELECT n.txid, n.seq, n.notice_id, n.notifier, 'provider' AS recipient, n.subscription_id,"
    " n.organisation, f.case_id, f.referral_id, f.event_id, f.type, n.feed_seq, f.happened_at,"
    " CAST(NULL AS text) AS template, n.state, n.reason, n.attempt, n.status, f.test,"
    " n.created_at, CAST(NULL AS timestamptz) AS due_at, n.ended_at"
    " FROM notices n JOIN feed f ON f.organisation = n.organisation AND f.feed_seq = n.feed_seq"
    f" WHERE {_PLACE} AND (CAST(:case AS uuid) IS NULL OR f.case_id = :case)"
    f" AND (CAST(:sub AS uuid) IS NULL OR n.subscription_id = :sub) {_END})"
    " UNION ALL"
    " (SELECT n.txid, n.seq, n.notice_id, n.notifier, n.recipient, NULL, NULL, n.case_id,"
    " n.referral_id, n.event_id, n.type, NULL, n.happened_at, nullif(n.template, ''), n.state,"
    " n.reason, n.attempt, n.status, n.test, n.created_at, n.due_at, n.ended_at"
    f" FROM person_notices n WHERE {_PLACE} AND CAST(:sub AS uuid) IS NULL"
    f" AND (CAST(:case AS uuid) IS NULL OR n.case_id = :case) {_END})) n {_END}"
)


async def list_notices(
    conn: AsyncConnection,
    after: Cursor,
    limit: int,
    *,
    case_id: UUID | None,
    subscription_id: UUID | None,
    state: str | None,
) -> list[Row[Any]]:
    """Read the notices that the caller sees in the order of their commits.

    Rows stay below every transaction still open: a later commit never slips in before a cursor.
    Notices to persons are seen by staff alone, and have no subscription.
    """
    rows = await conn.execute(
        _LIST,
        {
            "txid": str(after[0]),
            "seq": after[1],
            "case": case_id,
            "sub": subscription_id,
            "state": state,
            "n": limit,
        },
    )
    return list(rows.all())


def render_notice(row: Row[Any]) -> dict[str, Any]:
    """Render a notice: what was told about which case, never to whom."""
    return {
        "notice_id": row.notice_id,
        "notifier": row.notifier,
        "recipient": row.recipient,
        "subscription_id": row.subscription_id,
        "provider_id": row.organisation,
        "case_id": row.case_id,
        "referral_id": row.referral_id,
        "event_id": row.event_id,
        "type": row.type,
        "cursor": row.feed_seq,
        "happened_at": row.happened_at,
        "template": row.template,
        "state": row.state,
        "reason": row.reason,
        "attempt": row.attempt,
        "status": row.status,
        "test": row.test,
        "created_at": row.created_at,
        "due_at": row.due_at,
        "ended_at": row.ended_at,
    }
