"""The SMS channel: what gateways post when a text arrives.

RapidPro External is the form here: `from` or `sender`, `text`, `date` or `time`, as form or query,
GET or POST. Such a message has no id of its own: a repeat is the same sender, text and time;
without a time, the same sender and text within ten minutes. Nothing that a person wrote is refused.
"""

from __future__ import annotations

import codecs
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from services.intake.preparing import Message, prepare, repeat_key
from services.intake.report import Reporter, ReportIn
from shared import telemetry
from shared.bodies import read_bytes
from shared.clock import now
from shared.errors import InvalidBody, NotFound
from shared.text import normalise
from shared.vocabulary import Channel

if TYPE_CHECKING:
    from services.intake.channels import Desk

SAME_WITHIN: Final = 600
"""Seconds within which the same text of the same sender without a time is a repeat."""

MAX_TEXT: Final = 20_000
"""Characters of a text that are kept; the longest concatenated SMS has 39,015."""

_FROM: Final = ("from", "sender", "msisdn")
_TEXT: Final = ("text", "message", "body")
_TIME: Final = ("date", "time", "received_at")
_ID: Final = ("id", "message_id", "uuid")


def _decode(raw: bytes) -> str:
    """Decode bytes that a phone sent: UTF-8, else Latin-1, which reads anything."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return codecs.decode(raw, "latin-1")


def parse_external(query: bytes, body: bytes) -> dict[str, str]:
    """Read a RapidPro External message from query and form; later fields win.

    Raises:
        InvalidBody: neither sender nor text is there.

    """
    fields: dict[str, str] = {}
    for part in (query, body):
        for name, value in parse_qsl(
            part.decode("latin-1"), keep_blank_values=True, encoding="latin-1", max_num_fields=50
        ):
            fields[name.lower()] = _decode(value.encode("latin-1"))
    found = {
        key: next((fields[n] for n in names if n in fields), "")
        for key, names in (("from", _FROM), ("text", _TEXT), ("time", _TIME), ("id", _ID))
    }
    if not found["from"] and not any(name in fields for name in _TEXT):
        message = "neither a sender nor a text was sent"
        raise InvalidBody(message)
    return found


def _clean(text: str) -> str:
    kept = "".join(c for c in text if c in "\n\t" or (c >= " " and not "\ud800" <= c <= "\udfff"))
    return normalise(kept)[:MAX_TEXT]


def _mark(index_key: bytes, message: dict[str, str], at: datetime) -> bytes:
    """Return what makes a repeat of this message a repeat."""
    if message["id"]:
        return repeat_key(index_key, "id", message["id"])
    when = message["time"] or str(int(at.timestamp()) // SAME_WITHIN)
    return repeat_key(index_key, "said", message["from"], message["text"], when)


def make_router(desk: Desk) -> APIRouter:
    """Make the route that gateways post to."""
    router = APIRouter(tags=["channels"])

    @router.api_route(
        "/intake/channels/sms/{gateway}", methods=["GET", "POST"], response_model=None
    )
    async def receive(request: Request, gateway: str) -> JSONResponse:
        """Store an SMS as a submission; a repeat is answered the same and stored once."""
        if gateway != "external":
            raise NotFound
        desk.committer.check_room()
        body = await read_bytes(request)
        message = parse_external(request.scope["query_string"], body)
        at = now()
        report = ReportIn(
            channel=Channel.SMS,
            reporter=Reporter(phone=_clean(message["from"])[:200] or None),
            narrative=_clean(message["text"]),
        )
        mark = _mark(desk.secrets.index, message, at)
        if not (message["id"] or message["time"]):  # it may repeat one of the ten minutes before
            earlier = _mark(desk.secrets.index, message, at - timedelta(seconds=SAME_WITHIN))
            if await desk.store.has_message(Channel.SMS, gateway, earlier):
                mark = earlier
        await desk.committer.commit(
            prepare(
                report,
                channel=Channel.SMS,
                caller=None,
                vault=desk.vault,
                secrets=desk.secrets,
                message=Message(gateway, message["id"] or None, mark),
                at=at,
            )
        )
        telemetry.SUBMISSIONS_STORED.labels("sms", "stored").inc()
        return JSONResponse({"status": "received"})

    return router
