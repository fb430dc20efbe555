"""Gateways: each a small reader from a request to the texts in it, and how it is answered.

Each proves its sender before anything is read. What is no message (a delivery, a missed call) is no
text: the list is empty, and the gateway is answered politely.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

import jwt
from fastapi.responses import JSONResponse, Response

from services.intake.channels.proving import check_secret
from services.intake.channels.sms.inbound import decode, make_inbound, pairs_of
from shared.errors import Forbidden, InvalidBody, MalformedBody
from shared.sms.proof import is_signed_by_twilio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

from services.intake.channels.sms.inbound import Inbound

LEEWAY: Final = 60
"""Seconds that a gateway's clock may be wrong."""


@dataclass(frozen=True, slots=True)
class Told:
    """A request of a gateway as it came.

    `url` is the public one with its query, `secret` the last part of its path if there is one,
    `address` where it came from.
    """

    url: str
    query: bytes
    headers: Mapping[str, str]
    body: bytes
    secret: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Gateway:
    """How one gateway is read and answered. `inline`: its answer carries the one reply."""

    read: Callable[[Told], list[Inbound]]
    answer: Callable[[str | None], Response]
    inline: bool = False
    gets: bool = False


def form_of(body: bytes) -> dict[str, str]:
    """Return the fields of a form; later ones win.

    Raises:
        InvalidBody: there are more than a hundred.

    """
    try:
        return dict(pairs_of(body))
    except ValueError:
        raise InvalidBody("the form has too many fields") from None


def json_of(body: bytes) -> Any:  # noqa: ANN401  (any JSON value)
    """Return a JSON body, also one that is in Latin-1.

    Raises:
        MalformedBody: it is none.

    """
    try:
        return json.loads(decode(body))
    except (ValueError, RecursionError):
        raise MalformedBody from None


def said_received(_: str | None) -> Response:
    """Answer that it came; the reply goes out by the SMS gateway of the process."""
    return JSONResponse({"status": "received"})


# --- Twilio ---------------------------------------------------------------------------------------


def verified_twilio(token: str, url: str, signature: str | None, body: bytes) -> dict[str, str]:
    """Verify a Twilio form over the raw body and return its fields.

    Raises:
        Forbidden: the signature is missing or does not fit. InvalidBody: too many fields.

    """
    try:
        pairs = pairs_of(body)
    except ValueError:
        raise InvalidBody("the form has too many fields") from None
    if not is_signed_by_twilio(token, url, signature, pairs):
        raise Forbidden("the signature does not fit")
    return dict(pairs)


def read_twilio(token: str, url: str, signature: str | None, body: bytes) -> list[Inbound]:
    """Verify a Twilio form over the raw body and read it.

    Raises:
        Forbidden: the signature is missing or does not fit. InvalidBody: no `MessageSid`.

    """
    fields = verified_twilio(token, url, signature, body)
    if "MessageStatus" in fields and "Body" not in fields:
        return []
    if not fields.get("MessageSid"):
        raise InvalidBody("there is no MessageSid")
    media = sorted(name for name in fields if name.startswith("MediaUrl"))
    refs = tuple(("twilio-media", fields[name]) for name in media)
    sid = fields["MessageSid"]
    return [make_inbound(fields.get("From"), fields.get("Body"), sid, refs=refs)]


def _twiml(reply: str | None) -> Response:
    said = f"<Message>{escape(reply)}</Message>" if reply else ""
    return Response(f"<Response>{said}</Response>", media_type="text/xml")


# --- Infobip, Africa's Talking, Telerivet, httpSMS ------------------------------------------------


def read_infobip(secret: str, told: Told) -> list[Inbound]:
    """Read Infobip's batch: `results`, each with its own id, time and text.

    Raises:
        Forbidden: wrong secret. MalformedBody, InvalidBody: there is no list of results.

    """
    check_secret(secret, told.secret)
    body = json_of(told.body)
    results = body.get("results") if isinstance(body, dict) else None
    if not isinstance(results, list):
        raise InvalidBody("there is no list of results")
    return [
        make_inbound(
            one.get("from"),
            one["text"] if one.get("text") is not None else one.get("cleanText"),
            one.get("messageId"),
            one.get("receivedAt"),
        )
        for one in results
        if isinstance(one, dict) and ("from" in one or "text" in one)
    ]


def read_africastalking(secret: str, told: Told) -> list[Inbound]:
    """Read Africa's Talking's form; a delivery report has a status and no text.

    Raises:
        Forbidden: wrong secret. InvalidBody: neither a text nor a status.

    """
    check_secret(secret, told.secret)
    fields = form_of(told.body)
    if "text" not in fields and "from" not in fields:
        if "status" in fields or "status" in form_of(told.query):
            return []
        raise InvalidBody("neither a sender nor a text was sent")
    sender, text = fields.get("from"), fields.get("text")
    return [make_inbound(sender, text, fields.get("id"), fields.get("date"))]


def read_telerivet(secret: str, told: Told) -> list[Inbound]:
    """Read Telerivet's form; its secret is a field, and only `incoming_message` is a text.

    Raises:
        Forbidden: wrong secret. InvalidBody: no event.

    """
    fields = form_of(told.body)
    check_secret(secret, fields.get("secret", ""))
    if not fields.get("event"):
        raise InvalidBody("there is no event")
    if fields["event"] != "incoming_message":
        return []
    sender = fields.get("from_number_e164") or fields.get("from_number")
    written = fields.get("time_created")
    return [make_inbound(sender, fields.get("content"), fields.get("id"), written)]


def _telerivet(reply: str | None) -> Response:
    return JSONResponse({"messages": [{"content": reply}] if reply else []})


def read_httpsms(key: str, told: Told) -> list[Inbound]:
    """Read httpSMS's event; its token says who sent it and to which address, not what.

    Raises:
        Forbidden: the token is missing, wrong, too old or for another address.
        MalformedBody, InvalidBody: it is no event.

    """
    scheme, _, token = told.headers.get("authorization", "").partition(" ")
    try:
        jwt.decode(
            token if scheme.lower() == "bearer" else "",
            key,
            algorithms=["HS256"],
            audience=told.url,
            leeway=LEEWAY,
            options={"require": ["exp", "aud"]},
        )
    except jwt.InvalidTokenError:
        raise Forbidden("the token does not fit") from None
    event = json_of(told.body)
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise InvalidBody("there is no type")
    if event["type"] != "message.phone.received":
        return []
    data = event.get("data")
    if not isinstance(data, dict):
        raise InvalidBody("there is no data")
    sealed = (("encoding", "encrypted"),) if data.get("encrypted") is True else ()
    attached = data.get("attachments")
    links = attached if isinstance(attached, list) else []
    refs = tuple(("httpsms-media", one) for one in links if isinstance(one, str))
    return [
        make_inbound(
            data.get("contact"),
            data.get("content"),
            data.get("message_id") or event.get("id"),
            data.get("timestamp"),
            refs=(*sealed, *refs),
        )
    ]


def make_signed(env: Mapping[str, str]) -> dict[str, Gateway]:
    """Return the gateways whose secret is set; the others are not there.

    `TWILIO_AUTH_TOKEN`, `INFOBIP_SECRET` and `AFRICASTALKING_SECRET` (the last part of their URL),
    `TELERIVET_SECRET`, `HTTPSMS_SIGNING_KEY`.
    """
    found: dict[str, Gateway] = {}
    if token := env.get("TWILIO_AUTH_TOKEN"):

        def twilio(told: Told) -> list[Inbound]:
            return read_twilio(token, told.url, told.headers.get("x-twilio-signature"), told.body)

        found["twilio"] = Gateway(twilio, _twiml, inline=True)
    if infobip := env.get("INFOBIP_SECRET"):
        found["infobip"] = Gateway(lambda told: read_infobip(infobip, told), said_received)
    if talking := env.get("AFRICASTALKING_SECRET"):
        found["africastalking"] = Gateway(
            lambda told: read_africastalking(talking, told), said_received
        )
    if telerivet := env.get("TELERIVET_SECRET"):
        found["telerivet"] = Gateway(
            lambda told: read_telerivet(telerivet, told), _telerivet, inline=True
        )
    if key := env.get("HTTPSMS_SIGNING_KEY"):
        found["httpsms"] = Gateway(lambda told: read_httpsms(key, told), said_received)
    return found
