"""`/notification/callbacks/…`: gateways say what became of messages.

Each is proved before it is read: Twilio and WhatsApp by a signature over what they post, Infobip
and an external gateway by a secret in the path. What is not understood, or is of no notice of ours,
changes nothing and is answered the same.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from services.notification.hearing import (
    EXTERNAL,
    Heard,
    hear_external,
    hear_infobip,
    hear_twilio,
    hear_whatsapp,
)
from shared.bodies import parse_json, read_bytes
from shared.errors import Forbidden, InvalidBody, NotFound
from shared.sms.proof import is_secret, is_signed_by_twilio

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from services.notification.deliveries import Deliveries
    from shared.runtime import Service

LIMIT = 256 * 1024
"""Bytes of a callback."""

MOST_FIELDS = 100

LONGEST_CHALLENGE = 200
"""Signs of WhatsApp's challenge that are said back."""


@dataclass(frozen=True, slots=True)
class Proofs:
    """What each gateway is proved by; one without is not there.

    A check raises NotFound when the gateway is not there, Forbidden when the proof does not fit.
    """

    twilio: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    whatsapp: str = field(default="", repr=False)
    agreed: str = field(default="", repr=False)

    def check_twilio(
        self, url: str, signature: str | None, form: Iterable[tuple[str, str]]
    ) -> None:
        """Check Twilio's signature over our public URL and the form."""
        if not self.twilio:
            raise NotFound
        if not is_signed_by_twilio(self.twilio, url, signature, form):
            raise Forbidden("the signature does not fit")

    def check_secret(self, said: str) -> None:
        """Check the secret in a path."""
        if not self.secret:
            raise NotFound
        if not is_secret(self.secret, said):
            raise Forbidden("the secret does not fit")

    def check_whatsapp(self, signature: str, body: bytes) -> None:
        """Check WhatsApp's signature over the raw body."""
        if not self.whatsapp:
            raise NotFound
        digest = hmac.new(self.whatsapp.encode(), body, hashlib.sha256).hexdigest()
        if not is_secret(f"sha256={digest}", signature):
            raise Forbidden("the signature does not fit")

    def check_agreed(self, mode: str, said: str) -> None:
        """Check the word with which WhatsApp asks whether this is the address it was told of."""
        if not self.agreed:
            raise NotFound
        if mode != "subscribe" or not is_secret(self.agreed, said):
            raise Forbidden("this is not the agreed word")


def load_proofs(env: Mapping[str, str] | None = None) -> Proofs:
    """Read `TWILIO_AUTH_TOKEN`, `SMS_CALLBACK_SECRET`, `WHATSAPP_APP_SECRET` and …`_VERIFY_TOKEN`.

    The last is the word that is agreed with WhatsApp when it is told of our address.
    """
    source = os.environ if env is None else env
    names = (
        *("TWILIO_AUTH_TOKEN", "SMS_CALLBACK_SECRET"),
        *("WHATSAPP_APP_SECRET", "WHATSAPP_VERIFY_TOKEN"),
    )
    return Proofs(*(source.get(name, "") for name in names))


def make_callbacks(service: Service, deliveries: Deliveries, proofs: Proofs) -> APIRouter:
    """Make the routes that gateways post to."""
    router = APIRouter(prefix="/notification/callbacks", tags=["callbacks"])

    async def hear(found: Iterable[Heard]) -> Response:
        known = [
            await deliveries.hear(one.notice_id, one.fate, one.way, one.reason) for one in found
        ]
        if any(known):
            service.waker.wake()
        return Response(status_code=204)

    @router.post("/twilio", status_code=204, response_model=None)
    async def twilio(request: Request) -> Response:
        """Hear the status of a message or of a call, signed by Twilio."""
        form = _fields(await read_bytes(request, LIMIT))
        query = request.scope["query_string"].decode("latin-1")
        url = f"{service.settings.public_url}{request.url.path}{'?' + query if query else ''}"
        proofs.check_twilio(url, request.headers.get("x-twilio-signature"), form)
        return await hear(hear_twilio(dict(parse_qsl(query)), dict(form)))

    @router.post("/infobip/{secret}", status_code=204, response_model=None)
    async def infobip(request: Request, secret: str) -> Response:
        """Hear a batch of delivery reports, proved by the last part of its URL."""
        proofs.check_secret(secret)
        return await hear(hear_infobip(parse_json(await read_bytes(request, LIMIT))))

    @router.post("/external/{secret}/{status}", status_code=204, response_model=None)
    async def external(request: Request, secret: str, status: str) -> Response:
        """Hear that a message was sent, delivered, has failed, or that its number is wrong."""
        proofs.check_secret(secret)
        if status not in EXTERNAL:
            raise NotFound
        told = request.scope["query_string"] or await read_bytes(request, LIMIT)
        return await hear(hear_external(status, dict(_fields(told))))

    @router.get("/whatsapp", response_model=None)
    async def agree(request: Request) -> Response:
        """Say that this is the address that WhatsApp was told of, to whoever knows the word."""
        asked = request.query_params
        proofs.check_agreed(asked.get("hub.mode", ""), asked.get("hub.verify_token", ""))
        return PlainTextResponse(asked.get("hub.challenge", "")[:LONGEST_CHALLENGE])

    @router.post("/whatsapp", status_code=204, response_model=None)
    async def whatsapp(request: Request) -> Response:
        """Hear the statuses of messages, signed by WhatsApp."""
        body = await read_bytes(request, LIMIT)
        proofs.check_whatsapp(request.headers.get("x-hub-signature-256", ""), body)
        return await hear(hear_whatsapp(parse_json(body)))

    return router


def _fields(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise InvalidBody("the form has too many fields") from None
