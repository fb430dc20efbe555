"""The team of a place of help, on its head's phone: who works here, invited, changed, ended."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID, uuid4

from fastapi import Depends, Request
from starlette.responses import Response

from shared.access import Caller, require
from shared.errors import NotFound, Unavailable
from shared.inside import Inside, Refused
from shared.pages.forms import Form, read_form
from shared.pages.kept import Kept
from shared.pages.pages import Pages
from shared.pages.refusals import pass_on
from shared.pages.words import N_
from shared.settings import read_key
from shared.vocabulary import Role

if TYPE_CHECKING:
    from fastapi import APIRouter

    from shared.runtime import Service

_HERE: Final = Path(__file__).parent
_Worker = Annotated[Caller, Depends(require(Role.PROVIDER_WORKER))]

PAGE: Final = "/intake/pages/team"
LINK: Final = "team-link"
"""What the next page shows once: for whom, and their link."""

_METHODS: Final = {"link": ("POST", "/link"), "change": ("PUT", ""), "end": ("DELETE", "")}

WRONG: Final = {
    "name": N_("This name is taken already, or cannot be so. Choose another one."),
    "days": N_("Look at the days again."),
    "own": N_("Another person must change your own place."),
    "last_head": N_("The team needs a head: make another one head first."),
    "elsewhere": N_("Accounts are kept elsewhere. Ask the centre."),
    "forbidden": N_("Only the head of the team changes it."),
    "other": N_("That did not work. Please look again."),
}

STATES: Final = {
    "active": N_("Works here"),
    "invited": N_("Invited, has not come yet"),
    "not_yet": N_("Begins later"),
    "over": N_("Days are over"),
    "ended": N_("Ended"),
}


def make_router(service: Service) -> APIRouter:
    """Make the routes."""
    pages = Pages("intake", _HERE)
    kept = Kept(read_key(service.settings, "signing.key"), service.settings.public_url)
    router = pages.router()

    @router.get(PAGE, response_model=None)
    async def team(request: Request, caller: _Worker) -> Response:
        """Show the own team; its head sees what can be done."""
        found = await _ask(request, "GET", _api(caller))
        made = kept.find(request, LINK, caller, dict[str, str])
        said = request.query_params.get("wrong", "")
        response = pages.show(
            request,
            "team.html",
            me=caller,
            found=[one for one in found["items"] if one["state"] != "ended"],
            before=[one for one in found["items"] if one["state"] == "ended"],
            leads=found["leads"],
            made=made,
            states=STATES,
            wrong=WRONG.get(said, ""),
            done="done" in request.query_params,
            day=date.fromisoformat,
            once=lambda: str(uuid4()),
        )
        if made is not None:
            kept.drop(response, LINK)
        return response

    @router.post(PAGE, response_model=None)
    async def invite(request: Request, caller: _Worker) -> Response:
        """Invite somebody, and show their link once."""
        form = await read_form(request)
        return await _do(request, caller, form, "POST", "", _said(form, "name", "role", "until"))

    @router.post(PAGE + "/{worker_id}/{verb}", response_model=None)
    async def change(request: Request, worker_id: UUID, verb: str, caller: _Worker) -> Response:
        """Make a new link, change role and last day, or end somebody's place."""
        if verb not in _METHODS:
            raise NotFound
        form = await read_form(request)
        method, below = _METHODS[verb]
        body = _said(form, "role", "until") if verb == "change" else None
        return await _do(request, caller, form, method, f"/{worker_id}{below}", body)

    async def _do(
        request: Request, caller: Caller, form: Form, method: str, path: str, body: object
    ) -> Response:
        key = form.get("once") or None if method != "DELETE" else None
        try:
            answer = await Inside(request.app).send(
                request, method, _api(caller) + path, body, key=key
            )
        except Refused as refused:
            pass_on(refused)
            return pages.go(request, PAGE, wrong=_why(refused))
        response = pages.go(request, PAGE, done="1")
        if isinstance(answer.value, dict) and "link" in answer.value:
            shown = {"name": str(answer.value["name"]), "link": str(answer.value["link"])}
            kept.keep(response, LINK, caller, shown)
        return response

    return router


def _api(caller: Caller) -> str:
    return f"/intake/v1/providers/{caller.org}/team"


def _said(form: Form, *names: str) -> dict[str, str]:
    return {name: form.get(name) for name in names if form.get(name)}


async def _ask(request: Request, method: str, path: str) -> Any:  # noqa: ANN401  (any JSON value)
    try:
        return (await Inside(request.app).send(request, method, path)).value
    except Refused as refused:
        pass_on(refused)
        raise Unavailable from None


def _why(refused: Refused) -> str:
    if refused.slug == "forbidden":
        return "forbidden"
    if refused.slug == "invalid-body":
        fields = {str(one.get("field")) for one in refused.problem.get("errors", ())}
        return "name" if "name" in fields else "days"
    said = str(refused.problem.get("why", ""))
    return said if said in WRONG else "other"
