"""A text that asks for the short notices of awareness: it is no report, and begins them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.intake.awareness import subscribers
from services.intake.awareness.asking import ends_notices, has_keyword, parse_ask
from services.intake.casework.numbers import Numbers
from services.intake.reporters.store import is_stopped
from shared.clock import day_of
from shared.sms import parse_mobile
from shared.telemetry import Log
from shared.text import PhoneInvalid
from shared.vocabulary import Channel

if TYPE_CHECKING:
    from datetime import datetime

    from services.intake.awareness.asking import Ask
    from services.intake.channels import Desk
    from services.intake.channels.sms.inbound import Inbound

_log = Log("sms-notices")


async def try_notices(
    desk: Desk, told: Inbound, sender: bytes | None, message: tuple[str, bytes], at: datetime
) -> str | None:
    """Take a text that asks for notices; return the language of the answer, "" for a repeat.

    None when the text is to be stored as any other is: also from a number that said STOP, with a
    picture, and when taking it failed, as nothing that somebody wrote may be lost. So is one that
    ends the notices alone.
    """
    if sender is None or told.refs or not has_keyword(told.text):
        return None
    ask = await asyncio.to_thread(parse_ask, told.text, day_of(at))
    if ask is None and not ends_notices(told.text):
        return None
    if await desk.store.has_message(Channel.SMS, *message):
        return None  # it was stored before, and is a repeat of that
    try:
        return await _take(desk, ask, parse_mobile(told.sender), sender, message, at)
    except PhoneInvalid:
        return None
    except Exception as error:  # noqa: BLE001  (the text is stored then, and a person reads it)
        _log.error("notices-failed", error)
        return None


async def _take(
    desk: Desk,
    ask: Ask | None,
    number: str,
    sender: bytes,
    message: tuple[str, bytes],
    at: datetime,
) -> str | None:
    """Begin the notices of a number, or end them where nothing is asked."""
    async with desk.service.flow.begin() as conn:
        if ask is None:
            await subscribers.end(conn, sender)
            return None
        if await is_stopped(conn, sender):
            return None
        if not await subscribers.note_asked(conn, *message, at):
            return ""
        sealed = Numbers(desk.secrets.pepper).seal(subscribers.seal_id(sender), number)
        await subscribers.begin(conn, sender, sealed, ask, day_of(at))
    return ask.language
