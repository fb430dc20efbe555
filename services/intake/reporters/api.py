"""`/intake/v1/receipts/…`: what somebody with a receipt asks and says; and the desk's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field, model_validator

from services.intake.receipts import parse_receipt
from services.intake.report import Text
from services.intake.reporters import store
from services.intake.reporters.guessing import Guesses
from services.intake.reporters.service import Feedback
from shared.access import Caller, require
from shared.bodies import Model, parse_json, read_bytes, validate
from shared.clock import now
from shared.errors import InvalidBody, NotFound
from shared.http import once
from shared.openapi import body_of
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.preparing import Secrets
    from services.intake.reporters.service import Reporters
    from services.intake.reporters.store import Report
    from shared.runtime import Service

    _Do = Callable[[AsyncConnection], Awaitable[tuple[int, Any]]]

_DESK: Final = (Role.COORDINATOR, Role.SUPERVISOR)
_NOT_KEPT: Final = {"Cache-Control": "no-store"}

Code = Annotated[str, Field(min_length=1, max_length=200)]
Why = Annotated[str, Query(pattern=r"^[a-z0-9_]{1,60}$")]
Words = Annotated[Text, Field(min_length=1)]


class ReceiptIn(Model):
    """A receipt: sixteen digits (Bangla or Latin, grouped or not) or six words, in either field."""

    receipt: Code | None = None
    words: list[Annotated[str, Field(max_length=40)]] | None = Field(None, max_length=6)

    @property
    def code(self) -> str:
        """The receipt as it was written."""
        return self.receipt if self.receipt is not None else " ".join(self.words or ())

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.receipt is None) == (self.words is None):
            message = "receipt or words"
            raise ValueError(message)
        return self


class MessageIn(ReceiptIn):
    """Words to add to the report, or none to only read what was said."""

    text: Words | None = None


class FeedbackIn(ReceiptIn):
    """The person's own word about the help."""

    helped: Literal["yes", "partly", "no", "harmed"]
    about: Literal["service", "staff", "committee", "us"] | None = None
    text: Words | None = None


class QuestionIn(Model):
    """A question of the desk to a reporter."""

    text: Annotated[Text, Field(min_length=1, max_length=1000)]


async def _act(service: Service, request: Request, raw: bytes, do: _Do) -> Response:
    """Run a change in one transaction, once for an Idempotency-Key; nobody keeps the answer."""
    async with service.flow.begin() as conn:
        response = await once(request, conn, raw, lambda: do(conn))
    service.waker.wake()
    response.headers.update(_NOT_KEPT)
    return response


async def find_by_receipt(conn: AsyncConnection, code: str, pepper: bytes, *, lock: bool) -> Report:
    """Return the report of a receipt as somebody wrote it.

    Raises:
        InvalidBody: it is no receipt. NotFound: there is none like it.

    """
    receipt = parse_receipt(code)
    if receipt is None:
        raise InvalidBody(None, errors=[{"field": "receipt", "rule": "check-digits"}])
    report = await store.find_report(conn, receipt.digest(pepper), lock=lock)
    if report is None:
        raise NotFound
    return report


def _from(request: Request) -> str:
    return request.client.host if request.client else ""


def make_receipt_router(service: Service, reporters: Reporters, secrets: Secrets) -> APIRouter:
    """Make the routes that anybody with a receipt may use."""
    router = APIRouter(prefix="/intake/v1", tags=["receipts"])
    guesses = Guesses(secrets.pepper)

    async def find(conn: AsyncConnection, code: str, *, lock: bool) -> Report:
        return await find_by_receipt(conn, code, secrets.pepper, lock=lock)

    @router.post("/receipts/status", response_model=None, openapi_extra=body_of(ReceiptIn))
    async def status(request: Request) -> Response:
        """Answer one of four neutral words about a report."""
        body = validate(ReceiptIn, parse_json(await read_bytes(request)))
        async with guesses.guard(service.flow, _from(request)), service.flow.connect() as conn:
            report = await find(conn, body.code, lock=False)
            answer = await reporters.status(conn, report)
        return JSONResponse(answer, headers=_NOT_KEPT)

    @router.post("/receipts/messages", response_model=None, openapi_extra=body_of(MessageIn))
    async def messages(request: Request) -> Response:
        """Add words to a report, if any are sent, and read what the desk said."""
        raw = await read_bytes(request)
        body = validate(MessageIn, parse_json(raw))

        async def do(conn: AsyncConnection) -> tuple[int, Any]:
            report = await find(conn, body.code, lock=True)
            if body.text is not None:
                await reporters.add_words(conn, report, body.text, now())
            return 200, {"messages": await reporters.hear(conn, report)}

        async with guesses.guard(service.flow, _from(request)):
            return await _act(service, request, raw, do)

    @router.post("/receipts/feedback", response_model=None, openapi_extra=body_of(FeedbackIn))
    async def feedback(request: Request) -> Response:
        """Take the person's own word: helped, partly, not, or harmed."""
        raw = await read_bytes(request)
        body = validate(FeedbackIn, parse_json(raw))
        said = Feedback(body.helped, body.about, body.text)

        async def do(conn: AsyncConnection) -> tuple[int, Any]:
            report = await find(conn, body.code, lock=True)
            await reporters.add_feedback(conn, report, said, now())
            return 200, {"status": "received"}

        async with guesses.guard(service.flow, _from(request)):
            return await _act(service, request, raw, do)

    return router


def make_desk_router(service: Service, reporters: Reporters) -> APIRouter:
    """Make the routes by which the desk answers a report."""
    router = APIRouter(prefix="/intake/v1", tags=["desk"])

    @router.get("/submissions/{submission_id}/messages", response_model=None)
    async def messages(
        submission_id: UUID,
        reason: Why,
        caller: Annotated[Caller, Depends(require(*_DESK))],
    ) -> Response:
        """Read what was said behind a receipt; `reason` says why, and the reading is an event."""
        async with service.flow.begin() as conn:
            items = await reporters.read_words(conn, submission_id, reason, caller, now())
        service.waker.wake()
        page = {"items": items, "next": None}
        return JSONResponse(msgspec.to_builtins(page), headers=_NOT_KEPT)

    @router.post(
        "/submissions/{submission_id}/question",
        response_model=None,
        openapi_extra=body_of(QuestionIn),
    )
    async def ask(
        request: Request, submission_id: UUID, caller: Annotated[Caller, Depends(require(*_DESK))]
    ) -> Response:
        """Put a question behind a receipt; the reporter sees it when asking for the status."""
        raw = await read_bytes(request)
        body = validate(QuestionIn, parse_json(raw))

        async def do(conn: AsyncConnection) -> tuple[int, Any]:
            await reporters.ask(conn, submission_id, body.text, caller, now())
            return 200, {"status": "question"}

        return await _act(service, request, raw, do)

    @router.post("/submissions/{submission_id}/end", response_model=None)
    async def end(
        request: Request, submission_id: UUID, caller: Annotated[Caller, Depends(require(*_DESK))]
    ) -> Response:
        """Say behind a receipt that it has ended for now; nothing else of it changes."""
        raw = await read_bytes(request)

        async def do(conn: AsyncConnection) -> tuple[int, Any]:
            await reporters.end(conn, submission_id, caller, now())
            return 200, {"status": "ended"}

        return await _act(service, request, raw, do)

    return router
