"""`intake.opener`: reads submissions and opens their cases. A bug here parks, unnoticed outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.intake.service import Intake, Opening, decide_opening
from shared.clock import now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.vault import Vault
    from shared.events import Event
    from shared.outbox import Stamp


class Opener:
    """Opens the cases of each submitted report, once."""

    def __init__(self, intake: Intake, vault: Vault) -> None:
        """Take the use cases and the vault that opens narratives for reading."""
        self._intake = intake
        self._vault = vault

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        """Care about submitted reports only."""
        del needs
        return event_type == "report-submitted"

    async def load(self, conn: AsyncConnection, events: Sequence[Event]) -> Opening:
        """Lock the submissions that are not open yet."""
        return await self._intake.load(conn, [event.data.submission_id for event in events])

    def decide(self, state: Opening, event: Event, stamp: Stamp) -> None:
        """Read the narrative if nobody said the concerns, and open the cases."""
        decide_opening(state, event.data.submission_id, self._vault, stamp)

    async def flush(self, conn: AsyncConnection, state: Opening) -> None:
        """Store cases, readings and events."""
        await self._intake.save(conn, state, now())
