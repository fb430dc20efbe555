"""The openrosa channel: ODK Collect and KoboCollect as they are, with the committee's form.

A member makes a login (`logins_api`), gives it to the app, downloads the form, fills it where there
is no line, and sends it later in one post or several. One instance is one report, for ever; files
that belong to it are kept with it as they come. Source: OpenRosa 1.0.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from services.intake.channels.openrosa import logins, replies
from services.intake.channels.openrosa.digest import NotProvenError
from services.intake.channels.openrosa.form import load_form
from services.intake.channels.openrosa.instances import MOST_BYTES
from services.intake.channels.openrosa.keeping import Cabinet
from services.intake.channels.openrosa.logins_api import make_login_router
from services.intake.channels.openrosa.turns import Turns
from services.intake.channels.openrosa.upload import FORM, read_upload
from services.intake.media.rules import rules_on
from shared.access import Caller, any_caller
from shared.clock import now
from shared.errors import Forbidden, NotFound, Problem
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.intake.channels import Desk

PREFIX: Final = "/intake/channels/openrosa"

_POST: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FORM],
                    "properties": {FORM: {"type": "string", "format": "binary"}},
                    "additionalProperties": {"type": "string", "format": "binary"},
                }
            }
        },
    }
}


def make_router(desk: Desk) -> APIRouter:
    """Make the routes that an app asks, and those of its logins."""
    router = APIRouter(tags=["openrosa"])
    asked = APIRouter(responses={"default": replies.DEFAULT})
    base = f"{desk.service.settings.public_url}{PREFIX}"
    gate = _Gate(desk)
    _add_forms(asked, gate, base)
    _add_submission(asked, gate, desk, base)
    router.include_router(asked)
    router.include_router(make_login_router(desk.service, gate.digest, base))
    return router


def _add_forms(router: APIRouter, gate: _Gate, base: str) -> None:
    @router.get(f"{PREFIX}/formList", response_model=None)
    async def form_list(
        request: Request,
        form_id: Annotated[str | None, Query(alias="formID")] = None,
        verbose: Annotated[str, Query()] = "",
    ) -> Response:
        """List the form (OpenRosa's form discovery); Collect asks for it first."""

        async def answer(_: Caller) -> Response:
            form = load_form() if form_id in (None, load_form().form_id) else None
            return replies.form_list(form, base, verbose=verbose == "true")

        return await gate.answer(request, answer)

    @router.get(f"{PREFIX}/forms/{{form_id}}.xml", response_model=None)
    async def download(request: Request, form_id: str) -> Response:
        """Give the XForm."""

        async def answer(_: Caller) -> Response:
            if form_id != load_form().form_id:
                raise NotFound
            return replies.answer(load_form().content)

        return await gate.answer(request, answer)


def _add_submission(router: APIRouter, gate: _Gate, desk: Desk, base: str) -> None:
    cabinet, turns = Cabinet(desk), Turns()

    @router.head(f"{PREFIX}/submission", status_code=204, response_model=None)
    async def ask_first(request: Request) -> Response:
        """Tell where to post, and how much at once."""

        async def answer(_: Caller) -> Response:
            response = Response(status_code=204, headers=replies.HEADERS)
            if _host_of(request) == urlsplit(base).hostname:  # to no other would Collect go
                response.headers["Location"] = f"{base}/submission"
            return response

        return await gate.answer(request, answer)

    @router.post(f"{PREFIX}/submission", status_code=201, response_model=None, openapi_extra=_POST)
    async def submit(request: Request) -> Response:
        """Take a filled form, or more files of one: 201, or 202 when all of it was here before."""

        async def answer(caller: Caller) -> Response:
            desk.committer.check_room()
            async with turns.turn(request, caller.actor):
                upload = await read_upload(request, _most())
                new = await cabinet.take(upload, caller)
            return replies.message("Received", 201 if new else 202)

        return await gate.answer(request, answer)


class _Gate:
    """Lets members in, by digest or by a bearer token, and answers whatever goes wrong as XML."""

    def __init__(self, desk: Desk) -> None:
        self._flow = desk.service.flow
        self.digest = logins.make_digest(desk.secrets.pepper)

    async def answer(
        self, request: Request, act: Callable[[Caller], Awaitable[Response]]
    ) -> Response:
        """Answer a request of a member; nothing of its body is read before."""
        try:
            response = await act(await self._member(request))
        except NotProvenError as error:
            response = replies.unproven(self.digest.challenges(time.time(), stale=error.stale))
        except Problem as problem:
            response = replies.refusal(problem)
        response.headers["X-OpenRosa-Accept-Content-Length"] = str(_most())
        return response

    async def _member(self, request: Request) -> Caller:
        header = request.headers.get("authorization", "")
        if header[:7].lower() == "bearer ":
            caller = await any_caller(request)
            if caller is None or caller.role is not Role.COMMITTEE_MEMBER:
                raise Forbidden
            return caller
        username = self.digest.prove(header, request.method, _target_of(request), time.time())
        async with self._flow.connect() as conn:
            member = await logins.find_member(conn, username, now())
        if member is None:
            raise NotProvenError
        return member


def _most() -> int:
    """Return how many bytes of form and files one post may have."""
    return rules_on(now()).max_bytes + MOST_BYTES


def _target_of(request: Request) -> str:
    query: bytes = request.scope["query_string"]
    path: bytes = request.scope["raw_path"]
    return (path + b"?" + query if query else path).decode("latin-1")


def _host_of(request: Request) -> str | None:
    """Return the host that the app asked, whatever stands between."""
    told = request.headers.get("x-forwarded-host") or request.headers.get("host", "")
    try:
        return urlsplit(f"//{told}").hostname
    except ValueError:
        return None
