"""`/intake/v1/cases/{case_id}/erase` and `/hold`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from services.intake.erasure.listing import show_erasure
from services.intake.erasure.retention import list_due
from services.intake.erasure.rules import Proposal
from shared.access import Caller, require, require_fresh
from shared.access_rules import Verb, scope_of
from shared.bodies import Model, parse_json, read_bytes, validate
from shared.clock import now
from shared.database import set_reach
from shared.http import once
from shared.openapi import body_of
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.erasure.service import Erasures
    from shared.runtime import Service

    _Do = Callable[[AsyncConnection, bytes], Awaitable[tuple[int, Any]]]

_DESK: Final = (Role.COORDINATOR, Role.SUPERVISOR)


Subject = Literal["case", "reporter", "alleged"]
"""Whose key is destroyed: the person's with the case, or the reporter's or the alleged's alone."""


class EraseIn(Model):
    """For whom, and how it was made sure that it is the person, or who may speak for the person."""

    asked_by: Literal["person", "caregiver", "court", "retention"]
    identity_check: Literal["document", "known_to_worker", "call_back", "agreed_word", "order"]
    shared: bool = False
    subject: Subject = "case"


class HoldIn(Model):
    """Why nothing of a case may be erased, as a stable word."""

    reason: Literal["court_order", "investigation", "complaint", "safeguarding_review"]


async def _act(service: Service, request: Request, do: _Do) -> Response:
    raw = await read_bytes(request)
    async with service.flow.begin() as conn:
        response = await once(request, conn, raw, lambda: do(conn, raw))
    service.waker.wake()
    return response


def make_router(service: Service, erasures: Erasures) -> APIRouter:
    """Make the routes of erasure and of the legal hold."""
    router = APIRouter(prefix="/intake/v1", tags=["erasure"])

    @router.post(
        "/cases/{case_id}/erase",
        response_model=None,
        responses={202: {"description": "Proposed; another person must approve"}},
        openapi_extra=body_of(EraseIn),
    )
    async def erase(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require_fresh(*_DESK))]
    ) -> Response:
        """Erase a case for ever: one proposes (202), a supervisor who is another approves (200)."""

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = validate(EraseIn, parse_json(raw))
            wish = Proposal(
                caller.subject, body.asked_by, body.identity_check, body.shared, body.subject
            )
            done = await erasures.erase(conn, case_id, wish, caller, now())
            if isinstance(done, Proposal):
                told = {"case_id": case_id, "subject": body.subject}
                return 202, {**told, "status": "waits_for_approval"}
            return 200, {
                "case_id": case_id,
                "subject": body.subject,
                "status": "erased",
                "subjects": done.subjects,
                "report_remains": done.report_remains,
            }

        return await _act(service, request, do)

    @router.get("/cases/{case_id}/erase", response_model=None)
    async def look(
        case_id: UUID,
        caller: Annotated[Caller, Depends(require(*_DESK))],
        subject: Subject = "case",
        *,
        shared: bool = False,
    ) -> Response:
        """Say what an erasure would take away, or how one stands and when it is complete."""
        async with service.flow.begin() as conn:
            place, _ = await erasures.lock(conn, case_id, caller, now())
            wish = Proposal(caller.subject, "", "", shared, subject)
            held = await erasures.is_held(conn, place, case_id, wish)
            found = await show_erasure(conn, place, case_id, subject, shared=shared, held=held)
        return JSONResponse(msgspec.to_builtins(found))

    @router.post("/cases/{case_id}/hold", response_model=None, openapi_extra=body_of(HoldIn))
    async def hold(
        request: Request,
        case_id: UUID,
        caller: Annotated[Caller, Depends(require(Role.SUPERVISOR))],
    ) -> Response:
        """Put a case under a legal hold."""

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = validate(HoldIn, parse_json(raw))
            await erasures.hold(conn, case_id, str(body.reason), caller, now())
            return 200, {"case_id": case_id, "legal_hold": True}

        return await _act(service, request, do)

    @router.delete("/cases/{case_id}/hold", response_model=None)
    async def lift(
        request: Request,
        case_id: UUID,
        caller: Annotated[Caller, Depends(require(Role.SUPERVISOR))],
    ) -> Response:
        """End a legal hold."""

        async def do(conn: AsyncConnection, _: bytes) -> tuple[int, Any]:
            await erasures.lift(conn, case_id, caller, now())
            return 200, {"case_id": case_id, "legal_hold": False}

        return await _act(service, request, do)

    @router.get("/retention", response_model=None)
    async def retention(caller: Annotated[Caller, Depends(require(Role.SUPERVISOR))]) -> Response:
        """List closed cases that were kept long enough, as a dry run: two persons erase each."""
        async with service.flow.begin() as conn:
            await set_reach(conn, scope_of(caller, Verb.WORK, now()))
            items = await list_due(conn, now())
        return JSONResponse(msgspec.to_builtins({"items": items, "next": None}))

    return router
