"""The desk's pages that are looked at: what waits, a case, search, the team."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from services.intake.pages.desk.case import LOOKS, CaseView
from services.intake.pages.desk.frame import DESK, TAKES, Frame, district_options, pass_on
from services.intake.pages.desk.names import LEVELS, SAID
from services.intake.pages.desk.queue import (
    GROUPS,
    Wanted,
    count_new,
    load_digest,
    load_queue,
)
from shared.access import Caller, require
from shared.clock import now, rfc3339
from shared.inside import Refused
from shared.pages import headers
from shared.pages.forms import read_form
from shared.pages.words import N_
from shared.vocabulary import Role

if TYPE_CHECKING:
    from shared.runtime import Service

_Desk = Annotated[Caller, Depends(require(*DESK))]

_DIGEST: Final = {
    "reports": N_("Reports that came"),
    "tasks": N_("Things that came up"),
    "done": N_("Done"),
    "nobodys": N_("Still nobody's"),
    "closed": N_("Closed"),
}

_ABOVE: Final = ("supervisor", "district_focal_person", "safeguarding_focal_person")

Word = Annotated[str | None, Query(max_length=20)]


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
    _add_search(router, frame)
    _add_team(router, service, frame)
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

    @router.get("/desk/news", response_model=None)
    async def news(
        caller: _Desk,
        since: Annotated[str, Query(max_length=40, pattern=r"^[0-9TZ:.-]+$")],
        group: Word = None,
        place: Word = None,
        mine: Word = None,
    ) -> Response:
        wanted = wanted_in(group, place, mine)
        many = await count_new(service, caller, wanted, since, now())
        return JSONResponse({"new": many}, headers=headers.INSIDE)


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
        return await case_page(frame, request, caller, case_id)

    @router.post("/desk/cases/{case_id}", response_model=None)
    async def look(request: Request, case_id: UUID, caller: _Desk) -> Response:
        """Open what is closed on the page, without an address of its own; the reading is told."""
        form = await read_form(request)
        what = form.get("look")
        if what not in LOOKS:
            return await case_page(frame, request, caller, case_id)
        view = CaseView(frame, request, case_id)
        try:
            opened = await view.look(what, form.get("reason", "triage"), form.all("also"))
        except Refused as refused:
            return await case_page(frame, request, caller, case_id, refused.status, problem=refused)
        return await case_page(frame, request, caller, case_id, **{what: opened})


def _add_search(router: APIRouter, frame: Frame) -> None:
    @router.get("/desk/search", response_model=None)
    async def search(request: Request, caller: _Desk) -> Response:
        return frame.show(request, "search", caller, found=None)

    @router.post("/desk/search", response_model=None)
    async def find(request: Request, caller: _Desk) -> Response:
        form = await read_form(request)
        by, what = form.get("by"), form.get("what")
        body: dict[str, Any] = {by: what}
        if by == "case":
            body = {"case": what.replace(" ", "").lower()[:8]}
        if by == "reference":
            body = {"reference": {"system": form.get("system"), "value": what}}
        values: dict[str, Any] = {"found": []}
        status, inside = 200, frame.inside(request)
        try:
            answer = await inside.send(request, "POST", "/intake/v1/search", body)
            for one in answer.value["items"]:
                case = await inside.get(request, f"/intake/v1/cases/{one['case_id']}")
                values["found"].append(case | one)
        except Refused as refused:
            if refused.status != 404:  # noqa: PLR2004
                pass_on(refused)
                values, status = {"found": None, "problem": refused}, refused.status
        filled = {"by": [by], "what": [what], "system": [form.get("system")]}
        return frame.show(
            request, "search", caller, status, filled=filled, filled_form="search", **values
        )


def _add_team(router: APIRouter, service: Service, frame: Frame) -> None:
    @router.get("/desk/team", response_model=None)
    async def team(request: Request, caller: _Desk) -> Response:
        return await team_page(service, frame, request, caller)


async def team_page(
    service: Service,
    frame: Frame,
    request: Request,
    caller: Caller,
    status: int = 200,
    **more: Any,  # noqa: ANN401  (a template's values)
) -> Response:
    """Show loads, what waits for a supervisor, who is on duty, and the figures of a week."""
    inside, at = frame.inside(request), now()
    loads = (await inside.get(request, "/intake/v1/caseload"))["items"]
    duty = await inside.get(request, "/intake/v1/duty")
    told = await load_digest(service, caller, at)
    digest = [
        {"name": name, "day": told["day"][key], "week": told["week"][key]}
        for key, name in _DIGEST.items()
    ]
    levels = [(level, frame.pages.text(request, text)) for level, text in LEVELS.items()]
    names = dict(levels)
    waiting = await load_queue(service, caller, Wanted(levels=_ABOVE), None, at)
    return frame.show(
        request,
        "team",
        caller,
        status,
        loads=loads,
        duty=duty["items"],
        nobody=", ".join(names[level] for level in duty["nobody"]),
        digest=digest,
        waiting=waiting.lines,
        levels=levels,
        districts=district_options(frame.pages.language(request)),
        **({"said": said_in(request)} | more),
    )
