"""SQL of notices to persons; person_claims.py has that of serving them.

A row says what was to be told about which case, never to whom: the number is nowhere, and a keyed
mark of it stays for the hour in which the same person must not get too much.
Transactions are the callers'. Lock order: the notice, then the outbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from services.notification.domain import NoticeId, NoticeState
from services.notification.policy import Recipient
from shared.erasure import blank_events, schedule_blanking
from shared.erasure_list import CASE
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.erasure_list import Line


@dataclass(frozen=True, slots=True)
class PersonNotice:
    """One notice to a person, or to staff about a case: then it is of no referral.

    A digest is of no case: `case_id` is the entry of the roster, `waiting` and `soon` its counts.
    `attempt` counts sends, `tries` what was put off. Times are UTC.
    """

    id: NoticeId
    notifier: str
    recipient: Recipient
    case_id: UUID
    referral_id: UUID | None
    event_id: UUID
    type: str
    happened_at: datetime
    template: str
    state: NoticeState
    useful_until: datetime
    test: bool
    reason: str | None = None
    traceparent: str | None = None
    attempt: int = 0
    tries: int = 0
    waiting: int | None = None
    soon: int | None = None


COLUMNS: Final = (
    "n.notice_id, n.notifier, n.recipient, n.case_id, n.referral_id, n.event_id, n.type,"
    " n.happened_at, n.template, n.state, n.useful_until, n.test, n.reason, n.traceparent,"
    " n.attempt, n.tries, n.waiting, n.soon"
)
"""The columns of `person_notices n` that `notice_from` reads."""


def notice_from(row: Row[Any]) -> PersonNotice:
    """Return the notice in a row with `COLUMNS`."""
    return PersonNotice(
        id=NoticeId(row.notice_id),
        notifier=row.notifier,
        recipient=Recipient(row.recipient),
        case_id=row.case_id,
        referral_id=row.referral_id,
        event_id=row.event_id,
        type=row.type,
        happened_at=row.happened_at,
        template=row.template,
        state=NoticeState(row.state),
        useful_until=row.useful_until,
        test=row.test,
        reason=row.reason,
        traceparent=row.traceparent,
        attempt=row.attempt,
        tries=row.tries,
        waiting=row.waiting,
        soon=row.soon,
    )


_INSERT: Final = text(
    "INSERT INTO person_notices (notice_id, notifier, recipient, case_id, referral_id, event_id,"
    " type, happened_at, template, state, reason, useful_until, test, traceparent, waiting, soon,"
    " created_at, due_at, ended_at)"
    " SELECT i, m, p, c, r, e, y, h, x, z, w, u, t, k, a, s, CAST(:at AS timestamptz),"
    " CASE WHEN z = 'waiting' THEN CAST(:at AS timestamptz)"
    "  + CASE p WHEN 'provider' THEN interval '1 second' ELSE interval '0' END END,"
    " CASE WHEN z = 'waiting' THEN NULL ELSE CAST(:at AS timestamptz) END"
    " FROM unnest(CAST(:i AS uuid[]), CAST(:m AS text[]), CAST(:p AS text[]), CAST(:c AS uuid[]),"
    " CAST(:r AS uuid[]), CAST(:e AS uuid[]), CAST(:y AS text[]), CAST(:h AS timestamptz[]),"
    " CAST(:x AS text[]), CAST(:z AS text[]), CAST(:w AS text[]), CAST(:u AS timestamptz[]),"
    " CAST(:t AS boolean[]), CAST(:k AS text[]), CAST(:a AS integer[]), CAST(:s AS integer[]))"
    " WITH ORDINALITY AS v (i, m, p, c, r, e, y, h, x, z, w, u, t, k, a, s, o) ORDER BY o"
)


async def insert(conn: AsyncConnection, notices: Sequence[PersonNotice], at: datetime) -> None:
    """Add notices; what waits is due at once, the rest has ended already.

    To a provider it is due in a second: until then many are sifted at once.
    """
    await conn.execute(
        _INSERT,
        {
            "at": at,
            "i": [n.id for n in notices],
            "m": [n.notifier for n in notices],
            "p": [str(n.recipient) for n in notices],
            "c": [n.case_id for n in notices],
            "r": [n.referral_id for n in notices],
            "e": [n.event_id for n in notices],
            "y": [n.type for n in notices],
            "h": [n.happened_at for n in notices],
            "x": [n.template for n in notices],
            "z": [str(n.state) for n in notices],
            "w": [n.reason for n in notices],
            "u": [n.useful_until for n in notices],
            "t": [n.test for n in notices],
            "k": [n.traceparent for n in notices],
            "a": [n.waiting for n in notices],
            "s": [n.soon for n in notices],
        },
    )


async def forget_marks(conn: AsyncConnection, before: datetime) -> None:
    """Blank the marks of recipients of what was sent before then."""
    await conn.execute(
        text(
            "UPDATE person_notices SET recipient_mark = NULL"
            " WHERE recipient_mark IS NOT NULL AND in_flight_at < :before AND state <> 'in_flight'"
        ),
        {"before": before},
    )


_BLANK: Final = text(
    "UPDATE person_notices SET type = 'erased', template = '', traceparent = NULL,"
    " recipient_mark = NULL, happened_at = created_at, due_at = NULL, ask_at = NULL,"
    " reason = CASE WHEN state = 'waiting' THEN 'erased' ELSE reason END,"
    " ended_at = CASE WHEN state = 'waiting' THEN now() ELSE ended_at END,"
    " state = CASE WHEN state = 'waiting' THEN 'withheld' ELSE state END"
    " WHERE case_id = CAST(:c AS uuid) AND type <> 'erased' AND state <> 'in_flight'"
)


async def blank_notices(conn: AsyncConnection, case_id: str) -> int:
    """Blank what was to be told about an erased case, and send no more; return how many.

    Ids, state and times of sending stay. What is being sent this moment is blanked at the next
    look.
    """
    blanked = (await conn.execute(_BLANK, {"c": case_id})).rowcount
    await conn.execute(
        text("UPDATE feed SET traceparent = NULL WHERE case_id = CAST(:c AS uuid)"), {"c": case_id}
    )
    return blanked


async def erase_again(conn: AsyncConnection, line: Line) -> None:
    """Blank what a database that was put back holds of a case that was erased since."""
    if line.subject == CASE:
        case = str(line.case_id)
        await blank_notices(conn, case)
        await blank_events(conn, case)
        await schedule_blanking(conn, [case], line.at)


async def find_oldest_due(conn: AsyncConnection, notifier: str, at: datetime) -> datetime | None:
    """Return since when the longest waiting notice is due; None when none is."""
    found: datetime | None = await conn.scalar(
        text(
            "SELECT min(due_at) FROM person_notices WHERE notifier = :notifier"
            " AND state = 'waiting' AND due_at <= :at"
        ),
        {"notifier": notifier, "at": at},
    )
    return found


async def forget(conn: AsyncConnection, before: datetime) -> None:
    """Delete notices from before that have ended."""
    await conn.execute(
        text(
            "DELETE FROM person_notices WHERE created_at < :at"
            " AND state NOT IN ('waiting', 'in_flight')"
        ),
        {"at": before},
    )
