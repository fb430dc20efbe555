"""Asking with a receipt over a channel that says it in digits: SMS, USSD, voice, WhatsApp."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.intake.receipts import parse_receipt
from services.intake.reporters import store
from services.intake.reporters.guessing import Guesses, TooManyGuesses
from services.intake.reporters.status import Answer, Said, answer_of
from shared.clock import now
from shared.text import ascii_digits

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection


class Asking:
    """Finds the answer behind a receipt, and slows down whoever guesses."""

    def __init__(self, pepper: bytes, clock: Callable[[], datetime] = now) -> None:
        """Take the pepper of receipts, and the clock."""
        self._pepper = pepper
        self._guesses = Guesses(pepper, clock)

    async def answer(self, conn: AsyncConnection, said: str, who: str) -> Answer | None:
        """Return one of the four answers; None for no such receipt, or too many guesses of `who`.

        Whatever stands around the digits is left out.
        """
        digits = "".join(c for c in ascii_digits(said) if c.isdigit())
        receipt = parse_receipt(said) or parse_receipt(digits)
        try:
            await self._guesses.check(conn, who)
        except TooManyGuesses:
            return None
        report = None
        if receipt is not None:
            report = await store.find_report(conn, receipt.digest(self._pepper))
        if report is None:
            await self._guesses.count(conn, who)
            return None
        messages = await store.messages_of(conn, report.submission_id)
        return answer_of(seen=report.seen, said=[Said(m.way, m.kind) for m in messages])
