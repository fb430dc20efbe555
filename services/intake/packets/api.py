"""The HTTP interface of packets, of numbers of other offices, and of the notice for 13219."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import AwareDatetime, Field

from services.intake.casework.api_stages import DESK, act, read
from services.intake.casework.bodies import Key, Pseudonym
from services.intake.casework.stages import Asked
from services.intake.packets import store
from services.intake.packets.service import Packets
from services.intake.report import ExternalRef, Short, Text
from shared.access import Caller, require, require_fresh
from shared.bodies import Model, read_body
from shared.clock import now
from shared.openapi import body_of
from shared.paging import version_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.packets.alerts import Alerts
    from services.intake.packets.packet import Made
    from shared.runtime import Service

_NOT_KEPT: Final = {"Cache-Control": "no-store"}


class PacketIn(Model):
    """For which centre, in which format; `drop`: given over by its connector, not downloaded."""

    to: Key
    format: Literal["htcds-csv", "htcds-json", "primero", "fhir", "pdf"]
    drop: bool = False


class AnswerIn(Model):
    """What the receiver of a packet said, who there, and their own number for it."""

    answer: Literal["received", "accepted", "declined"]
    by: Pseudonym
    reference: Short | None = None


class AlertIn(Model):
    """What the police are told of a missing child, in words of whoever makes it.

    `reporter_danger`: could the one who reported be the danger? `checked` says how that was found
    out. `basis`: who wants it, a caregiver who is not alleged, or the child's best interest.
    """

    reporter_danger: Literal["no", "yes", "not_known"]
    checked: Annotated[Text, Field(min_length=1)]
    basis: Literal["caregiver", "best_interest"]
    last_seen: Short
    seen_at: AwareDatetime | None = None
    description: Short | None = None


class DownIn(Model):
    """Why the notice is taken down; sealed."""

    text: Annotated[Text, Field(min_length=1)]


def _file(made: Made, packet_id: UUID) -> Response:
    """Answer a packet as a file whose name tells nothing."""
    name = f"packet-{str(packet_id)[:8]}.{made.suffix}"
    told = {
        **_NOT_KEPT,
        "Content-Disposition": f'attachment; filename="{name}"',
        "Packet-Id": str(packet_id),
        "Packet-In-Words": str(len(made.rest)),
    }
    return Response(made.raw, 201, told, made.media_type)


def make_router(service: Service, packets: Packets) -> APIRouter:
    """Make the routes of packets and references."""
    router = APIRouter(prefix="/intake/v1", tags=["handover"])

    @router.post(
        "/cases/{case_id}/packets",
        status_code=201,
        response_model=None,
        openapi_extra=body_of(PacketIn),
    )
    async def make(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require_fresh(*DESK))]
    ) -> Response:
        """Make a packet for the centre that a case is offered to, of what was agreed to.

        Answers the file, or with `drop` where it was laid; making it is an event of the case.
        """
        body = await read_body(request, PacketIn)
        asked = Asked(case_id, caller, now(), version_of(request))
        async with service.flow.begin() as conn:
            packet_id, made = await packets.make(conn, asked, body.to, body.format, drop=body.drop)
        service.waker.wake()
        if body.drop:
            told = {"packet_id": packet_id, "dropped": True, "in_words": len(made.rest)}
            return JSONResponse(msgspec.to_builtins(told), 201, _NOT_KEPT)
        return _file(made, packet_id)

    @router.get("/cases/{case_id}/packets", response_model=None)
    async def listed(case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]) -> Response:
        """List the packets of a case and what came back; nothing of what was in them."""
        async with service.flow.begin() as conn:
            await packets.stages.lock(conn, Asked(case_id, caller, now()))
            items = await store.list_packets(conn, case_id)
        return JSONResponse(msgspec.to_builtins({"items": items, "next": None}), headers=_NOT_KEPT)

    @router.post(
        "/cases/{case_id}/packets/{packet_id}/answer",
        response_model=None,
        openapi_extra=body_of(AnswerIn),
    )
    async def answer(
        request: Request,
        case_id: UUID,
        packet_id: UUID,
        caller: Annotated[Caller, Depends(require(*DESK))],
    ) -> Response:
        """Write down what the receiver of a packet said; a yes moves the responsibility."""
        asked = Asked(case_id, caller, now())

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(AnswerIn, raw)
            return 200, await packets.answer(
                conn, asked, packet_id, body.answer, body.by, body.reference
            )

        return await act(service, request, do)

    @router.post(
        "/cases/{case_id}/references",
        status_code=201,
        response_model=None,
        openapi_extra=body_of(ExternalRef),
    )
    async def reference(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Write down a number of another office (NRM, CPIMS, a police GD); it is sealed."""
        asked = Asked(case_id, caller, now())

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(ExternalRef, raw)
            await packets.note_reference(conn, asked, body.system, body.value)
            return 201, {"status": "noted"}

        return await act(service, request, do)

    return router


def make_alert_router(service: Service, alerts: Alerts) -> APIRouter:
    """Make the routes of the notice for 13219."""
    router = APIRouter(prefix="/intake/v1", tags=["handover"])

    @router.post(
        "/cases/{case_id}/missing-alert",
        status_code=201,
        response_model=None,
        openapi_extra=body_of(AlertIn),
    )
    async def make(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require_fresh(*DESK))]
    ) -> Response:
        """Make the notice of a missing child for 13219; a named person gives it to them."""
        body = await read_body(request, AlertIn)
        asked = Asked(case_id, caller, now(), version_of(request))
        async with service.flow.begin() as conn:
            packet_id, made = await alerts.make(conn, asked, body.model_dump())
        service.waker.wake()
        return _file(made, packet_id)

    @router.post(
        "/cases/{case_id}/missing-alert-down", response_model=None, openapi_extra=body_of(DownIn)
    )
    async def down(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Write down that 13219 took the notice down: the child is found, or it was a mistake."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            await alerts.take_down(conn, asked, read(DownIn, raw).text)
            return 200, {"status": "down"}

        return await act(service, request, do)

    return router
