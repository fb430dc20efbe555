"""What audit tells people of operations: how the history stands, and whether it is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.audit.flags import ALARMS, Flag
from shared.lean import text
from shared.metrics import total
from shared.operations.figures import Block, Figure, Row
from shared.pages.words import N_

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

_FLAGGED: Final = text("""
SELECT flags, count(*) AS n, min(appended_at) AS since FROM entries WHERE flags <> 0
GROUP BY flags ORDER BY n DESC LIMIT 50
""")


FLAGS: Final = {
    Flag.UNREADABLE: N_("It cannot be read"),
    Flag.UNSIGNED: N_("It is not signed"),
    Flag.BAD_SIGNATURE: N_("Its signature does not hold"),
    Flag.WRONG_OWNER: N_("Whoever wrote it may not write there"),
    Flag.GAP: N_("Something before it is missing"),
    Flag.INVERSION: N_("It came after a later one"),
    Flag.REPEATED_SEQUENCE: N_("Another one has its number"),
    Flag.OTHER_BYTES: N_("It came before with another content"),
    Flag.REFUSED: N_("It could not be stored"),
}


async def look(conn: AsyncConnection, _: datetime) -> list[Block]:
    """Return how the history stands; nothing of what it holds."""
    size = int(await conn.scalar(text("SELECT size FROM log_head")) or 0)
    gaps = int(await conn.scalar(text("SELECT count(*) FROM gaps WHERE closed_at IS NULL")) or 0)
    counted: dict[Flag, int] = {}
    for row in await conn.execute(_FLAGGED):
        for flag in Flag:
            if row.flags & flag:
                counted[flag] = counted.get(flag, 0) + row.n
    alarms = sum(n for flag, n in counted.items() if flag & ALARMS)
    return [
        Block(
            N_("The log"),
            (
                Figure(N_("Entries"), size),
                Figure(
                    N_("Entries under the last checkpoint"), _gauge("pashe_audit_signed_entries")
                ),
                Figure(N_("Events that are missing"), gaps, care=True),
                Figure(N_("Entries that vouch for nothing"), alarms, care=True),
                Figure(
                    N_("The database contradicts the checkpoint outside"),
                    _gauge("pashe_audit_refused"),
                    care=True,
                ),
            ),
            heads=(N_("What is wrong with an entry"), N_("How many")),
            rows=tuple(
                Row((("text", FLAGS[flag]),), n)
                for flag, n in sorted(counted.items(), key=lambda one: -one[1])
            ),
        )
    ]


def _gauge(name: str) -> int:
    return int(total(name) or 0)
