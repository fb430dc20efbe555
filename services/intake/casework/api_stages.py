"""The HTTP interface of a case's stages: what people decide, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.intake.casework import care, course, risk, steps
from services.intake.casework.bodies import (
    AssessIn,
    AssignIn,
    ContactIn,
    PlanIn,
    ReopenIn,
    SafetyPlanIn,
    VerifyIn,
)
from services.intake.casework.rules import rules_on
from services.intake.casework.stages import Asked, Entry
from shared.access import Caller, require
from shared.bodies import Model, parse_json, read_bytes, validate
from shared.clock import DHAKA, now
from shared.http import once
from shared.openapi import body_of
from shared.paging import version_of
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.casework.stages import Stages
    from services.intake.store import CaseRow
    from shared.runtime import Service

DESK: Final = (Role.COORDINATOR, Role.SUPERVISOR)
M = TypeVar("M", bound=Model)


async def act(
    service: Service,
    request: Request,
    do: Callable[[AsyncConnection, bytes], Awaitable[tuple[int, Any]]],
) -> Response:
    """Run a step in one transaction, once for an Idempotency-Key, and wake the relay."""
    raw = await read_bytes(request)
    async with service.flow.begin() as conn:
        response = await once(request, conn, raw, lambda: do(conn, raw))
    service.waker.wake()
    return response


def read(model: type[M], raw: bytes) -> M:
    """Check a body; an empty one counts as `{}`."""
    return validate(model, parse_json(raw) if raw.strip() else {})


def shown(row: CaseRow, **more: Any) -> dict[str, Any]:  # noqa: ANN401  (any JSON value)
    """Render a case after a step."""
    work = row.facts.work if row.facts else None
    return {
        "case_id": row.case_id,
        "status": row.status,
        "version": row.version,
        "work": work,
        **more,
    }


def make_stage_router(service: Service, stages: Stages) -> APIRouter:
    """Make the routes by which a case is given to somebody, verified and assessed."""
    router = APIRouter(prefix="/intake/v1", tags=["case work"])

    @router.post("/cases/{case_id}/assign", response_model=None, openapi_extra=body_of(AssignIn))
    async def assign(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Give a case its worker and its supervisor; many open cases of one worker are a warning.

        Too many heavy ones in a day or week are refused, until a supervisor says why.

        A later change names its version in If-Match.
        """
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(AssignIn, raw)
            rules = rules_on(asked.at)
            _, facts = await stages.lock(conn, asked, "assign")
            said: tuple[str, ...] = ()
            if care.is_heavy(facts, rules.exposure):
                taken = await care.taken_by(conn, body.worker, case_id, asked.at)
                said = care.weigh(rules.exposure, taken, caller, reason=body.reason)
            overrides = [word for word in said if word == care.OVERRIDE]
            detail = {"worker": body.worker, "supervisor": body.supervisor, "reasons": overrides}
            row, _ = await stages.take(
                conn,
                asked,
                Entry("assign", detail, {"reason": body.reason}),
                lambda f: course.assign(case_id, f, body.worker, body.supervisor, overrides),
            )
            count = await steps.open_cases_of(conn, body.worker)
            many = ("many_open_cases",) if count >= rules.open_cases_warning else ()
            return 200, shown(row, open_cases=count, warnings=[*many, *said])

        return await act(service, request, do)

    @router.post("/cases/{case_id}/verify", response_model=None, openapi_extra=body_of(VerifyIn))
    async def verify(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Say what verifying found; it closes nothing."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(VerifyIn, raw)
            entry = Entry(
                "verify",
                {"finding": str(body.finding), "means": body.means},
                {"text": body.text},
            )
            row, _ = await stages.take(
                conn,
                asked,
                entry,
                lambda f: course.verify(case_id, f, str(body.finding), body.means),
            )
            return 200, shown(row)

        return await act(service, request, do)

    @router.post("/cases/{case_id}/assess", response_model=None, openapi_extra=body_of(AssessIn))
    async def assess(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Assess the risk by an instrument; what another assessed is changed only knowingly."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(AssessIn, raw)
            found = risk.assess(
                risk.load_instruments(),
                body.instrument,
                body.answers,
                asked.at.astimezone(DHAKA).date(),
                chosen=body.risk,
                reasoned=bool(body.reason),
            )
            detail = {
                "instrument": body.instrument,
                "answers": body.answers,
                "risk": str(found.risk),
                "reasons": list(found.reasons),
                "lowered": found.lowered,
            }
            entry = Entry("assess", detail, {"reason": body.reason})
            row, _ = await stages.take(
                conn, asked, entry, lambda f: course.assess(case_id, f, found)
            )
            return 200, shown(row, risk=str(found.risk), reasons=list(found.reasons))

        return await act(service, request, do)

    return router


def make_plan_router(service: Service, stages: Stages) -> APIRouter:
    """Make the routes of plans, contacts and opening again."""
    router = APIRouter(prefix="/intake/v1", tags=["case work"])

    @router.post(
        "/cases/{case_id}/safety-plan", response_model=None, openapi_extra=body_of(SafetyPlanIn)
    )
    async def safety_plan(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Keep a safety plan; its words are sealed."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(SafetyPlanIn, raw)
            entry = Entry("safety-plan", {}, {"text": body.text})
            row, _ = await stages.take(
                conn, asked, entry, lambda f: course.make_safety_plan(case_id, f)
            )
            return 200, shown(row)

        return await act(service, request, do)

    @router.post("/cases/{case_id}/plan", response_model=None, openapi_extra=body_of(PlanIn))
    async def plan(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Keep a plan that the person agreed to; a need that is new in it is referred."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(PlanIn, raw)
            goals = [course.Goal(str(g.need), g.who, g.by) for g in body.goals]
            detail = {
                "goals": [{"need": g.need, "who": g.who, "by": g.by.isoformat()} for g in goals],
                "agreed_by": body.agreed_by,
                "how": body.how,
            }
            private = {"goals": [g.text for g in body.goals] if _any_text(body) else None}
            today = asked.at.astimezone(DHAKA).date()
            await stages.lock(conn, asked)
            await stages.refuse_alleged(conn, case_id, body.agreed_by)
            row, _ = await stages.take(
                conn,
                asked,
                Entry("plan", detail, private),
                lambda f: course.agree_plan(case_id, f, goals, today),
            )
            return 200, shown(row)

        return await act(service, request, do)

    @router.post("/cases/{case_id}/contacts", response_model=None, openapi_extra=body_of(ContactIn))
    async def contacts(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Note an attempt to be in contact, and what came of it."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(ContactIn, raw)
            await stages.lock(conn, asked)
            nth = len(await steps.steps_of(conn, case_id, "contacts")) + 1
            contact = course.Contact(body.with_, body.means, body.result, nth)
            detail = {
                "with": body.with_,
                "means": body.means,
                "result": body.result,
                "attempt": nth,
            }
            entry = Entry("contacts", detail, {"text": body.text})
            row, _ = await stages.take(
                conn, asked, entry, lambda f: course.record_contact(case_id, f, contact)
            )
            return 200, shown(row, attempt=nth)

        return await act(service, request, do)

    @router.post("/cases/{case_id}/reopen", response_model=None, openapi_extra=body_of(ReopenIn))
    async def reopen(
        request: Request, case_id: UUID, caller: Annotated[Caller, Depends(require(*DESK))]
    ) -> Response:
        """Open a closed case again, with the cases before it."""
        asked = Asked(case_id, caller, now(), version_of(request))

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(ReopenIn, raw)
            entry = Entry("reopen", {"reason": str(body.reason)}, {"text": body.text})
            row, _ = await stages.take(
                conn, asked, entry, lambda f: course.reopen(case_id, f, str(body.reason))
            )
            return 200, shown(row)

        return await act(service, request, do)

    return router


def _any_text(body: PlanIn) -> bool:
    return any(goal.text for goal in body.goals)
