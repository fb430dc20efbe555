"""The desk's page of packets for other centres, their numbers, and the notice for 13219."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.intake.packets.packet import FORMATS
from services.intake.pages.desk.acts import filled_in
from services.intake.pages.desk.case import CaseView
from services.intake.pages.desk.fields import json_of
from services.intake.pages.desk.frame import DESK, Frame, short_of
from services.intake.pages.desk.routes import said_in
from shared.access import Caller, require
from shared.errors import NotFound
from shared.inside import Refused
from shared.pages import headers
from shared.pages.forms import read_form
from shared.pages.refusals import pass_on
from shared.pages.words import N_

if TYPE_CHECKING:
    from shared.inside import Answer

_Desk = Annotated[Caller, Depends(require(*DESK))]

FORMS: Final = {
    "pdf": N_("On paper, in Bangla"),
    "htcds-csv": N_("HTCDS, a table"),
    "htcds-json": N_("HTCDS, JSON"),
    "primero": N_("Primero (CPIMS+)"),
    "fhir": N_("FHIR"),
}
SYSTEMS: Final = {
    "nrm": N_("National Referral Mechanism"),
    "cpims": N_("CPIMS"),
    "police.gd": N_("General diary of the police"),
    "helpline": N_("A helpline"),
}
_VERBS: Final = ("packets", "references", "missing-alert", "missing-alert-down")
_FILES: Final = ("packets", "missing-alert")
_SUFFIXES: Final = {"text/csv": "csv", "application/pdf": "pdf"}


def make_router(frame: Frame) -> APIRouter:
    """Make the routes of packets."""
    router = frame.pages.router(files=False)

    @router.get("/desk/cases/{case_id}/packets", response_model=None)
    async def packets(request: Request, case_id: UUID, caller: _Desk) -> Response:
        return await _page(frame, request, caller, case_id)

    @router.post("/desk/cases/{case_id}/packets/{verb}", response_model=None)
    async def act(request: Request, case_id: UUID, verb: str, caller: _Desk) -> Response:
        """Make a file, which no page keeps, or write something down."""
        form = await read_form(request)
        body = json_of(form.fields)
        path = f"/intake/v1/cases/{case_id}/{verb}"
        if verb == "answer":
            path = f"/intake/v1/cases/{case_id}/packets/{_id(body.pop('packet_id', ''))}/answer"
        elif verb not in _VERBS:
            raise NotFound
        key = None if verb in _FILES else form.get("once") or None
        try:
            answer = await frame.inside(request).send(request, "POST", path, body, key=key)
        except Refused as refused:
            pass_on(refused)
            return await _page(
                frame,
                request,
                caller,
                case_id,
                refused.status,
                problem=refused,
                filled=filled_in(form),
                filled_form=verb,
            )
        if verb in _FILES and not body.get("drop"):
            return _file(answer)
        return frame.pages.go(request, f"/desk/cases/{case_id}/packets", said="done")

    return router


def _id(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise NotFound from None


def _file(answer: Answer) -> Response:
    suffix = _SUFFIXES.get(answer.media_type, "json")
    told = {**headers.INSIDE, "Content-Disposition": f'attachment; filename="packet.{suffix}"'}
    return Response(answer.raw, media_type=answer.media_type, headers=told)


async def _page(
    frame: Frame,
    request: Request,
    caller: Caller,
    case_id: UUID,
    status: int = 200,
    **more: Any,  # noqa: ANN401  (a template's values)
) -> Response:
    view = CaseView(frame, request, case_id)
    case = await view.case()
    if case["facts"] is None:
        raise NotFound
    values = {
        "case": case,
        "short": short_of(case_id),
        "packets": (await view.get(f"/intake/v1/cases/{case_id}/packets"))["items"],
        "forms": [(name, frame.pages.text(request, FORMS[name])) for name in reversed(FORMATS)],
        "form_names": FORMS,
        "systems": [(key, frame.pages.text(request, text)) for key, text in SYSTEMS.items()],
        "said": said_in(request),
    }
    return frame.show(request, "packets", caller, status, **(values | more))
