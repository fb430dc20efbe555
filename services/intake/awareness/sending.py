"""Sends notices of awareness by the SMS gateway: by day, slowly, each at most once.

One is claimed before it is sent; what was being sent when a process died is `unknown` and is never
sent again. The number is opened for the sending alone.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag

from services.intake.awareness import messages_store as store
from services.intake.awareness.messages import may_send, text_of
from services.intake.awareness.subscribers import end, seal_id
from shared import telemetry
from shared.clock import now
from shared.sms import UNREACHED, Refused, Sent
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from services.intake.awareness.messages_store import Claimed
    from services.intake.casework.numbers import Numbers
    from shared.sms import Gateway

PACE: Final = 1.0
"""Seconds between two notices of a process."""

POLL: Final = 5.0
"""Seconds between looks when nothing is due."""

LOST_AFTER: Final = timedelta(minutes=5)
"""What is being sent for longer belonged to a process that died; no exchange takes so long."""

AGAIN: Final = timedelta(minutes=1)
"""When something that was certainly not sent is tried again, if the gateway does not say."""

_log = Log("awareness")


class Sender:
    """Sends what is due; more than one process may."""

    def __init__(
        self,
        engine: AsyncEngine,
        numbers: Numbers,
        gateway: Gateway,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Take the flow engine, what opens numbers, and the gateway."""
        self._engine = engine
        self._numbers = numbers
        self._gateway = gateway
        self._clock = clock

    async def run(self) -> None:
        """Send what is due until cancelled; a lost database only makes it wait."""
        while True:
            try:
                tried = await self.round()
            except Exception as error:  # noqa: BLE001  (a lost database only makes it wait)
                _log.error("awareness-round-failed", error)
                tried = False
            await asyncio.sleep(PACE if tried else POLL)

    async def round(self) -> bool:
        """Send the next notice that is due; say whether there was one."""
        at = self._clock()
        async with self._engine.begin() as conn:
            for state, many in (await store.give_up(conn, at, at - LOST_AFTER)).items():
                telemetry.AWARENESS_MESSAGES.labels(state).inc(many)
            claimed = await store.claim(conn, at) if may_send(at) else None
        if claimed is None:
            return False
        number, words = self._open(claimed), text_of(claimed.set_name, claimed.language)
        if number is None or words is None:
            await self._mark(claimed, "failed")
            return True
        outcome = await self._gateway.send(number, words, str(claimed.sending_id))
        if isinstance(outcome, Sent):
            await self._mark(claimed, "sent")
        elif not isinstance(outcome, Refused):
            await self._mark(claimed, "unknown")
        elif outcome.again:
            await self._mark(claimed, "planned", max(outcome.after or AGAIN, AGAIN))
        else:
            await self._mark(claimed, "failed", forget=outcome.reason in UNREACHED)
        return True

    def _open(self, claimed: Claimed) -> str | None:
        try:
            return self._numbers.open(seal_id(claimed.index), claimed.number)
        except InvalidTag as error:
            _log.error("awareness-number-not-opened", error)
            return None

    async def _mark(
        self,
        claimed: Claimed,
        state: str,
        after: timedelta | None = None,
        *,
        forget: bool = False,
    ) -> None:
        """Note what became of it; `forget` a number behind which nobody wants a message."""
        at = self._clock()
        async with self._engine.begin() as conn:
            await store.mark(conn, claimed.sending_id, state, at, at + after if after else None)
            if forget:
                await end(conn, claimed.index)
        if state != "planned":
            telemetry.AWARENESS_MESSAGES.labels(state).inc()
