"""The partner channel: the key that reports are sealed to, and where a partner finds its own.

Reports themselves come by `POST /intake/v1/reports` with a partner's token (the web channel takes
them), by a partner's Kafka topic (`services.intake.partners`), or as a file
(`services.intake.exchange`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from services.intake import store
from services.intake.exchange import api as exchange_api
from services.intake.partners.consumer import make_consumers
from services.intake.preparing import external_mark
from services.intake.report import ExternalRef
from shared.access import Caller, require
from shared.access_rules import Verb, scope_of
from shared.bodies import read_body
from shared.clock import now
from shared.database import transaction
from shared.openapi import body_of
from shared.vocabulary import Role

if TYPE_CHECKING:
    from services.intake.channels import Desk

_FINDS = (
    Role.PARTNER,
    Role.COMMITTEE_MEMBER,
    Role.OPERATOR,
    Role.COORDINATOR,
    Role.SUPERVISOR,
)


__all__ = ["make_consumers", "make_router"]


def make_router(desk: Desk) -> APIRouter:
    """Make the routes of partners' systems."""
    router = APIRouter(prefix="/intake/v1", tags=["partners"])
    router.include_router(exchange_api.make_router(desk))

    @router.get("/keys", response_model=None)
    async def keys() -> Response:
        """Return the key to seal reports to, as a JSON Web Key Set; ask again within an hour."""
        return JSONResponse(desk.seals.published(), headers={"Cache-Control": "max-age=3600"})

    @router.post("/reports/find", response_model=None, openapi_extra=body_of(ExternalRef))
    async def find(
        request: Request, caller: Annotated[Caller, Depends(require(*_FINDS))]
    ) -> Response:
        """List one's own reports that carry a reference of another system, with their cases.

        The system `cloudevent` finds by the id of the event that brought a report.
        """
        ref = await read_body(request, ExternalRef)
        mark = external_mark(desk.secrets.index, ref.system, ref.value)
        async with transaction(desk.service.web, scope_of(caller, Verb.SEE, now())) as conn:
            found = await store.find_by_mark(conn, mark)
        return JSONResponse(msgspec.to_builtins({"items": found, "next": None}))

    return router
