"""The desk's HTTP interface: tasks, the roster, the end of a case."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import AwareDatetime, Field, model_validator

from services.intake.casework import store
from services.intake.casework.review import Closing, ClosingReason
from services.intake.report import Pcode
from shared.access import Caller, require
from shared.access_rules import Verb, scope_of
from shared.bodies import Model, parse_json, read_bytes, validate
from shared.clock import now
from shared.database import transaction
from shared.errors import InvalidBody, NotFound
from shared.http import once
from shared.openapi import body_of
from shared.paging import decode_cursor, page, version_of
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.service import Casework
    from shared.runtime import Service

    _Do = Callable[[AsyncConnection, bytes], Awaitable[tuple[int, Any]]]

_DESK = (Role.COORDINATOR, Role.SUPERVISOR)
_SEES = (*_DESK, Role.OPERATIONS, Role.AUDITOR)

Limit = Annotated[int, Query(ge=1, le=200)]
Pseudonym = Annotated[str, Field(pattern=r"^[A-Za-z0-9:_.-]{1,80}$")]
Level = Literal["coordinator", "supervisor", "district_focal_person", "safeguarding_focal_person"]


class EndIn(Model):
    """How a task ended, as a stable word: no names, no story."""

    outcome: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")] = "done"


class DutyIn(Model):
    """Somebody on duty: a pseudonym, a level, from and until, in one district or in all."""

    person: Pseudonym
    level: Level
    district: Pcode | None = None
    begins: AwareDatetime
    ends: AwareDatetime

    @model_validator(mode="after")
    def _in_order(self) -> DutyIn:
        if self.ends <= self.begins:
            message = "ends is not after begins"
            raise ValueError(message)
        return self


class CloseIn(Model):
    """Why a named person closes a case."""

    reason: ClosingReason


def _place(cursor: str | None) -> tuple[str, str, str] | None:
    found = decode_cursor(cursor)
    if found is None:
        return None
    try:
        urgency, opened, task_id = found
        datetime.fromisoformat(opened)
        return str(urgency), str(opened), str(UUID(task_id))
    except (TypeError, ValueError):
        raise InvalidBody(None, errors=[{"field": "after", "rule": "cursor"}]) from None


async def _act(service: Service, request: Request, do: _Do) -> Response:
    """Run a change of the desk in one transaction, once for an Idempotency-Key."""
    raw = await read_bytes(request)
    async with service.flow.begin() as conn:
        response = await once(request, conn, raw, lambda: do(conn, raw))
    service.waker.wake()
    return response


def make_task_router(service: Service, casework: Casework) -> APIRouter:
    """Make the routes of tasks and of a case's end."""
    router = APIRouter(prefix="/intake/v1", tags=["desk"])

    @router.get("/tasks", response_model=None)
    async def tasks(
        caller: Annotated[Caller, Depends(require(*_SEES))],
        state: Literal["open", "claimed", "done"] | None = None,
        kind: Annotated[str | None, Query(max_length=60)] = None,
        case_id: UUID | None = None,
        after: str | None = None,
        limit: Limit = 50,
    ) -> Response:
        """List tasks, worst first, then the oldest; without `state` what is not done."""
        async with transaction(service.web, scope_of(caller, Verb.SEE, now())) as conn:
            rows = await store.list_tasks(
                conn, state=state, kind=kind, case_id=case_id, after=_place(after), limit=limit
            )
        last = None
        if rows:
            end = rows[-1]
            last = [end["urgency"] or "T9", end["opened_at"].isoformat(), str(end["task_id"])]
        return JSONResponse(msgspec.to_builtins(page(rows, last)))

    @router.post("/tasks/{task_id}/claim", response_model=None)
    async def claim(
        request: Request, task_id: UUID, caller: Annotated[Caller, Depends(require(*_DESK))]
    ) -> Response:
        """Take a task on."""

        async def do(conn: AsyncConnection, _: bytes) -> tuple[int, Any]:
            return 200, await casework.claim(conn, task_id, caller, now())

        return await _act(service, request, do)

    @router.post(
        "/tasks/{task_id}/done", response_model=None, openapi_extra=body_of(EndIn, required=False)
    )
    async def done(
        request: Request, task_id: UUID, caller: Annotated[Caller, Depends(require(*_DESK))]
    ) -> Response:
        """Say that a task is done."""

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = validate(EndIn, parse_json(raw) if raw.strip() else {})
            return 200, await casework.end(conn, task_id, body.outcome, caller, now())

        return await _act(service, request, do)

    @router.post("/cases/{case_id}/close", response_model=None, openapi_extra=body_of(CloseIn))
    async def close(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*_DESK))]
    ) -> Response:
        """Close a case with a reason; at T0 and T1 a supervisor approves it (202 until then)."""
        version = version_of(request)

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = validate(CloseIn, parse_json(raw))
            found = await casework.close_case(
                conn, case_id, str(body.reason), caller, version, now()
            )
            if isinstance(found, Closing):
                return 202, {"case_id": case_id, "status": "waits_for_approval", **_shown(found)}
            return 200, {"case_id": case_id, "status": found.status, "version": found.version}

        return await _act(service, request, do)

    return router


def make_duty_router(service: Service) -> APIRouter:
    """Make the routes of the roster."""
    router = APIRouter(prefix="/intake/v1", tags=["desk"])

    @router.get("/duty", response_model=None)
    async def duty(_: Annotated[Caller, Depends(require(*_SEES))]) -> Response:
        """List who is on duty now."""
        async with service.flow.connect() as conn:
            roster = await store.roster_at(conn, now())
        items = [{"duty_id": key, **msgspec.to_builtins(entry)} for key, entry in roster]
        return JSONResponse(msgspec.to_builtins({"items": items, "next": None}))

    @router.post("/duty", status_code=201, response_model=None, openapi_extra=body_of(DutyIn))
    async def add_duty(
        request: Request, caller: Annotated[Caller, Depends(require(Role.SUPERVISOR))]
    ) -> Response:
        """Enter somebody into the roster."""

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = validate(DutyIn, parse_json(raw))
            entry = store.Duty(body.person, body.level, body.district, body.begins, body.ends)
            duty_id = await store.add_duty(conn, entry, caller.actor)
            return 201, {"duty_id": duty_id, **msgspec.to_builtins(entry)}

        return await _act(service, request, do)

    @router.delete("/duty/{duty_id}", status_code=204, response_model=None)
    async def drop_duty(
        duty_id: UUID, _: Annotated[Caller, Depends(require(Role.SUPERVISOR))]
    ) -> Response:
        """Take an entry out of the roster."""
        async with service.flow.begin() as conn:
            if not await store.drop_duty(conn, duty_id):
                raise NotFound
        return Response(status_code=204)

    return router


def _shown(closing: Closing) -> dict[str, str]:
    return {"proposed_by": closing.by, "reason": closing.reason}
