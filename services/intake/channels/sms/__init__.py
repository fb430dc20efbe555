"""The SMS channel: what gateways post when a text arrives, and the one reply it may get.

A message without an id of its own repeats an earlier one when sender, text and time are the same;
without a time, when sender and text are, within ten minutes. Nothing that a person wrote is
refused. The reply to a message of a gateway that can (Twilio, Telerivet) is in the answer; the
others' go out by the SMS gateway of the process, within two minutes or not at all.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from services.intake.channels.sms import replies
from services.intake.channels.sms.answers import try_answer
from services.intake.channels.sms.gateways import Told, make_signed
from services.intake.channels.sms.mapper import load_mappers
from services.intake.channels.sms.notices import try_notices
from services.intake.channels.sms.parts import Parts
from services.intake.channels.taking import take
from services.intake.preparing import Message, number_index, repeat_key
from services.intake.report import ExternalRef, Reporter, ReportIn
from shared.bodies import read_bytes
from shared.clock import now
from shared.errors import NotFound
from shared.telemetry import Log
from shared.vocabulary import Channel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from services.intake.channels import Desk
    from services.intake.channels.sms.gateways import Gateway
    from services.intake.channels.sms.inbound import Inbound

SAME_WITHIN: Final = 600
"""Seconds within which the same text of the same sender without a time is a repeat."""

MOST_REFS: Final = 50
_REF_LENGTH: Final = 200

_log = Log("sms")


def _mark(index_key: bytes, message: Inbound, at: datetime) -> bytes:
    """Return what makes a repeat of this message a repeat."""
    if message.message_id:
        part = str(message.part.number) if message.part else ""
        return repeat_key(index_key, "id", message.message_id, *filter(None, (part,)))
    when = message.time or str(int(at.timestamp()) // SAME_WITHIN)
    return repeat_key(index_key, "said", message.sender, message.text, when)


async def _store(
    desk: Desk, gateway: str, message: Inbound, sender: bytes | None, at: datetime
) -> UUID | None:
    """Store a message as a submission and return its id; None when it is a repeat."""
    refs = [
        ExternalRef(system=system, value=value[i : i + _REF_LENGTH])
        for system, value in message.refs
        for i in range(0, len(value), _REF_LENGTH)
    ]
    report = ReportIn(
        channel=Channel.SMS,
        device_time=message.written_at,
        reporter=Reporter(phone=message.sender or None),
        narrative=message.text,
        external_refs=refs[:MOST_REFS],
    )
    mark = _mark(desk.secrets.index, message, at)
    if not (message.message_id or message.time):  # it may repeat one of the ten minutes before
        earlier = _mark(desk.secrets.index, message, at - timedelta(seconds=SAME_WITHIN))
        if await desk.store.has_message(Channel.SMS, gateway, earlier):
            mark = earlier
    told = Message(gateway, message.own_id, mark, sender)
    taken = await take(desk, report, told, at=at)
    return taken.submission_id if taken else None


def _sender(desk: Desk, message: Inbound) -> bytes | None:
    number = message.number
    return number_index(desk.secrets.index, number) if number else None


async def _reply(
    desk: Desk, gateway: str, stored: UUID, message: Inbound, sender: bytes | None, at: datetime
) -> str | None:
    """Return the reply; whatever goes wrong with it, the text is stored and was received."""
    try:
        return await desk.replies.at_once(stored, gateway, message.text, sender, at)
    except Exception as error:  # noqa: BLE001  (the report counts, not the reply)
        _log.error("reply-failed", error)
        return None


async def _keep(
    desk: Desk, name: str, gateway: Gateway, message: Inbound, *, carried: bool
) -> str | None:
    """Take a text as a provider's answer, or as asking for notices, else store it.

    Return the reply if it is `carried`.
    """
    at, sender = now(), _sender(desk, message)
    mark = _mark(desk.secrets.index, message, at)
    kind, language = "answer_taken", await try_answer(desk, message.text, sender, (name, mark), at)
    if language is None:
        kind = "notices_begun"
        language = await try_notices(desk, message, sender, (name, mark), at)
    if language is None:
        stored = await _store(desk, name, message, sender, at)
        if not carried or stored is None:
            return None
        return await _reply(desk, name, stored, message, sender, at)
    words = replies.words_of(kind, language) if language else None
    if words and message.number and not gateway.inline:
        desk.replies.say_soon(message.number, words)
    return words if carried else None


def make_router(desk: Desk) -> APIRouter:
    """Make the routes that gateways post to; a gateway is there when its settings are."""
    router = APIRouter(tags=["channels"])
    gateways = load_mappers(desk.environ) | make_signed(desk.environ)
    parts: Parts[str | None] = Parts()

    async def receive(request: Request, name: str, secret: str) -> Response:
        gateway = gateways.get(name)
        if gateway is None or (request.method == "GET" and not gateway.gets):
            raise NotFound
        desk.committer.check_room()
        query = request.scope["query_string"].decode("latin-1")
        told = Told(
            url=f"{desk.secrets.issuer}{request.url.path}{'?' + query if query else ''}",
            query=request.scope["query_string"],
            headers=request.headers,
            body=await read_bytes(request),
            secret=secret,
            address=request.client.host if request.client else "",
        )

        async def store(texts: list[Inbound]) -> str | None:
            """Store them all; return the one reply of an answer that can carry it."""
            carried = gateway.inline and len(texts) == 1
            told = await asyncio.gather(
                *(_keep(desk, name, gateway, text, carried=carried) for text in texts)
            )
            return next(filter(None, told), None)

        texts = gateway.read(told)
        whole = [text for text in texts if text.part is None]
        apart = [(text, text.part) for text in texts if text.part is not None]
        waiting = [parts.join(name, text, part, store) for text, part in apart]
        given = await asyncio.gather(store(whole), *waiting)
        return gateway.answer(next(filter(None, given), None))

    async def receive_proved(request: Request, gateway: str) -> Response:
        """Store what a gateway tells of a text; a repeat is answered the same."""
        return await receive(request, gateway, "")

    async def receive_secret(request: Request, gateway: str, secret: str) -> Response:
        """Store what a gateway tells of a text that is proved by the last part of its URL."""
        return await receive(request, gateway, secret)

    path = "/intake/channels/sms/{gateway}"
    for method in ("GET", "POST"):
        router.add_api_route(path, receive_proved, methods=[method], response_model=None)
        secret = f"{path}/{{secret}}"
        router.add_api_route(secret, receive_secret, methods=[method], response_model=None)
    return router


def make_tasks(desk: Desk) -> list[Callable[[], Awaitable[None]]]:
    """Send what replies are due by the process's SMS gateway."""
    return [desk.replies.run]
