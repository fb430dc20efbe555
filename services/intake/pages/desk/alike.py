"""The desk's page of like cases, side by side: a person looks, says what they are, undoes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.intake.pages.desk.case import CaseView
from services.intake.pages.desk.frame import DESK, Frame, short_of
from shared.access import Caller, require
from shared.errors import NotFound
from shared.inside import Refused
from shared.pages.forms import read_form
from shared.pages.refusals import pass_on
from shared.pages.words import N_

if TYPE_CHECKING:
    from collections.abc import Sequence

_Desk = Annotated[Caller, Depends(require(*DESK))]

SHOWN: Final = 6
"""Cases beside one another at most; the others come as these are settled."""

SAYS: Final = ("link", "unlink", "merge", "unmerge", "different", "not-different")

LIKELY: Final = {
    "same_person": N_("Perhaps the same person"),
    "same_incident": N_("Perhaps the same incident"),
}
KINDS: Final = ("same_incident", "same_household", "same_person")


def make_router(frame: Frame) -> APIRouter:
    """Make the routes of like cases."""
    router = frame.pages.router(files=False)

    @router.get("/desk/cases/{case_id}/alike", response_model=None)
    async def alike(
        request: Request, case_id: UUID, caller: _Desk, *, different: bool = False
    ) -> Response:
        return await _page(frame, request, caller, case_id, different=different)

    @router.post("/desk/cases/{case_id}/alike", response_model=None)
    async def say(request: Request, case_id: UUID, caller: _Desk) -> Response:
        """Say of two cases what they are, or open who they are; the reading is told of both."""
        form = await read_form(request)
        verb, other = form.get("say"), form.get("case_id")
        if verb == "who":
            return await _opened(frame, request, caller, case_id, other, form.get("reason"))
        if verb not in SAYS:
            raise NotFound
        body: dict[str, Any] = {"case_id": other}
        if verb == "link" and form.get("kind"):
            body["kind"] = form.get("kind")
        try:
            await frame.inside(request).send(
                request,
                "POST",
                f"/intake/v1/cases/{case_id}/{verb}",
                body,
                key=form.get("once") or None,
            )
        except Refused as refused:
            pass_on(refused)
            return await _page(frame, request, caller, case_id, refused.status, problem=refused)
        return frame.pages.go(request, f"/desk/cases/{case_id}", said="done")

    return router


async def _page(
    frame: Frame,
    request: Request,
    caller: Caller,
    case_id: UUID,
    status: int = 200,
    *,
    different: bool = False,
    **more: Any,  # noqa: ANN401  (a template's values)
) -> Response:
    view, path = CaseView(frame, request, case_id), f"/intake/v1/cases/{case_id}/similar"
    case = await view.case()
    items: Sequence[dict[str, Any]] = ()
    try:
        asked = {"different": "true"} if different else {}
        found = await frame.inside(request).get(request, path, **asked)
        items = found["items"]
    except Refused as refused:
        pass_on(refused)
        more, status = {"problem": refused} | more, refused.status
    beside = [
        one | {"facts": (await view.get(f"/intake/v1/cases/{one['case_id']}"))["facts"]}
        for one in items[:SHOWN]
    ]
    values: dict[str, Any] = {
        "case": case,
        "short": short_of(case_id),
        "items": beside,
        "left": len(items) - len(beside),
        "different": different,
        "likely": LIKELY,
        "kinds": KINDS,
        "language": frame.pages.language(request),
        "once": lambda: str(uuid4()),
        "who": None,
    }
    return frame.show(request, "alike", caller, status, **(values | more))


async def _opened(
    frame: Frame, request: Request, caller: Caller, case_id: UUID, other: str, reason: str
) -> Response:
    """Show the page with the names of two cases; each reading is an event of its own case."""
    try:
        pair = (case_id, UUID(other))
    except ValueError:
        raise NotFound from None
    opened: dict[str, list[Any]] = {}
    for key in pair:
        try:
            groups = await CaseView(frame, request, key).look("persons", reason, [])
        except Refused as refused:
            pass_on(refused)
            return await _page(frame, request, caller, case_id, refused.status, problem=refused)
        opened[str(key)] = [person for _, people in groups for person in people]
    return await _page(frame, request, caller, case_id, who=opened)
