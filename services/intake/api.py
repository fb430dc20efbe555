"""Intake's HTTP interface besides the channels: submissions, cases, triage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from services.intake import store
from services.intake.reach import matter, shown
from services.intake.report import Pcode, ProviderKey
from services.intake.triage import Triage
from shared.access import Caller, require
from shared.access_rules import Allowed, Verb, decide, scope_of
from shared.bodies import Model, parse_json, read_bytes, validate
from shared.clock import now
from shared.database import transaction
from shared.http import once
from shared.openapi import body_of
from shared.paging import commit_place, page, version_of
from shared.vocabulary import Channel, Concern, Need, Role, Sex, Urgency

if TYPE_CHECKING:
    from services.intake.service import Intake
    from shared.runtime import Service

_DESK = (Role.COORDINATOR, Role.SUPERVISOR)
_SEES = (*_DESK, Role.OPERATIONS, Role.AUDITOR)
_OWN = (*_SEES, Role.PARTNER, Role.COMMITTEE_MEMBER, Role.OPERATOR)


Limit = Annotated[int, Query(ge=1, le=200)]
"""Items on one page of a list."""


class TriageIn(Model):
    """A coordinator's triage; a field that is missing stays as it is."""

    about: Literal["person", "place"] | None = None
    concerns: list[Concern] | None = Field(None, max_length=50)
    needs: list[Need] | None = Field(None, max_length=50)
    urgency: Urgency | None = None
    place: Pcode | None = None
    age: int | None = Field(None, ge=0, le=120, strict=True)
    sex: Sex | None = None
    excluded: list[ProviderKey] | None = Field(None, max_length=50)
    conflict: bool | None = None


def make_router(service: Service, intake: Intake) -> APIRouter:
    """Make the routes for the desk and for those who see their own reports."""
    router = APIRouter(prefix="/intake/v1", tags=["cases"])

    @router.get("/submissions", response_model=None)
    async def submissions(
        caller: Annotated[Caller, Depends(require(*_SEES))],
        channel: Channel | None = None,
        after: str | None = None,
        limit: Limit = 50,
    ) -> Response:
        """List submissions in order, with what a machine read in them and their case."""
        async with transaction(service.web, scope_of(caller, Verb.SEE, now())) as conn:
            rows = await store.list_submissions(conn, channel, commit_place(after), limit)
        last = rows[-1]["cursor"] if rows else None
        items = [{k: v for k, v in row.items() if k != "cursor"} for row in rows]
        return _json(page(items, last))

    @router.get("/cases", response_model=None)
    async def cases(
        caller: Annotated[Caller, Depends(require(*_OWN))],
        after: str | None = None,
        limit: Limit = 50,
    ) -> Response:
        """List cases in order: all for staff, one's own reports' for others."""
        at = now()
        async with transaction(service.web, scope_of(caller, Verb.SEE, at)) as conn:
            rows = await store.list_cases(conn, commit_place(after), limit)
        seen = [(row, decide(caller, Verb.SEE, matter(row), at)) for row in rows]
        items = [shown(row, found) for row, found in seen if isinstance(found, Allowed)]
        return _json(page(items, rows[-1].cursor if rows else None))

    @router.get("/cases/{case_id}", response_model=None)
    async def case(case_id: UUID, caller: Annotated[Caller, Depends(require(*_OWN))]) -> Response:
        """Read the coarse facts of one case; who the person is stays sealed."""
        row, allowed = await intake.show_case(case_id, caller, now())
        headers = {} if allowed.stub else {"ETag": f'"{row.version}"'}
        return _json(shown(row, allowed), headers)

    @router.post(
        "/cases/{case_id}/triage",
        response_model=None,
        openapi_extra=body_of(TriageIn, required=False),
    )
    async def triage(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*_DESK))]
    ) -> Response:
        """Set what a coordinator concludes; planned referrals follow from it."""
        raw = await read_bytes(request)
        body = validate(TriageIn, parse_json(raw) if raw.strip() else {})
        version = version_of(request)
        change = Triage(
            about=body.about,
            concerns=body.concerns,
            needs=body.needs,
            urgency=body.urgency,
            pcode=body.place,
            age=body.age,
            sex=body.sex,
            excluded=body.excluded,
            conflict=body.conflict,
        )
        async with service.flow.begin() as conn:

            async def act() -> tuple[int, Any]:
                row = await intake.triage_in(conn, case_id, change, caller, version, now())
                return 200, shown(row, Allowed())

            response = await once(request, conn, raw, act)
        service.waker.wake()
        return response

    return router


def _json(value: object, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(msgspec.to_builtins(value), headers=headers)
