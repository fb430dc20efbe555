"""`POST /intake/v1/search`: the desk finds a case; what is looked for stands in no address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Self

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field, model_validator

from services.intake.report import ExternalRef, Short
from services.intake.reporters.guessing import Guesses
from shared.access import Caller, require
from shared.bodies import Model, read_body
from shared.clock import now
from shared.openapi import body_of
from shared.vocabulary import Role

if TYPE_CHECKING:
    from services.intake.disclosure.search import Search
    from shared.runtime import Service

_DESK: Final = (Role.COORDINATOR, Role.SUPERVISOR)


class SearchIn(Model):
    """What somebody has in hand; one of these. `case` is how a case's id begins."""

    receipt: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    reference: ExternalRef | None = None
    phone: Short | None = None
    name: Short | None = None
    case: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in self.__dict__.values()) != 1:
            message = "one of these"
            raise ValueError(message)
        return self


def make_search_router(service: Service, search: Search) -> APIRouter:
    """Make the one route of searching."""
    router = APIRouter(prefix="/intake/v1", tags=["desk"])
    guesses = Guesses(search.secrets.pepper)

    @router.post("/search", response_model=None, openapi_extra=body_of(SearchIn))
    async def find(
        request: Request, caller: Annotated[Caller, Depends(require(*_DESK))]
    ) -> Response:
        """List the cases that fit, as far as the caller reaches; a look-up by a person counts."""
        body, at = await read_body(request, SearchIn), now()
        if body.receipt is not None:
            who = request.client.host if request.client else ""
            async with guesses.guard(service.flow, who), service.flow.connect() as conn:
                items = await search.by_receipt(conn, caller, body.receipt, at)
            return _answer(items)
        async with service.flow.begin() as conn:
            if body.reference is not None:
                system, value = body.reference.system, body.reference.value
                items = await search.by_reference(conn, caller, system, value, at)
            elif body.case is not None:
                items = await search.by_short(conn, caller, body.case, at)
            else:
                items = await search.by_person(conn, caller, at, phone=body.phone, name=body.name)
        service.waker.wake()
        return _answer(items)

    return router


def _answer(items: object) -> Response:
    answer = msgspec.to_builtins({"items": items, "next": None})
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})
