"""The HTTP interface of what goes beyond one desk: kin, handover, visits, the person's own word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.intake.casework import handover, word
from services.intake.casework.api_stages import DESK, act, read, shown
from services.intake.casework.bodies import (
    BackIn,
    HandoverIn,
    LinkIn,
    SaidIn,
    SplitIn,
    UnlinkIn,
    VisitIn,
)
from services.intake.casework.focal import HARM
from services.intake.casework.stages import Asked, Entry
from shared.access import Caller, require
from shared.clock import now
from shared.openapi import body_of
from shared.paging import version_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.families import Families
    from services.intake.casework.stages import Stages
    from services.intake.casework.visits import Visits
    from shared.runtime import Service


def make_kin_router(service: Service, families: Families) -> APIRouter:
    """Make the routes by which a person says which cases belong together."""
    router = APIRouter(prefix="/intake/v1", tags=["case work"])

    @router.post("/cases/{case_id}/split", response_model=None, openapi_extra=body_of(SplitIn))
    async def split(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Give each person of a report a case; those with one `household` stay together."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(SplitIn, raw)
            persons = [p.model_dump(mode="json") for p in body.persons]
            for person in persons:
                if person["household"] is None and (body.keep_together or person["keep_together"]):
                    person["household"] = "all"
            row, ids = await families.split(conn, asked, persons)
            mine = row.facts is not None and row.facts.about == "person" and row.facts.count == 1
            return 200, shown(row, case_ids=[case_id, *ids] if mine else ids, new=ids)

        return await act(service, request, do)

    @router.post("/cases/{case_id}/link", response_model=None, openapi_extra=body_of(LinkIn))
    async def link(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Confirm, as a person, that two cases belong together; nothing of them is joined."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(LinkIn, raw)
            return 200, await families.link(conn, asked, body.case_id, body.kind)

        return await act(service, request, do)

    @router.post("/cases/{case_id}/unlink", response_model=None, openapi_extra=body_of(UnlinkIn))
    async def unlink(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Take a link back: both cases are as they were."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(UnlinkIn, raw)
            return 200, await families.unlink(conn, asked, body.case_id)

        return await act(service, request, do)

    return router


def make_beyond_router(service: Service, stages: Stages, visits: Visits) -> APIRouter:
    """Make the routes of handover, visits and the person's own word."""
    router = APIRouter(prefix="/intake/v1", tags=["case work"])

    @router.post(
        "/cases/{case_id}/handover", response_model=None, openapi_extra=body_of(HandoverIn)
    )
    async def hand_over(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Offer a case to a centre or helpline, or note the answer; until yes, the giver has it."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(HandoverIn, raw)
            detail = {"to": body.to, "answer": body.answer, "by": body.by}

            row, _ = await stages.take(
                conn,
                asked,
                Entry("handover", detail, {"text": body.text, "reference": body.reference}),
                lambda f: (
                    handover.offer(case_id, f, body.to)
                    if body.answer is None
                    else handover.answer(case_id, f, body.to, body.answer)
                ),
            )
            return 200, shown(row)

        return await act(service, request, do)

    @router.post("/cases/{case_id}/feedback", response_model=None, openapi_extra=body_of(SaidIn))
    async def feedback(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Note the person's own word; `harmed` goes to the safeguarding focal person alone."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(SaidIn, raw)
            private = {"helped": body.helped, "about": body.about, "text": body.text}
            kind = HARM if body.helped == "harmed" else "feedback"
            await stages.take(
                conn,
                asked,
                Entry(kind, {}, private),
                lambda f: word.hear(case_id, f, body.helped, body.about),
            )
            return 200, {"status": "received"}

        return await act(service, request, do)

    @router.post(
        "/cases/{case_id}/visits",
        status_code=201,
        response_model=None,
        openapi_extra=body_of(VisitIn),
    )
    async def visit(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Note who goes on a visit and when they are expected back; who is not is looked for."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(VisitIn, raw)
            visit_id = await visits.start(conn, asked, body.who, body.expected_back)
            return 201, {"visit_id": visit_id, "expected_back": body.expected_back}

        return await act(service, request, do)

    @router.post("/cases/{case_id}/visit-back", response_model=None, openapi_extra=body_of(BackIn))
    async def back(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Note that whoever went is back."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            await visits.back(conn, asked, read(BackIn, raw).visit_id)
            return 200, {"status": "back"}

        return await act(service, request, do)

    return router
