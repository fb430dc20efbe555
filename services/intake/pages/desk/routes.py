"""The desk's pages that are looked at: what waits, and a case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from services.intake.pages.desk.case import LOOKS, CaseView
from services.intake.pages.desk.frame import DESK, TAKES, Frame, district_options
from services.intake.pages.desk.names import SAID
from services.intake.pages.desk.queue import (
    GROUPS,
    Wanted,
    load_queue,
)
from shared.access import Caller, require
from shared.clock import now, rfc3339
from shared.errors import NotFound
from shared.inside import Refused
from shared.pages import headers
from shared.pages.forms import read_form
from shared.vocabulary import Role

if TYPE_CHECKING:
    from shared.runtime import Service

_Desk = Annotated[Caller, Depends(require(*DESK))]

Word = Annotated[str | None, Query(max_length=20)]


LOOK: Final = "look"
"""What the page after this one opens."""


class Look(msgspec.Struct, frozen=True):
    """What somebody asked to see of a case, why, and of whom else."""

    case_id: str
    what: str
    reason: str
    also: list[str]


def said_in(request: Request) -> str | None:
    """Return what a page says after something was done; only what we say ourselves."""
    said = request.query_params.get("said")
    return said if said in SAID else None


def wanted_in(group: str | None, place: str | None, mine: str | None) -> Wanted:
    """Return what somebody looks at, from an address; what is none of ours is nothing."""
    return Wanted(group if group in GROUPS else None, place or None, mine == "1")


def make_router(service: Service, frame: Frame) -> APIRouter:
    """Make the routes of looking; nothing here changes anything but what was read."""
    router = frame.pages.router()
    _add_queue(router, service, frame)
    _add_case(router, frame)
    return router


async def queue_page(
    service: Service,
    frame: Frame,
    request: Request,
    caller: Caller,
    status: int = 200,
    **more: Any,  # noqa: ANN401  (a template's values)
) -> Response:
    """Show what waits, as the address says."""
    query, at = request.query_params, now()
    wanted = wanted_in(query.get("group"), query.get("place"), query.get("mine"))
    queue = await load_queue(service, caller, wanted, query.get("after"), at)
    chosen = {"group": wanted.group, "place": wanted.place, "mine": "1" if wanted.mine else None}
    told = {name: value for name, value in chosen.items() if value}
    after = f"/desk?{urlencode({**told, 'after': queue.next})}" if queue.next else None
    return frame.show(
        request,
        "queue",
        caller,
        status,
        queue=queue,
        wanted=wanted,
        places=district_options(frame.pages.language(request)),
        query=urlencode({**told, "since": rfc3339(at)}),
        query_shown=urlencode(told),
        after=after,
        first=f"/desk?{urlencode(told)}" if query.get("after") else None,
        **({"said": said_in(request)} | more),
    )


def _add_queue(router: APIRouter, service: Service, frame: Frame) -> None:
    @router.get("/desk", response_model=None)
    async def queue(
        request: Request, caller: Annotated[Caller, Depends(require(*TAKES))]
    ) -> Response:
        if caller.role is Role.OPERATOR:
            return RedirectResponse("/desk/calls", 303, headers.INSIDE)
        return await queue_page(service, frame, request, caller)


async def case_page(
    frame: Frame,
    request: Request,
    caller: Caller,
    case_id: UUID,
    status: int = 200,
    **more: Any,  # noqa: ANN401  (a template's values)
) -> Response:
    """Show a case with what was opened, said or refused. Raises as `CaseView.get`."""
    found = await CaseView(frame, request, case_id).show()
    if found["case"]["facts"] is None:
        return frame.show(request, "soon", caller, status, **found)
    filled_form = str(more.get("filled_form", ""))
    verbs = found["verbs"]
    values = {**frame.lists(request), **found, "first_step": verbs[0] if verbs else ""}
    if filled_form == "consent":
        values["first_step"] = ""
    said = {"said": said_in(request)}
    return frame.show(request, "case", caller, status, **(values | said | more))


def _add_case(router: APIRouter, frame: Frame) -> None:
    @router.get("/desk/cases/{case_id}", response_model=None)
    async def case(request: Request, case_id: UUID, caller: _Desk) -> Response:
        asked = frame.kept.find(request, LOOK, caller, Look)
        if asked is not None and asked.case_id == str(case_id):
            return await opened_page(frame, request, caller, asked)
        return await case_page(frame, request, caller, case_id)

    @router.post("/desk/cases/{case_id}", response_model=None)
    async def look(request: Request, case_id: UUID, caller: _Desk) -> Response:
        """Open what is closed on the next page, once: it has no address of its own."""
        form = await read_form(request)
        what, page = form.get("look"), f"/desk/cases/{case_id}"
        if what not in LOOKS:
            raise NotFound
        asked = Look(str(case_id), what, form.get("reason", "triage"), form.all("also"))
        response = frame.pages.go(request, f"{page}#{LOOKS[what]}")
        frame.kept.keep(response, LOOK, caller, asked)
        return response


async def opened_page(frame: Frame, request: Request, caller: Caller, asked: Look) -> Response:
    """Show a case with what somebody asked to see, once; the reading is told. Raises as `get`."""
    case_id = UUID(asked.case_id)
    try:
        view = CaseView(frame, request, case_id)
        opened = await view.look(asked.what, asked.reason, asked.also)
        response = await case_page(frame, request, caller, case_id, **{asked.what: opened})
    except Refused as refused:
        response = await case_page(frame, request, caller, case_id, refused.status, problem=refused)
    frame.kept.drop(response, LOOK)
    return response
