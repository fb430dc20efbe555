"""The desk's HTTP interface: tasks, and the end of a case."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from services.intake.casework import store
from services.intake.casework.api_stages import DESK, act, read
from services.intake.casework.focal import is_focal, seeing_harm
from services.intake.casework.review import Closing, ClosingReason
from shared.access import Caller, require
from shared.access_rules import Verb, scope_of
from shared.bodies import Model
from shared.clock import now
from shared.database import transaction
from shared.errors import InvalidBody
from shared.openapi import body_of
from shared.paging import decode_cursor, page, version_of
from shared.vocabulary import Role

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.service import Casework
    from shared.runtime import Service

_SEES = (*DESK, Role.OPERATIONS, Role.AUDITOR)

Limit = Annotated[int, Query(ge=1, le=200)]


class EndIn(Model):
    """How a task ended, as a stable word: no names, no story."""

    outcome: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")] = "done"


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
        at = now()
        async with service.flow.connect() as conn:
            focal = await is_focal(conn, caller, at)
        scope = scope_of(caller, Verb.SEE, at)
        async with transaction(service.web, seeing_harm(scope) if focal else scope) as conn:
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
        request: Request, task_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Take a task on."""

        async def do(conn: AsyncConnection, _: bytes) -> tuple[int, Any]:
            return 200, await casework.claim(conn, task_id, caller, now())

        return await act(service, request, do)

    @router.post(
        "/tasks/{task_id}/done", response_model=None, openapi_extra=body_of(EndIn, required=False)
    )
    async def done(
        request: Request, task_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Say that a task is done."""

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(EndIn, raw)
            return 200, await casework.end(conn, task_id, body.outcome, caller, now())

        return await act(service, request, do)

    @router.post("/cases/{case_id}/close", response_model=None, openapi_extra=body_of(CloseIn))
    async def close(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Close a case with a reason; at T0 and T1 a supervisor approves it (202 until then)."""
        version = version_of(request)

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(CloseIn, raw)
            found = await casework.close_case(
                conn, case_id, str(body.reason), caller, version, now()
            )
            if isinstance(found, Closing):
                return 202, {"case_id": case_id, "status": "waits_for_approval", **_shown(found)}
            return 200, {"case_id": case_id, "status": found.status, "version": found.version}

        return await act(service, request, do)

    return router


def _shown(closing: Closing) -> dict[str, str]:
    return {"proposed_by": closing.by, "reason": closing.reason}
