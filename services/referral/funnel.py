"""The funnel now, as metrics from the database: who is where, who waits, who owes an answer.

No label holds more than a state, a need or an urgency. Every process of the service reads the same.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from services.referral.referral import LIVE
from shared import telemetry
from shared.lean import text
from shared.vocabulary import Need, ReferralState, Urgency

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

OWED: Final = {"respond": ReferralState.ASSIGNED, "first_contact": ReferralState.ACCEPTED}
"""What a provider owes, and the state in which it does."""

_LIVE: Final = text(
    "SELECT state, need, urgency, count(*) AS all_, count(*) FILTER (WHERE answer_by < :at) AS late"  # noqa: S608  (states of this program)
    f" FROM referrals WHERE NOT test AND state IN ({', '.join(repr(s) for s in LIVE)})"
    " GROUP BY state, need, urgency"
)
_UNACKNOWLEDGED: Final = text(
    "SELECT count(*) FROM referrals WHERE NOT test AND state IN ('withdrawn', 'entered_in_error')"
    " AND NOT acknowledged AND provider_id IS NOT NULL"
)


async def measure(conn: AsyncConnection, at: datetime) -> None:
    """Set the gauges as the database is; `at` says what is late. Two reads of small indexes."""
    here: Counter[tuple[str, str]] = Counter()
    late: Counter[tuple[str, str]] = Counter()
    for row in await conn.execute(_LIVE, {"at": at}):
        here[row.state, row.need] += row.all_
        late[row.state, row.urgency] += row.late
    unacknowledged = await conn.scalar(_UNACKNOWLEDGED)
    for state in LIVE:
        for need in Need:
            telemetry.REFERRALS_NOW.labels(state, need).set(here[state, need])
    for owed, state in OWED.items():
        for urgency in Urgency:
            telemetry.REFERRALS_UNANSWERED.labels(owed, urgency).set(late[state, urgency])
    waiting = sum(here[ReferralState.WAITING, need] for need in Need)
    telemetry.REFERRALS_WAITING.set(waiting)
    telemetry.WITHDRAWALS_UNACKNOWLEDGED.set(unacknowledged or 0)
    telemetry.FUNNEL.done()
