"""Erasing a case, and what forbids it: one person asks, another one agrees; a hold stands above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Request
from fastapi.responses import Response

from services.intake.pages.desk.acts import filled_in
from services.intake.pages.desk.fields import json_of
from services.intake.pages.desk.frame import DESK, Frame, short_of
from services.intake.pages.desk.routes import said_in
from shared.access import Caller, require
from shared.inside import Refused
from shared.pages.forms import read_form
from shared.pages.refusals import pass_on

if TYPE_CHECKING:
    from fastapi import APIRouter

_Desk = Annotated[Caller, Depends(require(*DESK))]

SUBJECTS: Final = ("case", "reporter", "alleged")
ASKED_BY: Final = ("person", "caregiver", "court", "retention")
CHECKS: Final = ("document", "known_to_worker", "call_back", "agreed_word", "order")
HOLDS: Final = ("court_order", "investigation", "complaint", "safeguarding_review")

_METHODS: Final = {
    "erase": ("POST", "/erase"),
    "hold": ("POST", "/hold"),
    "lift": ("DELETE", "/hold"),
}
"""What a form does, and how it is asked of the interface."""

_WAITS: Final = 202


def make_router(frame: Frame) -> APIRouter:
    """Make the routes."""
    router = frame.pages.router(files=False)

    @router.get("/desk/cases/{case_id}/erasure", response_model=None)
    async def look(request: Request, case_id: UUID, caller: _Desk) -> Response:
        """Show what an erasure would take away, which ones wait for another person, and holds."""
        return await _page(frame, request, caller, case_id)

    @router.post("/desk/cases/{case_id}/erase", response_model=None)
    async def erase(request: Request, case_id: UUID, caller: _Desk) -> Response:
        """Ask for an erasure, or agree to what another person asked for."""
        return await _act(frame, request, caller, case_id, "erase")

    @router.post("/desk/cases/{case_id}/hold", response_model=None)
    async def hold(request: Request, case_id: UUID, caller: _Desk) -> Response:
        """Let nothing be erased until the hold ends."""
        return await _act(frame, request, caller, case_id, "hold")

    @router.post("/desk/cases/{case_id}/lift", response_model=None)
    async def lift(request: Request, case_id: UUID, caller: _Desk) -> Response:
        """End a hold."""
        return await _act(frame, request, caller, case_id, "lift")

    return router


async def _page(
    frame: Frame,
    request: Request,
    caller: Caller,
    case_id: UUID,
    status: int = 200,
    **more: Any,  # noqa: ANN401  (a template's values)
) -> Response:
    """Show how erasures and holds of a case stand."""
    inside, at = frame.inside(request), f"/intake/v1/cases/{case_id}"
    try:
        case = await inside.get(request, at)
        found = [await inside.get(request, f"{at}/erase", subject=one) for one in SUBJECTS]
    except Refused as refused:
        pass_on(refused)
        raise
    values: dict[str, Any] = {
        "case": case,
        "found": found,
        "held": found[0]["legal_hold"],
        "subjects": SUBJECTS,
        "asking": ASKED_BY,
        "checks": CHECKS,
        "holds": HOLDS,
        "short": short_of(case_id),
        "said": said_in(request),
    }
    return frame.show(request, "erasure", caller, status, **(values | more))


async def _act(
    frame: Frame,
    request: Request,
    caller: Caller,
    case_id: UUID,
    what: str,
) -> Response:
    """Ask the interface, and send the browser on."""
    method, path = _METHODS[what]
    form = await read_form(request)
    body = None if method == "DELETE" else json_of(form.fields)
    at = f"/intake/v1/cases/{case_id}{path}"
    try:
        answer = await frame.inside(request).send(
            request, method, at, body, key=form.get("once") or None
        )
    except Refused as refused:
        pass_on(refused)
        told: dict[str, Any] = {"filled": filled_in(form), "filled_form": what}
        return await _page(frame, request, caller, case_id, refused.status, problem=refused, **told)
    back = f"/desk/cases/{case_id}/erasure"
    if what != "erase":
        return frame.pages.go(request, back, said="done")
    if answer.status == _WAITS:
        return frame.pages.go(request, back, said="erase_waits")
    gone = answer.value["subject"] == "case"
    return frame.pages.go(request, "/desk" if gone else back, said="erased")
