"""The HTTP interface of the roster: who is on duty, at which level, and how a page reaches them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self
from uuid import UUID, uuid4

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from services.intake.casework.api_stages import act, read
from services.intake.casework.bodies import Pseudonym
from services.intake.casework.course import bare
from services.intake.casework.roster import Duty, add_duty, drop_duty, forget_numbers, roster_at
from services.intake.casework.tasks import LEVELS, SAFEGUARDING
from services.intake.report import Pcode
from shared.access import Caller, require
from shared.bodies import Model
from shared.clock import now
from shared.errors import Forbidden, NotFound
from shared.text import parse_phone
from shared.vocabulary import Role

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.numbers import Numbers
    from services.intake.casework.shown import Board
    from shared.runtime import Service

_SEES: Final = (Role.COORDINATOR, Role.SUPERVISOR, Role.OPERATIONS, Role.AUDITOR)
_NUMBERED: Final = ("sms", "call")


class PushKeysIn(Model):
    """The keys of a browser's push subscription, as it gives them; nothing is encrypted to them."""

    p256dh: Annotated[str, Field(max_length=200)]
    auth: Annotated[str, Field(max_length=100)]


class PushIn(Model):
    """A browser's push subscription (`PushSubscription.toJSON()`)."""

    endpoint: Annotated[str, Field(max_length=1000, pattern=r"^https://[!-~]+$")]
    expirationTime: float | None = None  # noqa: N815  (the browser's own name)
    keys: PushKeysIn | None = None


class DutyIn(Model):
    """Somebody on duty: a pseudonym, a level, from and until, in one district or in all.

    `way` is how a page reaches them; `desk`: they look at it. A number, or a browser's
    push subscription, is sealed and never shown.
    """

    person: Pseudonym
    level: Literal[
        "coordinator", "supervisor", "district_focal_person", "safeguarding_focal_person"
    ]
    district: Pcode | None = None
    begins: AwareDatetime
    ends: AwareDatetime
    way: Literal["desk", "sms", "call", "push"] = "desk"
    number: Annotated[str, Field(max_length=40), AfterValidator(parse_phone)] | None = None
    push: PushIn | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ends <= self.begins:
            message = "ends is not after begins"
            raise ValueError(message)
        if self.way in _NUMBERED and self.number is None:
            message = "this way needs a number"
            raise ValueError(message)
        if (self.way == "push") != (self.push is not None):
            message = "push is for the way push, and that needs it"
            raise ValueError(message)
        return self

    @property
    def where(self) -> str | None:
        """What a page goes to: a number, or the address of a push subscription."""
        return self.push.endpoint if self.push else self.number


def make_duty_router(service: Service, numbers: Numbers, board: Board) -> APIRouter:
    """Make the routes of the roster."""
    router = APIRouter(prefix="/intake/v1", tags=["desk"])

    @router.get("/duty", response_model=None)
    async def duty(_: Annotated[Caller, Depends(require(*_SEES))]) -> Response:
        """List who is on duty now, and at which levels nobody is."""
        async with service.flow.connect() as conn:
            roster = await roster_at(conn, now())
        items = [{"duty_id": key, **msgspec.to_builtins(entry)} for key, entry in roster]
        held = {entry.level for _, entry in roster}
        nobody = [level for level in LEVELS if level not in held]
        return JSONResponse(msgspec.to_builtins({"items": items, "next": None, "nobody": nobody}))

    @router.post("/duty", response_model=None)
    async def enter(
        request: Request, caller: Annotated[Caller, Depends(require(Role.SUPERVISOR))]
    ) -> Response:
        """Enter somebody into the roster; nobody makes themself the safeguarding focal person."""
        at = now()

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(DutyIn, raw)
            if body.level == SAFEGUARDING and bare(body.person) == caller.subject:
                raise Forbidden("another supervisor must enter you")
            duty_id = uuid4()
            sealed = numbers.seal(duty_id, body.where) if body.where else None
            entry = Duty(body.person, body.level, body.district, body.begins, body.ends, body.way)
            await forget_numbers(conn, at)
            await add_duty(conn, entry, caller.actor, duty_id, sealed)
            return 201, {"duty_id": duty_id, **msgspec.to_builtins(entry)}

        answer = await act(service, request, do)
        await board.look(service.flow)
        return answer

    @router.delete("/duty/{duty_id}", response_model=None)
    async def leave(
        duty_id: UUID, _: Annotated[Caller, Depends(require(Role.SUPERVISOR))]
    ) -> Response:
        """Take an entry out of the roster."""
        async with service.flow.begin() as conn:
            if not await drop_duty(conn, duty_id):
                raise NotFound
        await board.look(service.flow)
        return Response(status_code=204)

    return router
