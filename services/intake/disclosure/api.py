"""`/intake/v1/disclosures/…` for the provider that said yes, and `…/persons` for the desk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response

from shared.access import Caller, require, require_fresh
from shared.clock import now
from shared.vocabulary import Role

if TYPE_CHECKING:
    from services.intake.disclosure.service import Disclosures
    from shared.runtime import Service

_PROVIDER: Final = (Role.PROVIDER_WORKER, Role.PROVIDER_SYSTEM)
_DESK: Final = (Role.COORDINATOR, Role.SUPERVISOR)
_NOT_KEPT: Final = {"Cache-Control": "no-store"}

Why = Literal["triage", "contact", "safety", "plan", "referral", "consent", "review", "legal"]
"""Why somebody of the desk reads who a person is; the history keeps it."""


def make_router(service: Service, disclosures: Disclosures) -> APIRouter:
    """Make the routes that answer who a person is; each answer is an event of the case."""
    router = APIRouter(prefix="/intake/v1", tags=["disclosures"])

    @router.get("/disclosures/{referral_id}", response_model=None)
    async def disclose(
        referral_id: UUID, caller: Annotated[Caller, Depends(require(*_PROVIDER))]
    ) -> Response:
        """Tell the provider of an accepted referral who the person is, as far as was agreed."""
        async with service.flow.begin() as conn:
            answer = await disclosures.disclose(conn, referral_id, caller, now())
        service.waker.wake()
        return JSONResponse(msgspec.to_builtins(answer), headers=_NOT_KEPT)

    @router.get("/cases/{case_id}/persons", response_model=None)
    async def persons(
        case_id: UUID,
        reason: Why,
        caller: Annotated[Caller, Depends(require_fresh(*_DESK))],
        also: Annotated[list[Literal["reporter", "alleged"]], Query(max_length=2)] = [],  # noqa: B006
    ) -> Response:
        """Tell the desk who the person of a case is; `also` who reported and who is alleged."""
        async with service.flow.begin() as conn:
            answer = await disclosures.read_persons(conn, case_id, reason, also, caller, now())
        service.waker.wake()
        return JSONResponse(msgspec.to_builtins(answer), headers=_NOT_KEPT)

    return router
