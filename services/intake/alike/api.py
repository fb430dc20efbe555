"""The HTTP interface of like cases: look, merge, say that two are different, take either back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from services.intake.casework.api_stages import DESK, act, read
from services.intake.casework.bodies import UnlinkIn as OtherIn
from services.intake.casework.stages import Asked
from shared.access import Caller, require
from shared.clock import now
from shared.openapi import body_of
from shared.paging import version_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.alike.service import Alikes
    from services.intake.casework.families import Families
    from shared.runtime import Service

    Say = Callable[[AsyncConnection, Asked, UUID], Awaitable[dict[str, Any]]]

_NOT_KEPT: Final = {"Cache-Control": "no-store"}


def make_router(service: Service, alikes: Alikes, families: Families) -> APIRouter:
    """Make the routes by which a person says of two cases what they are."""
    router = APIRouter(prefix="/intake/v1", tags=["case work"])

    @router.get("/cases/{case_id}/similar", response_model=None)
    async def similar(
        case_id: UUID,
        caller: Annotated[Caller, Depends(require(*DESK))],
        *,
        different: bool = False,
    ) -> Response:
        """List cases that may be of the same person or incident, likeliest first, with reasons.

        Those that somebody said are different are left out, unless more is in common than was
        then; `different` asks for them too.
        """
        async with service.flow.begin() as conn:
            asked = Asked(case_id, caller, now())
            items = await alikes.look(conn, asked, different=different)
        service.waker.wake()
        answer = msgspec.to_builtins({"items": items, "next": None})
        return JSONResponse(answer, headers=_NOT_KEPT)

    async def say(request: Request, case_id: UUID, caller: Caller, how: Say) -> Response:
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            return 200, await how(conn, asked, read(OtherIn, raw).case_id)

        return await act(service, request, do)

    @router.post("/cases/{case_id}/merge", response_model=None, openapi_extra=body_of(OtherIn))
    async def merge(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Say that another case is of the same person and is worked on here; nothing is moved."""
        return await say(request, case_id, caller, families.merge)

    @router.post("/cases/{case_id}/unmerge", response_model=None, openapi_extra=body_of(OtherIn))
    async def unmerge(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Take a merge back: both cases are as they were, and what came since stays in its own."""
        return await say(request, case_id, caller, families.unmerge)

    @router.post("/cases/{case_id}/different", response_model=None, openapi_extra=body_of(OtherIn))
    async def different(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Say that two are different; they are not shown as alike until more is known."""
        return await say(request, case_id, caller, alikes.differ)

    @router.post(
        "/cases/{case_id}/not-different", response_model=None, openapi_extra=body_of(OtherIn)
    )
    async def not_different(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Take back that two are different."""
        return await say(request, case_id, caller, alikes.not_differ)

    return router
