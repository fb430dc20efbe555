"""What notification tells people of operations: what was withheld or failed, and by which way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from shared.metrics import total
from shared.operations.figures import Block, Figure, Row
from shared.pages.words import N_

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

FATES: Final = {"failed": N_("failed"), "unknown": N_("not known"), "withheld": N_("withheld")}

_FATES: Final = text("""
SELECT notifier, state, reason, count(*) AS n FROM (
  SELECT notifier, state, reason FROM person_notices WHERE NOT test
    AND created_at > CAST(:at AS timestamptz) - interval '1 day'
  UNION ALL
  SELECT notifier, state, reason FROM notices
    WHERE created_at > CAST(:at AS timestamptz) - interval '1 day'
) n WHERE state IN ('failed', 'unknown', 'withheld')
GROUP BY notifier, state, reason ORDER BY n DESC LIMIT 30
""")
_WAITING: Final = text("""
SELECT notifier, count(*) AS n, min(due_at) FILTER (WHERE due_at < :at) AS since
FROM person_notices WHERE state IN ('waiting', 'in_flight') GROUP BY notifier ORDER BY notifier
""")
_SUBSCRIPTIONS: Final = text("""
SELECT organisation, standing, count(*) AS n, min(ended_at) AS since FROM subscriptions
WHERE standing IN ('dead', 'disabled') GROUP BY organisation, standing ORDER BY organisation
LIMIT 30
""")


async def look(conn: AsyncConnection, at: datetime) -> list[Block]:
    """Return what did not arrive: ways, reasons and keys of providers, never to whom."""
    waiting = list(await conn.execute(_WAITING, {"at": at}))
    fates = tuple(
        Row((("", row.notifier), ("text", FATES[row.state]), ("", _words(row.reason))), row.n)
        for row in await conn.execute(_FATES, {"at": at})
    )
    dead = tuple(
        Row((("", row.organisation), ("", row.standing)), row.n, row.since)
        for row in await conn.execute(_SUBSCRIPTIONS)
    )
    braked = sum(_braked(row.notifier) for row in waiting)
    return [
        Block(
            N_("Gateways"),
            (Figure(N_("Gateways that do not answer"), braked, care=True),),
            heads=(N_("Way"), N_("Waiting")),
            rows=tuple(Row((("", row.notifier),), row.n, row.since) for row in waiting),
        ),
        Block(
            N_("Withheld or failed, one day"),
            (Figure(N_("Messages"), sum(row.count for row in fates)),),
            heads=(N_("Way"), N_("What became of it"), N_("Why"), N_("How many")),
            rows=fates,
        ),
        Block(
            N_("Subscriptions that ended by themselves"),
            (Figure(N_("Dead"), sum(row.count for row in dead), care=True),),
            heads=(N_("Place of help"), N_("State"), N_("How many")),
            rows=dead,
        ),
    ]


def _words(reason: str | None) -> str:
    return (reason or "–").replace("_", " ").replace("-", " ")


def _braked(notifier: str) -> int:
    found = total("pashe_sms_gateway_braked", notifier=notifier)
    return int(found or 0)
