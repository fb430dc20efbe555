"""A text that is a provider's answer to a referral: it is no report, and is told referral."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.intake.contacts.answer import parse_answer
from services.intake.contacts.answering import Outcome, take_answer
from services.intake.reporters.store import is_stopped
from shared.telemetry import Log
from shared.text import detect_language
from shared.vocabulary import Channel

if TYPE_CHECKING:
    from datetime import datetime

    from services.intake.channels import Desk

_log = Log("sms-answers")


async def try_answer(
    desk: Desk, text: str, sender: bytes | None, message: tuple[str, bytes], at: datetime
) -> str | None:
    """Take a text as a provider's answer; return the language of the thanks, "" for none.

    There are none for a repeat, and to a stopped number. None when the text is to be stored as any
    other is: also when taking it failed, as nothing that somebody wrote may be lost.
    """
    said = parse_answer(text)
    if said is None or sender is None:
        return None
    if await desk.store.has_message(Channel.SMS, *message):
        return None  # it was stored before, and is a repeat of that
    service = desk.service
    try:
        async with service.flow.begin() as conn:
            outcome = await take_answer(conn, service.outbox, sender, said, message, at)
            silent = outcome is not Outcome.TAKEN or await is_stopped(conn, sender)
    except Exception as error:  # noqa: BLE001  (the text is stored then, and a person reads it)
        _log.error("answer-failed", error)
        return None
    if outcome is None:
        return None
    service.waker.wake()
    return "" if silent else detect_language(text) or "bn"
