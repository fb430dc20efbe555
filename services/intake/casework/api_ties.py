"""The HTTP interface of ties: who is close to whom, for supervisors alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import model_validator

from services.intake.casework.api_stages import act, read
from services.intake.casework.ties import add_tie, end_tie, list_ties
from services.intake.report import ProviderKey
from shared.access import Caller, require
from shared.bodies import Model
from shared.clock import now
from shared.errors import NotFound
from shared.vocabulary import Role

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.runtime import Service


class TieIn(Model):
    """Two who are close: pseudonyms without a role, or keys of providers."""

    one: ProviderKey
    other: ProviderKey

    @model_validator(mode="after")
    def _two(self) -> Self:
        if self.one == self.other:
            message = "two names"
            raise ValueError(message)
        return self


def make_tie_router(service: Service) -> APIRouter:
    """Make the routes of ties."""
    router = APIRouter(prefix="/intake/v1", tags=["desk"])

    @router.get("/ties", response_model=None)
    async def ties(_: Annotated[Caller, Depends(require(Role.SUPERVISOR))]) -> Response:
        """List the ties that hold."""
        async with service.flow.connect() as conn:
            items = await list_ties(conn)
        return JSONResponse(msgspec.to_builtins({"items": items, "next": None}))

    @router.post("/ties", response_model=None)
    async def add(
        request: Request, caller: Annotated[Caller, Depends(require(Role.SUPERVISOR))]
    ) -> Response:
        """Say that two are close: where a case names one, the other loses sight of it at once."""

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(TieIn, raw)
            tie_id = await add_tie(conn, service.outbox, body.one, body.other, caller.actor, now())
            return 201, {"tie_id": tie_id, "one": body.one, "other": body.other}

        return await act(service, request, do)

    @router.delete("/ties/{tie_id}", response_model=None)
    async def end(
        tie_id: UUID, _: Annotated[Caller, Depends(require(Role.SUPERVISOR))]
    ) -> Response:
        """End a tie."""
        async with service.flow.begin() as conn:
            if not await end_tie(conn, tie_id, now()):
                raise NotFound
        return Response(status_code=204)

    return router
