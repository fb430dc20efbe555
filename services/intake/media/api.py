"""`/intake/v1/receipts/attachments` for whoever has a receipt; `…/attachments` for the desk."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from services.intake.limits import Limit
from services.intake.media.copies import Copies
from services.intake.media.form import read_form
from services.intake.media.rules import rules_on
from services.intake.reporters.api import find_by_receipt
from services.intake.reporters.guessing import Guesses, network_of
from shared import telemetry
from shared.access import Caller, require, require_fresh
from shared.bodies import Model, read_body
from shared.clock import now
from shared.errors import Unavailable
from shared.openapi import body_of
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.intake.media.keeping import Keeping
    from services.intake.media.opening import Opened, Opening
    from services.intake.preparing import Secrets
    from shared.runtime import Service

_DESK: Final = (Role.COORDINATOR, Role.SUPERVISOR)
_NOT_KEPT: Final = {"Cache-Control": "no-store"}
_NOT_KEPT_NOR_GUESSED: Final = _NOT_KEPT | {
    "Content-Disposition": "attachment",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}

READ_AT_ONCE: Final = 16
"""Files that are being sent to a process at the same time; more wait."""

READ_WITHIN: Final = 300.0
"""Seconds for one file, with its wait: 10 MiB on a line of 35 kB a second."""

_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["receipt", "file"],
                    "properties": {
                        "receipt": {"type": "string", "minLength": 1, "maxLength": 200},
                        "file": {"type": "string", "format": "binary"},
                    },
                }
            }
        },
    }
}


class OpenIn(Model):
    """Why somebody opens an attachment; `clear` says that the blurred copy was not enough."""

    reason: Literal["triage", "safety", "plan", "review", "legal"]
    clear: bool = False


class OriginalIn(Model):
    """For whom the original is."""

    reason: Literal["court", "police"]


class Order:
    """Lets uploads in: some at once, and of those who send many, one at a time."""

    def __init__(self, key: bytes) -> None:
        """Take the key of the marks of who sends."""
        self._limit = Limit("attachments", timedelta(minutes=10), key)
        self._room, self._behind = asyncio.Semaphore(4), asyncio.Semaphore(1)
        self._reading = asyncio.Semaphore(READ_AT_ONCE)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Bound how many files are in memory; whoever sends too slowly tries again.

        Raises:
            Unavailable: it took longer than `READ_WITHIN`.

        """
        try:
            async with asyncio.timeout(READ_WITHIN), self._reading:
                yield
        except TimeoutError:
            raise Unavailable from None

    @asynccontextmanager
    async def turn(self, service: Service, who: str, first: int) -> AsyncIterator[None]:
        """Wait for one's turn: whoever sent more than `first` waits behind the others."""
        async with service.flow.begin() as conn:
            seen, _ = await self._limit.seen(conn, who, now())
            await self._limit.count(conn, who, now())
        if seen < first:
            async with self._room:
                yield
        else:
            async with self._behind, self._room:
                yield


def make_keeping_router(service: Service, keeping: Keeping, secrets: Secrets) -> APIRouter:
    """Make the route by which anybody with a receipt sends a file."""
    router = APIRouter(prefix="/intake/v1", tags=["receipts"])
    guesses, order = Guesses(secrets.pepper), Order(secrets.pepper)

    @router.post("/receipts/attachments", status_code=201, response_model=None, openapi_extra=_FORM)
    async def attach(request: Request) -> Response:
        """Keep a photo or a voice note with a report; the same file again is kept once."""
        rules = rules_on(now())
        async with order.reading():
            form = await read_form(request, rules.max_bytes)
        who = network_of(request.client.host if request.client else "")
        async with (
            guesses.guard(service.flow, who),
            order.turn(service, who, rules.first_in_ten_minutes),
            service.flow.begin() as conn,
        ):
            report = await find_by_receipt(conn, form.receipt, secrets.pepper, lock=True)
            kept = await keeping.keep(conn, report, form.raw, now())
        service.waker.wake()
        if kept.new:
            telemetry.ATTACHMENTS.labels(kept.kind).inc()
        answer = {"kind": kept.kind, "sha256": kept.sha256}
        return JSONResponse(answer, 201, headers=_NOT_KEPT)

    return router


def make_opening_router(service: Service, opening: Opening) -> APIRouter:
    """Make the routes by which the desk lists and opens what came."""
    router = APIRouter(prefix="/intake/v1", tags=["attachments"])
    copies = Copies()

    async def show(opened: Opened) -> Response:
        content, media_type = await copies.of(opened, rules_on(now()))
        return Response(content, media_type=media_type, headers=_NOT_KEPT_NOR_GUESSED)

    @router.get("/cases/{case_id}/attachments", response_model=None)
    async def attachments(
        case_id: UUID, caller: Annotated[Caller, Depends(require(*_DESK))]
    ) -> Response:
        """List what came with the report of a case; nothing of it is shown."""
        async with service.flow.connect() as conn:
            items = await opening.list(conn, case_id, caller, now())
        answer = msgspec.to_builtins({"items": items, "next": None})
        return JSONResponse(answer, headers=_NOT_KEPT)

    @router.post(
        "/attachments/{attachment_id}/open", response_model=None, openapi_extra=body_of(OpenIn)
    )
    async def open_(
        request: Request,
        attachment_id: UUID,
        caller: Annotated[Caller, Depends(require_fresh(*_DESK))],
    ) -> Response:
        """Answer the blurred copy of a picture, or the clear one, or a voice note."""
        body = await read_body(request, OpenIn)
        async with service.flow.begin() as conn:
            opened = await opening.open(
                conn, attachment_id, body.reason, caller, now(), clear=body.clear
            )
        service.waker.wake()
        return await show(opened)

    @router.post(
        "/attachments/{attachment_id}/original",
        response_model=None,
        openapi_extra=body_of(OriginalIn),
    )
    async def original(
        request: Request,
        attachment_id: UUID,
        caller: Annotated[Caller, Depends(require_fresh(*_DESK))],
    ) -> Response:
        """Answer the file as it came to the second of two persons; 202 to the first."""
        body = await read_body(request, OriginalIn)
        async with service.flow.begin() as conn:
            opened = await opening.original(conn, attachment_id, body.reason, caller, now())
        service.waker.wake()
        if opened is None:
            waits = {"state": "waits_for_another_person"}
            return JSONResponse(waits, 202, headers=_NOT_KEPT)
        return await show(opened)

    @router.post("/attachments/{attachment_id}/flag", response_model=None)
    async def flag(
        attachment_id: UUID, caller: Annotated[Caller, Depends(require(*_DESK))]
    ) -> Response:
        """Close what may show abuse: nobody opens it any more, a supervisor decides."""
        async with service.flow.begin() as conn:
            await opening.flag(conn, attachment_id, caller, now())
        service.waker.wake()
        return JSONResponse({"state": "flagged"}, headers=_NOT_KEPT)

    return router
