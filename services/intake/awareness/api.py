"""`/intake/v1/awareness`: courtyard talks are counted, and notices go out to those who asked."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from services.intake.awareness.messages import make_message
from services.intake.awareness.service import AROUND, SMALLEST, make_talk, own_upazila
from services.intake.casework.api_stages import act, read
from shared.access import Caller, require
from shared.bodies import Model
from shared.clock import day_of, now
from shared.openapi import body_of
from shared.vocabulary import Role

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.awareness.messages import Messages, Sent
    from services.intake.awareness.service import Awareness, Counted
    from shared.runtime import Service

SEES: Final = (Role.COORDINATOR, Role.SUPERVISOR)
COUNTS: Final = (Role.COMMITTEE_MEMBER, *SEES)

People = Annotated[int, Field(ge=0, le=1000, strict=True)]


class SessionIn(Model):
    """A courtyard talk that was held; `place` is the P-code of an upazila or thana.

    Without a place it is the caller's own upazila, if their membership names one.
    """

    set: Annotated[str, Field(max_length=40)]
    place: Annotated[str, Field(max_length=20)] | None = None
    day: date
    women: People = 0
    men: People = 0
    girls: People = 0
    boys: People = 0


class MessageIn(Model):
    """A set that goes out by SMS to those who asked, in divisions and districts or everywhere.

    `places` are P-codes; null is everywhere.
    """

    set: Annotated[str, Field(max_length=40)]
    places: (
        Annotated[list[Annotated[str, Field(max_length=20)]], Field(min_length=1, max_length=72)]
        | None
    ) = None


def make_router(service: Service, awareness: Awareness) -> APIRouter:
    """Make the routes of `/intake/v1/awareness`."""
    router = APIRouter(tags=["awareness"], prefix="/intake/v1/awareness")

    @router.post(
        "/sessions", response_model=None, status_code=201, openapi_extra=body_of(SessionIn)
    )
    async def count(
        request: Request, caller: Annotated[Caller, Depends(require(*COUNTS))]
    ) -> Response:
        """Count a courtyard talk, once for an Idempotency-Key; numbers only, of nobody."""

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(SessionIn, raw)
            place = body.place or own_upazila(caller, day_of(now()))
            talk = make_talk(of=body.set, place=place, **body.model_dump(exclude={"set", "place"}))
            await awareness.count(conn, talk, caller, now())
            return 201, {"session_id": str(talk.session_id)}

        return await act(service, request, do)

    @router.get("/sessions", response_model=None)
    async def sessions(_: Annotated[Caller, Depends(require(*SEES))]) -> Response:
        """List the latest talks; beside each how many reports came from there, null: under 5."""
        found = await awareness.list(now())
        told = {"items": [shown(one) for one in found], "days": AROUND.days, "under": SMALLEST}
        return JSONResponse(told)

    @router.delete("/sessions/{session_id}", response_model=None, status_code=204)
    async def drop(session_id: UUID, _: Annotated[Caller, Depends(require(*SEES))]) -> Response:
        """Take out a count that was wrong."""
        await awareness.drop(session_id)
        return Response(status_code=204)

    return router


def make_message_router(service: Service, messages: Messages) -> APIRouter:
    """Make the routes of notices."""
    router = APIRouter(tags=["awareness"], prefix="/intake/v1/awareness")

    @router.post(
        "/messages", response_model=None, status_code=201, openapi_extra=body_of(MessageIn)
    )
    async def send(
        request: Request, caller: Annotated[Caller, Depends(require(*SEES))]
    ) -> Response:
        """Send a set to those who asked, once for an Idempotency-Key; `planned` null: under 5."""

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body, at = read(MessageIn, raw), now()
            message = make_message(body.set, body.places or (), caller.actor, at)
            planned = await messages.plan(conn, message, at)
            return 201, {"message_id": str(message.message_id), "planned": planned}

        return await act(service, request, do)

    @router.get("/messages", response_model=None)
    async def sent(_: Annotated[Caller, Depends(require(*SEES))]) -> Response:
        """List the latest notices with how they went, and who asks by division; null: under 5."""
        found, asking = await messages.list(now()), await messages.count()
        told = {
            "items": [shown_message(one) for one in found],
            "asking": [{"division": code, "people": number} for code, number in asking.items()],
            "days": AROUND.days,
            "under": SMALLEST,
        }
        return JSONResponse(told)

    return router


def shown_message(one: Sent) -> dict[str, Any]:
    """Render a notice with how it went, and the reports before and after it."""
    return {
        "message_id": str(one.message.message_id),
        "set": one.message.set_name,
        "places": list(one.message.places),
        "day": day_of(one.message.planned_at).isoformat(),
        **one.states,
        "reports_before": one.before,
        "reports_after": one.after,
        "days_after_are_over": one.whole,
    }


def shown(one: Counted) -> dict[str, Any]:
    """Render a talk with the reports before and after it."""
    talk = one.talk
    return {
        "session_id": str(talk.session_id),
        "set": talk.set_name,
        "place": talk.place,
        "day": talk.held_on.isoformat(),
        "women": talk.women,
        "men": talk.men,
        "girls": talk.girls,
        "boys": talk.boys,
        "reports_before": one.before,
        "reports_after": one.after,
        "days_after_are_over": one.whole,
    }
