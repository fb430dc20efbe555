"""`/desk/team`: loads, what waits for a supervisor, who is on duty, and the figures of a week."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.responses import Response

from services.intake.pages.desk.frame import DESK, Frame, district_options
from services.intake.pages.desk.names import LEVELS
from services.intake.pages.desk.queue import Wanted, load_digest, load_queue
from services.intake.pages.desk.routes import said_in
from shared.access import Caller, require
from shared.clock import now
from shared.pages.words import N_
from shared.vocabulary import Role

if TYPE_CHECKING:
    from fastapi import APIRouter

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


def make_router(service: Service, frame: Frame) -> APIRouter:
    """Make the route."""
    router = frame.pages.router(files=False)

    @router.get("/desk/team", response_model=None)
    async def team(request: Request, caller: _Desk) -> Response:
        return await team_page(service, frame, request, caller)

    return router


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
    above = caller.role is Role.SUPERVISOR
    ties = (await inside.get(request, "/intake/v1/ties"))["items"] if above else []
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
        ties=ties,
        nobody=", ".join(names[level] for level in duty["nobody"]),
        digest=digest,
        waiting=waiting.lines,
        levels=levels,
        districts=district_options(frame.pages.language(request)),
        **({"said": said_in(request)} | more),
    )
