"""The SMS channel: what gateways post when a text arrives, and the one reply it may get.

A message without an id of its own repeats an earlier one when sender, text and time are the same;
without a time, when sender and text are, within ten minutes. Nothing that a person wrote is
refused. The reply to a Twilio message is in the answer (TwiML); the others' go out by the SMS
gateway of the process, within two minutes or not at all.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from services.intake.channels.sms.gateways import Inbound, read_external, read_twilio
from services.intake.channels.taking import take
from services.intake.preparing import Message, number_index, repeat_key
from services.intake.report import Reporter, ReportIn
from shared.bodies import read_bytes
from shared.clock import now
from shared.errors import NotFound
from shared.telemetry import Log
from shared.vocabulary import Channel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from services.intake.channels import Desk

SAME_WITHIN: Final = 600
"""Seconds within which the same text of the same sender without a time is a repeat."""

_log = Log("sms")


def _mark(index_key: bytes, message: Inbound, at: datetime) -> bytes:
    """Return what makes a repeat of this message a repeat."""
    if message.message_id:
        return repeat_key(index_key, "id", message.message_id)
    when = message.time or str(int(at.timestamp()) // SAME_WITHIN)
    return repeat_key(index_key, "said", message.sender, message.text, when)


async def _store(
    desk: Desk, gateway: str, message: Inbound, sender: bytes | None, at: datetime
) -> UUID | None:
    """Store a message as a submission and return its id; None when it is a repeat."""
    report = ReportIn(
        channel=Channel.SMS,
        reporter=Reporter(phone=message.sender or None),
        narrative=message.text,
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
    desk: Desk, stored: UUID, said: str, sender: bytes | None, at: datetime
) -> str | None:
    """Return the reply; whatever goes wrong with it, the text is stored and was received."""
    try:
        return await desk.replies.at_once(stored, said, sender, at)
    except Exception as error:  # noqa: BLE001  (the report counts, not the reply)
        _log.error("reply-failed", error)
        return None


def make_router(desk: Desk) -> APIRouter:
    """Make the routes that gateways post to; Twilio's is there when its token is set."""
    router = APIRouter(tags=["channels"])
    token = desk.environ.get("TWILIO_AUTH_TOKEN", "")

    @router.post("/intake/channels/sms/twilio", response_model=None)
    async def receive_twilio(request: Request) -> Response:
        """Store a text that Twilio tells of; the answer is TwiML with at most one reply."""
        if not token:
            raise NotFound
        desk.committer.check_room()
        body = await read_bytes(request)
        query = request.scope["query_string"].decode("latin-1")
        url = f"{desk.secrets.issuer}{request.url.path}{'?' + query if query else ''}"
        signature = request.headers.get("x-twilio-signature")
        message = read_twilio(token, url, signature, body)
        at, sender, reply = now(), _sender(desk, message), None
        stored = await _store(desk, "twilio", message, sender, at)
        if stored is not None:
            reply = await _reply(desk, stored, message.text, sender, at)
        said = f"<Message>{escape(reply)}</Message>" if reply else ""
        return Response(f"<Response>{said}</Response>", media_type="text/xml")

    @router.api_route("/intake/channels/sms/external", methods=["GET", "POST"], response_model=None)
    async def receive_external(request: Request) -> JSONResponse:
        """Store a text that RapidPro's External form tells of; a repeat is answered the same."""
        desk.committer.check_room()
        body = await read_bytes(request)
        message = read_external(request.scope["query_string"], body)
        await _store(desk, "external", message, _sender(desk, message), now())
        return JSONResponse({"status": "received"})

    return router


def make_tasks(desk: Desk) -> list[Callable[[], Awaitable[None]]]:
    """Send what replies are due by the process's SMS gateway."""
    return [desk.replies.run]
