"""The HTTP interface of tasks for committee members: the desk gives, the member answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import AwareDatetime

from services.intake.casework.api_stages import DESK, act, read
from services.intake.casework.bodies import Pseudonym
from services.intake.casework.errands import Errand, Errands, Outcome
from services.intake.casework.stages import Asked, Stages
from shared.access import Caller, require
from shared.bodies import Model, read_body
from shared.clock import now
from shared.openapi import body_of
from shared.paging import version_of
from shared.vocabulary import Role

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.runtime import Service

_NOT_KEPT: Final = {"Cache-Control": "no-store"}
_Member = Annotated[Caller, Depends(require(Role.COMMITTEE_MEMBER))]


class ErrandIn(Model):
    """What is asked of a member (a pseudonym), and when; whom it is about is said by a person."""

    member: Pseudonym
    kind: Errand
    at: AwareDatetime


class OutcomeIn(Model):
    """What came of it."""

    outcome: Outcome


def make_giving_router(service: Service, stages: Stages) -> APIRouter:
    """Make the route of the desk."""
    router = APIRouter(prefix="/intake/v1", tags=["case work"])
    errands = Errands()

    @router.post(
        "/cases/{case_id}/committee-tasks",
        status_code=201,
        response_model=None,
        openapi_extra=body_of(ErrandIn),
    )
    async def give(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Ask a committee member to accompany, confirm an arrival or leave a message."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(ErrandIn, raw)
            made = await errands.give(conn, stages, asked, body.member, body.kind, body.at)
            return 201, {"task_id": made}

        return await act(service, request, do)

    return router


def make_member_router(service: Service) -> APIRouter:
    """Make the routes of the member."""
    router = APIRouter(prefix="/intake/v1/committee/tasks", tags=["committee"])
    errands = Errands()

    @router.get("", response_model=None)
    async def mine(caller: _Member) -> Response:
        """List what a coordinator asked of the member: kind and time, nothing of whom."""
        async with service.flow.connect() as conn:
            items = await errands.of(conn, caller, now())
        told = msgspec.to_builtins({"items": items, "next": None})
        return JSONResponse(told, headers=_NOT_KEPT)

    @router.post("/{errand_id}/answer", response_model=None, openapi_extra=body_of(OutcomeIn))
    async def answer(request: Request, errand_id: UUID, caller: _Member) -> Response:
        """Say what came of a task: `done`, `could_not` or `not_safe`."""
        body = await read_body(request, OutcomeIn)
        async with service.flow.begin() as conn:
            await errands.answer(conn, errand_id, body.outcome, caller, now())
        service.waker.wake()
        return JSONResponse({"status": "received"}, headers=_NOT_KEPT)

    return router
