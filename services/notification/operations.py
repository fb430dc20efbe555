"""What notification tells people of operations: what was withheld or failed, and by which way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.lean import text
from shared.metrics import total
from shared.operations.figures import Block, Figure, Row
from shared.pages.words import N_

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

FATES: Final = {"failed": N_("failed"), "unknown": N_("not known"), "withheld": N_("withheld")}
WAYS: Final = {
    "webhook": N_("To a place's system"),
    "kafka": N_("To a place's stream"),
    "sms": N_("SMS to a person"),
    "page": N_("SMS to whoever is on duty"),
    "provider": N_("SMS to a place's worker"),
    "digest": N_("The day's SMS to a supervisor"),
    "whatsapp": N_("WhatsApp"),
    "voice": N_("A spoken call"),
    "push": N_("A sign on a phone"),
    "email": N_("E-mail"),
}
STANDINGS: Final = {
    "dead": N_("no answer for too long"),
    "disabled": N_("its receiver wanted no more"),
}
WHY: Final = {
    "never-by-machine": N_("no machine may tell this"),
    "danger-now": N_("danger now: a person calls"),
    "no-row": N_("no rule allows it"),
    "test": N_("a test"),
    "stale": N_("too old to be told"),
    "repeated": N_("told already"),
    "no-gateway": N_("no way out is set up"),
    "no-consent": N_("the person did not agree"),
    "no-safe-hour": N_("no safe hour"),
    "no-safe-contact": N_("no safe contact"),
    "contact-stopped": N_("contact was stopped"),
    "expired": N_("its time ran out"),
    "no-number": N_("no number"),
    "erased": N_("it was erased"),
    "no-case": N_("nobody knows what it is about"),
    "no-safe-way": N_("no safe way"),
    "at-desk": N_("whoever it is for is at the desk"),
    "taken": N_("somebody took it already"),
    "contact-unchecked": N_("the contact could not be checked"),
    "unserved": N_("nothing here serves this way"),
    "too-many": N_("too many in a short time"),
    "no-worker": N_("no worker's number is known"),
    "conflict": N_("somebody is involved"),
    "subscription-disabled": N_("its receiver wanted no more"),
    "subscription-deleted": N_("nobody wants it any more"),
    "exhausted": N_("every try failed"),
    "gone": N_("its receiver is gone"),
}
"""Why a message was withheld or failed; a gateway's own reason is shown as it said it."""

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
        Row((_way(row.notifier), ("text", FATES[row.state]), _why(row.reason)), row.n)
        for row in await conn.execute(_FATES, {"at": at})
    )
    dead = tuple(
        Row((("", row.organisation), ("text", STANDINGS[row.standing])), row.n, row.since)
        for row in await conn.execute(_SUBSCRIPTIONS)
    )
    braked = sum(_braked(row.notifier) for row in waiting)
    return [
        Block(
            N_("Gateways"),
            (Figure(N_("Gateways that do not answer"), braked, care=True),),
            heads=(N_("Way"), N_("Waiting")),
            rows=tuple(Row((_way(row.notifier),), row.n, row.since) for row in waiting),
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


def _way(notifier: str) -> tuple[str, str]:
    return ("text", WAYS[notifier]) if notifier in WAYS else ("", notifier)


def _why(reason: str | None) -> tuple[str, str]:
    if reason is None:
        return "text", "–"
    return ("text", WHY[reason]) if reason in WHY else ("", reason)


def _braked(notifier: str) -> int:
    found = total("pashe_sms_gateway_braked", notifier=notifier)
    return int(found or 0)
