"""`/desk/search`: by what somebody has in hand; what it is stands in no address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.responses import Response

from services.intake.pages.desk.acts import filled_in
from services.intake.pages.desk.frame import DESK, Frame
from shared.access import Caller, require
from shared.inside import Inside, Refused
from shared.pages.forms import Form, read_form
from shared.pages.refusals import pass_on

if TYPE_CHECKING:
    from fastapi import APIRouter

_Desk = Annotated[Caller, Depends(require(*DESK))]

FOUND: Final = "found"
"""What the page after a search shows: ids of cases, each with what fitted."""

_GONE: Final = 404


def make_router(frame: Frame) -> APIRouter:
    """Make the routes of searching."""
    router = frame.pages.router(files=False)

    @router.get("/desk/search", response_model=None)
    async def search(request: Request, caller: _Desk) -> Response:
        """Show the form, and what was found a moment ago, as far as the caller reaches it now."""
        kept = frame.kept.find(request, FOUND, caller, list[dict[str, Any]])
        found = None if kept is None else await _shown(frame.inside(request), request, kept)
        return frame.show(request, "search", caller, found=found)

    @router.post("/desk/search", response_model=None)
    async def find(request: Request, caller: _Desk) -> Response:
        form = await read_form(request)
        items: list[dict[str, Any]] = []
        try:
            asked = frame.inside(request).send(request, "POST", "/intake/v1/search", body_of(form))
            items = (await asked).value["items"]
        except Refused as refused:
            if refused.status != _GONE:
                pass_on(refused)
                told = {"filled": filled_in(form), "filled_form": "search"}
                return frame.show(
                    request, "search", caller, refused.status, found=None, problem=refused, **told
                )
        response = frame.pages.go(request, "/desk/search")
        frame.kept.keep(response, FOUND, caller, items)
        return response

    return router


def body_of(form: Form) -> dict[str, Any]:
    """Return what the form says, as the interface takes it."""
    by, what = form.get("by"), form.get("what")
    if by == "case":
        return {"case": what.replace(" ", "").lower()[:8]}
    if by == "reference":
        return {"reference": {"system": form.get("system"), "value": what}}
    return {by: what}


async def _shown(
    inside: Inside, request: Request, items: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the cases that were found; what is out of reach meanwhile is left out."""
    found = []
    for one in items:
        try:
            case = await inside.get(request, f"/intake/v1/cases/{one['case_id']}")
        except Refused as refused:
            if refused.status != _GONE:
                pass_on(refused)
                raise
            continue
        found.append(case | one)
    return found
