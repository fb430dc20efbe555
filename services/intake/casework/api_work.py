"""The HTTP interface of case work as it stands: how far a case is, notes, instruments, loads."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from services.intake.casework import course, risk, steps
from services.intake.casework.api_stages import DESK, act, read, shown
from services.intake.casework.bodies import NoteIn
from services.intake.casework.course import Done
from services.intake.casework.focal import HARM, is_focal
from services.intake.casework.rules import rules_on
from services.intake.casework.stages import Asked, Entry
from shared.access import Caller, require
from shared.access_rules import Verb, scope_of
from shared.clock import DHAKA, now
from shared.database import set_reach
from shared.openapi import body_of
from shared.paging import version_of
from shared.vocabulary import Role

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.stages import Stages
    from shared.runtime import Service

Why = Annotated[str, Query(pattern=r"^[a-z0-9_]{1,60}$")]

LOAD_OVER: Final = timedelta(days=30)
"""Over which time steps, and those by night, are counted for a worker."""


def make_reading_router(service: Service, stages: Stages) -> APIRouter:
    """Make the routes that show how far a case is, and what was written down."""
    router = APIRouter(prefix="/intake/v1", tags=["case work"])

    @router.get("/cases/{case_id}/work", response_model=None)
    async def work(case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]) -> Response:
        """Show the stages of a case, what falls due, what may be done next, and previous cases."""
        asked = Asked(case_id, caller, now())
        async with service.flow.begin() as conn:
            row, facts = await stages.lock(conn, asked)
            focal = await is_focal(conn, caller, asked.at)
            taken = [s for s in await steps.steps_of(conn, case_id) if focal or s.kind != HARM]
            await set_reach(conn, scope_of(caller, Verb.WORK, asked.at))
            answer = shown(
                row,
                next=course.next_steps(facts),
                due=await steps.due_of(conn, case_id),
                steps=[_step(s) for s in taken],
                report=await steps.count_of_report(conn, row.submission_id),
                previous=await steps.previous_of(
                    conn, row.submission_id, course.tied_to(facts), case_id
                ),
            )
        return JSONResponse(msgspec.to_builtins(answer), headers={"ETag": f'"{row.version}"'})

    @router.get("/cases/{case_id}/notes", response_model=None)
    async def notes(
        case_id: UUID,
        reason: Why,
        caller: Annotated[Caller, Depends(require(*DESK))],
    ) -> Response:
        """Read what was written down of a case; `reason` says why, and the reading is an event."""
        asked = Asked(case_id, caller, now())
        async with service.flow.begin() as conn:
            items = await stages.read_notes(conn, asked, reason)
        service.waker.wake()
        page = {"items": items, "next": None}
        return JSONResponse(msgspec.to_builtins(page), headers={"Cache-Control": "no-store"})

    @router.post("/cases/{case_id}/notes", response_model=None, openapi_extra=body_of(NoteIn))
    async def note(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Keep a note; its words are sealed, and nothing else of the case changes."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            entry = Entry("note", {}, {"text": read(NoteIn, raw).text})
            row, _ = await stages.take(conn, asked, entry, lambda facts: Done(facts, ()))
            return 200, shown(row)

        return await act(service, request, do)

    @router.get("/risk-instruments", response_model=None)
    async def instruments(
        _: Annotated[Caller, Depends(require(*DESK, Role.AUDITOR))],
    ) -> Response:
        """List the instruments that hold today, question by question, in both languages."""
        today = now().astimezone(DHAKA).date()
        held = [i for i in risk.load_instruments().values() if i.holds_on(today)]
        return JSONResponse(msgspec.to_builtins({"items": held, "next": None}))

    @router.get("/caseload", response_model=None)
    async def caseload(_: Annotated[Caller, Depends(require(*DESK))]) -> Response:
        """List each worker's open cases, those at T0, and the steps of 30 days by day and night."""
        at = now()
        rules = rules_on(at)
        async with service.flow.connect() as conn:
            found = await steps.loads(
                conn, at - LOAD_OVER, rules.exposure.concerns, at - timedelta(weeks=1)
            )
        items = [{**item, "many": item["open_cases"] >= rules.open_cases_warning} for item in found]
        return JSONResponse(msgspec.to_builtins({"items": items, "next": None}))

    return router


def _step(step: steps.Taken) -> dict[str, Any]:
    return {
        "step_id": step.step_id,
        "kind": step.kind,
        "by": step.by,
        "at": step.at,
        "version": step.version,
        "detail": step.detail,
        "has_note": step.note is not None,
    }
