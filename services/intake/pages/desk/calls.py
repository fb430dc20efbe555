"""A call in one screen: kept as it is typed; ended with a receipt, or kept apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from services.intake.helplines import load_lines
from services.intake.pages.desk.acts import filled_in
from services.intake.pages.desk.fields import json_of
from services.intake.pages.desk.frame import DESK, TAKES, Frame
from shared.access import Caller, require
from shared.inside import Refused
from shared.pages import headers
from shared.pages.forms import Form, read_form
from shared.pages.refusals import pass_on

if TYPE_CHECKING:
    from shared.inside import Answer

_Takes = Annotated[Caller, Depends(require(*TAKES))]

_AT: Final = "/intake/v1/helpline/calls"
DONE: Final = "call-done"
"""What the page after a call shows."""

_SHOWN: Final = ("call_id", "kept_apart", "receipt", "words", "case_ids")

_NOT_SAID: Final = frozenset({"call_id", "revision", "end"})


def body_of_call(form: Form, *, goes_on: bool) -> dict[str, Any]:
    """Return a call as the interface takes it."""
    body = json_of([(name, value) for name, value in form.fields if name not in _NOT_SAID])
    body["open"] = goes_on
    body["revision"] = revision_of(form)
    report = body.get("report", {})
    if report.get("persons"):
        report["about"] = "people"
    return body


def revision_of(form: Form) -> int:
    """Return the number of a save; it grows with each."""
    said = form.get("revision")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 6 else 0  # noqa: PLR2004


def make_router(frame: Frame) -> APIRouter:  # noqa: C901  (small routes)
    """Make the routes of calls."""
    router = frame.pages.router(files=False)
    _add_after(router, frame)

    async def save(request: Request, form: Form, *, goes_on: bool) -> Answer:
        body = body_of_call(form, goes_on=goes_on)
        call_id, inside = form.get("call_id"), frame.inside(request)
        key = None if goes_on else form.get("once") or None
        if call_id:
            path = f"{_AT}/{UUID(call_id)}"
            return await inside.send(request, "PUT", path, body, key=key)
        return await inside.send(request, "POST", _AT, body, key=key)

    def page(
        request: Request,
        caller: Caller,
        status: int = 200,
        **more: Any,  # noqa: ANN401
    ) -> Response:
        lines = [
            (line.number, f"{line.number} {line.bn if lang == 'bn' else line.en}")
            for lang in [frame.pages.language(request)]
            for line in load_lines()
        ]
        values = {
            "call_id": "",
            "revision": 1,
            "lines": lines,
            "line": "",
            "languages": frame.words(request, "language"),
        }
        return frame.show(
            request, "call", caller, status, **frame.lists(request), **(values | more)
        )

    @router.get("/desk/calls", response_model=None)
    async def begin(request: Request, caller: _Takes) -> Response:
        return page(request, caller)

    @router.post("/desk/calls", response_model=None)
    async def take(request: Request, caller: _Takes) -> Response:
        form = await read_form(request)
        goes_on = form.has("open")
        told: dict[str, Any] = {"filled": filled_in(form), "filled_form": "call"}
        call: dict[str, Any] = {"call_id": form.get("call_id"), "revision": revision_of(form) + 1}
        try:
            answer = await save(request, form, goes_on=goes_on)
        except Refused as refused:
            pass_on(refused)
            return page(request, caller, refused.status, problem=refused, **told, **call)
        if goes_on:
            call["call_id"] = answer.value["call_id"]
            return page(request, caller, said="done", **told, **call)
        return _end(frame, request, caller, answer.value)

    @router.post("/desk/calls/keep", response_model=None)
    async def keep(request: Request, caller: _Takes) -> Response:
        """Keep what is typed, for the page's own script: which call it is, and its next number."""
        del caller
        form = await read_form(request)
        try:
            answer = await save(request, form, goes_on=True)
        except Refused as refused:
            pass_on(refused)
            return JSONResponse({}, refused.status, headers=headers.INSIDE)
        told = {"call_id": answer.value["call_id"], "revision": revision_of(form) + 1}
        return JSONResponse(told, headers=headers.INSIDE)

    @router.post("/desk/calls/{call_id}/report", response_model=None)
    async def make_report(request: Request, call_id: UUID, caller: _Takes) -> Response:
        try:
            answer = await frame.inside(request).send(request, "POST", f"{_AT}/{call_id}/report")
        except Refused as refused:
            pass_on(refused)
            return page(request, caller, refused.status, problem=refused)
        return _end(frame, request, caller, {"kept_apart": False, **answer.value})

    return router


def _end(frame: Frame, request: Request, caller: Caller, answer: dict[str, Any]) -> Response:
    """Send the browser on to what came of a call."""
    shown = {name: answer[name] for name in _SHOWN if name in answer}
    response = frame.pages.go(request, "/desk/calls/done")
    frame.kept.keep(response, DONE, caller, shown)
    return response


def _add_after(router: APIRouter, frame: Frame) -> None:
    @router.get("/desk/calls/mine", response_model=None)
    async def mine(
        request: Request,
        caller: _Takes,
        after: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """Show the calls that somebody took themself, the newest first."""
        try:
            found = await frame.inside(request).get(request, _AT, after=after)
        except Refused as refused:
            pass_on(refused)
            return frame.pages.go(request, "/desk/calls/mine")
        query = urlencode({"after": found["next"]}) if found["next"] else ""
        return frame.show(
            request,
            "calls",
            caller,
            calls=found["items"],
            sees=caller.role in DESK,
            after=f"/desk/calls/mine?{query}" if query else None,
            first="/desk/calls/mine" if after else None,
        )

    @router.get("/desk/calls/done", response_model=None)
    async def done(request: Request, caller: _Takes) -> Response:
        """Show what came of a call, its secret number once."""
        answer = frame.kept.find(request, DONE, caller, dict[str, Any])
        if answer is None:
            return frame.pages.go(request, "/desk/calls")
        sees = caller.role in DESK
        response = frame.show(request, "call_done", caller, answer=answer, sees=sees)
        frame.kept.drop(response, DONE)
        return response
