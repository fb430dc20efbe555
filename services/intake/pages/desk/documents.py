"""Pictures and voice notes of a case: opened blurred, one at a time, kept by no page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

from fastapi import Depends, Request
from fastapi.responses import Response

from services.intake.pages.desk.frame import DESK, Frame
from services.intake.sign_in.api import local_path
from shared.access import Caller, require
from shared.errors import NotFound
from shared.inside import Refused
from shared.pages import headers
from shared.pages.forms import read_form
from shared.pages.refusals import pass_on

if TYPE_CHECKING:
    from fastapi import APIRouter

_Desk = Annotated[Caller, Depends(require(*DESK))]

OPENED: Final = "opened"
"""What the next page opens: which attachment, and why."""


def make_router(frame: Frame) -> APIRouter:
    """Make the routes."""
    router = frame.pages.router(files=False)

    @router.post("/desk/attachments/{attachment_id}/open", response_model=None)
    async def ask(request: Request, attachment_id: UUID, caller: _Desk) -> Response:
        """Let the next page open it, once."""
        form = await read_form(request)
        response = frame.pages.go(request, f"/desk/attachments/{attachment_id}/open")
        asked = [str(attachment_id), form.get("reason")]
        frame.kept.keep(response, OPENED, caller, asked)
        return response

    @router.get("/desk/attachments/{attachment_id}/open", response_model=None)
    async def look(request: Request, attachment_id: UUID, caller: _Desk) -> Response:
        """Answer the blurred copy itself, or the voice note: no page keeps it."""
        kept = frame.kept.find(request, OPENED, caller, list[str])
        if kept is None or kept[0] != str(attachment_id):
            raise NotFound
        path = f"/intake/v1/attachments/{attachment_id}/open"
        try:
            opened = await frame.inside(request).send(
                request, "POST", path, {"reason": kept[1]}, origin=frame.kept.origin
            )
        except Refused as refused:
            pass_on(refused)
            raise NotFound from None
        told = {**headers.INSIDE, "Content-Disposition": "inline"}
        response = Response(opened.raw, media_type=opened.media_type, headers=told)
        frame.kept.drop(response, OPENED)
        return response

    @router.post("/desk/attachments/{attachment_id}/flag", response_model=None)
    async def flag(request: Request, attachment_id: UUID, caller: _Desk) -> Response:
        del caller
        form = await read_form(request)
        path = f"/intake/v1/attachments/{attachment_id}/flag"
        try:
            await frame.inside(request).send(request, "POST", path, {})
        except Refused as refused:
            pass_on(refused)
            raise NotFound from None
        return frame.pages.go(request, local_path(form.get("back") or "/desk"), said="flagged")

    return router
