"""What is done on the desk's pages: each form is sent to the interface, then the page is read anew.

The same use cases, checks and access decisions as for whoever sends JSON: a form's hidden key is
its Idempotency-Key, the version that its page showed its If-Match. A refusal is told on the page,
with what was written still in its form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.intake.pages.desk.fields import json_of
from services.intake.pages.desk.frame import DESK, Frame
from services.intake.pages.desk.routes import case_page, queue_page
from services.intake.pages.desk.team import team_page
from services.intake.sign_in.api import local_path
from shared.access import Caller, require
from shared.errors import NotFound
from shared.inside import Answer, Refused
from shared.pages.forms import Form, read_form
from shared.pages.refusals import pass_on

if TYPE_CHECKING:
    from shared.runtime import Service

_Desk = Annotated[Caller, Depends(require(*DESK))]

STEPS: Final = frozenset(
    {
        "triage", "assign", "verify", "assess", "safety-plan", "plan", "contacts", "notes",
        "visits", "visit-back", "committee-tasks", "consent", "split", "link", "unlink", "handover",
        "feedback", "close", "reopen",
    }
)  # fmt: skip
"""Steps of a case that a form may take; each is a verb of the interface."""

_TO_REPORTER: Final = frozenset({"question", "end"})

_SAID: Final = {"question": "asked", "end": "asked"}


def filled_in(form: Form) -> dict[str, list[str]]:
    """Return what was filled in, so that its page can show it again."""
    filled: dict[str, list[str]] = {}
    for name, value in form.fields:
        filled.setdefault(name, []).append(value)
    return filled


def make_router(service: Service, frame: Frame) -> APIRouter:
    """Make the routes of doing."""
    router = frame.pages.router(files=False)

    async def send(
        request: Request, path: str, form: Form, body: object, method: str = "POST"
    ) -> Answer:
        return await frame.inside(request).send(
            request,
            method,
            path,
            body,
            version=form.get("version") or None,
            key=form.get("once") or None,
        )

    _add_steps(router, frame, send)
    _add_tasks(router, service, frame, send)
    _add_duty(router, service, frame, send)
    return router


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Send = Callable[..., Awaitable[Answer]]


def _add_steps(router: APIRouter, frame: Frame, send: Send) -> None:
    @router.post("/desk/cases/{case_id}/{verb}", response_model=None)
    async def step(request: Request, case_id: UUID, verb: str, caller: _Desk) -> Response:
        form = await read_form(request)
        page = f"/desk/cases/{case_id}"
        try:
            if verb in _TO_REPORTER:
                case = await frame.inside(request).get(request, f"/intake/v1/cases/{case_id}")
                path = f"/intake/v1/submissions/{case['submission_id']}/{verb}"
            elif verb in STEPS:
                path = f"/intake/v1/cases/{case_id}/{verb}"
            else:
                raise NotFound
            answer = await send(request, path, form, json_of(form.fields))
        except Refused as refused:
            pass_on(refused)
            return await case_page(
                frame,
                request,
                caller,
                case_id,
                refused.status,
                problem=refused,
                filled=filled_in(form),
                filled_form=verb,
            )
        said = "waits" if answer.status == 202 else _SAID.get(verb, "done")  # noqa: PLR2004
        return frame.pages.go(request, page, said=said)


def _add_tasks(router: APIRouter, service: Service, frame: Frame, send: Send) -> None:
    @router.post("/desk/tasks/{task_id}/{verb}", response_model=None)
    async def task(request: Request, task_id: UUID, verb: str, caller: _Desk) -> Response:
        form = await read_form(request)
        if verb not in ("claim", "done"):
            raise NotFound
        try:
            await send(request, f"/intake/v1/tasks/{task_id}/{verb}", form, {})
        except Refused as refused:
            pass_on(refused)
            return await queue_page(
                service, frame, request, caller, refused.status, problem=refused
            )
        back = local_path(form.get("back") or "/desk")
        return frame.pages.go(request, back, said="claimed" if verb == "claim" else "ended")


def _add_duty(router: APIRouter, service: Service, frame: Frame, send: Send) -> None:
    async def act(
        request: Request, caller: Caller, form: Form, method: str, path: str, body: object
    ) -> Response:
        try:
            await send(request, path, form, body, method)
        except Refused as refused:
            pass_on(refused)
            return await team_page(
                service,
                frame,
                request,
                caller,
                refused.status,
                problem=refused,
                filled=filled_in(form),
                filled_form="ties" if "/ties" in path else "duty",
            )
        return frame.pages.go(request, "/desk/team", said="done")

    @router.post("/desk/team/ties", response_model=None)
    async def tie(request: Request, caller: _Desk) -> Response:
        """Say that two are close: where a case names one, the other loses sight of it."""
        form = await read_form(request)
        body = json_of(form.fields)
        return await act(request, caller, form, "POST", "/intake/v1/ties", body)

    @router.post("/desk/team/ties/{tie_id}/end", response_model=None)
    async def untie(request: Request, tie_id: UUID, caller: _Desk) -> Response:
        form = await read_form(request)
        return await act(request, caller, form, "DELETE", f"/intake/v1/ties/{tie_id}", None)

    @router.post("/desk/team/duty", response_model=None)
    async def enter(request: Request, caller: _Desk) -> Response:
        form = await read_form(request)
        body = json_of(form.fields)
        return await act(request, caller, form, "POST", "/intake/v1/duty", body)

    @router.post("/desk/team/duty/{duty_id}/end", response_model=None)
    async def leave(request: Request, duty_id: UUID, caller: _Desk) -> Response:
        form = await read_form(request)
        return await act(request, caller, form, "DELETE", f"/intake/v1/duty/{duty_id}", None)
