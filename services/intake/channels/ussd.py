"""The USSD channel: Africa's Talking's form, replayed from the whole path at each step.

The answer is always 200 and plain text, `CON …` or `END …`: anything else ends a running session.
`text` is the path joined by `*`, empty at first. The first screen is the same for everybody, so
that it tells nobody whether somebody dialled before; who goes on sees the next question alone.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from services.intake.channels.proving import Addresses, check_secret
from services.intake.channels.sms.gateways import form_of
from services.intake.channels.sms.inbound import clean
from services.intake.channels.talking import Talking, keep_trying, line_now
from services.intake.talk.engine import screen
from shared.bodies import read_bytes
from shared.clock import now
from shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from services.intake.channels import Desk

GATEWAY: Final = "africastalking"
LONGEST_PATH: Final = 2_000
"""Characters of a path that are read; a session's screens are far fewer."""


def make_tasks(desk: Desk) -> list[Callable[[], Awaitable[None]]]:
    """Return what stores conversations that went quiet."""
    return [partial(Talking(desk).sweep, "ussd")]


def make_router(desk: Desk) -> APIRouter:
    """Make the routes of USSD; with `USSD_AFRICASTALKING_SECRET` only the secret path is open.

    `USSD_AFRICASTALKING_ADDRESSES` are those that may post, divided by commas; empty: any.

    Raises:
        SettingsError: one of them is no address or network.

    """
    router = APIRouter(tags=["channels"])
    talking = Talking(desk)
    secret = desk.environ.get("USSD_AFRICASTALKING_SECRET", "")
    try:
        addresses = Addresses.of(desk.environ.get("USSD_AFRICASTALKING_ADDRESSES", "").split(","))
    except ValueError as error:
        message = f"USSD_AFRICASTALKING_ADDRESSES: {error}"
        raise SettingsError(message) from None

    @router.post("/intake/channels/ussd/africastalking", response_model=None)
    async def step(request: Request) -> PlainTextResponse:
        """Answer a step of a session, or hear that one ended (`status`)."""
        return await _answer(request, "")

    @router.post("/intake/channels/ussd/africastalking/{path_secret}", response_model=None)
    async def secret_step(request: Request, path_secret: str) -> PlainTextResponse:
        """Do the same behind a secret path, known to the gateway alone."""
        return await _answer(request, path_secret)

    async def _answer(request: Request, given: str) -> PlainTextResponse:
        check_secret(secret, given)
        addresses.check(request.client.host if request.client else "")
        fields = form_of(await read_bytes(request))
        said = await keep_trying(partial(_step, talking, fields))
        if said is None:
            said = f"END {talking.definition.say('not_now', 'bn')}"
        return PlainTextResponse(said)

    return router


async def _step(talking: Talking, fields: Mapping[str, str]) -> str:
    number = clean(fields.get("phoneNumber", ""))[:200]
    session = talking.session("ussd", GATEWAY, fields.get("sessionId", "") or number, number)
    if "status" in fields:
        await talking.end(session)
        return ""
    path = clean(fields.get("text", ""))[:LONGEST_PATH]
    heard = await talking.hear_path(session, number, path.split("*") if path else [])
    talk = heard.talk
    if talk.stage == "number" and talk.number:
        who = (session.sender or session.mark).hex()
        return f"END {await talking.status(talk.number, who, talk.language)}"
    if talk.stage == "end":
        receipt = talking.receipt(heard.kept)
        return f"END {talking.definition.say('receipt', talk.language, receipt=receipt)}"
    return f"CON {screen(talk, talking.definition, line=line_now(now()))}"
