"""The helpline channel: a call in one request, or opened when it rings and saved as it is typed.

A call that is being written down is stored from the first request on; when nothing more comes for
a while it is taken for finished, so that a capture that broke off is not lost. A call that says
nothing (silent, prank, test, hang-up, wrong number) opens no case, is in no figure, and can be made
a report at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from services.intake import calls_store
from services.intake.calls import is_kept_apart
from services.intake.casework.api_stages import act, read
from services.intake.channels.helpline.capture import IDLE, CallIn, facts_of, told_in, written
from services.intake.preparing import Besides, Message, number_index, prepare, submitted
from shared import telemetry
from shared.access import Caller, require
from shared.access_rules import Verb, owner_of, scope_of
from shared.clock import now, rfc3339
from shared.database import transaction
from shared.errors import Conflict, InvalidBody, NotFound
from shared.openapi import body_of
from shared.outbox import Stamp
from shared.paging import decode_cursor, page
from shared.text import PhoneInvalid, parse_phone
from shared.vocabulary import Channel, Role

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.intake.calls_store import Call
    from services.intake.channels import Desk

_STATES = {"call": "open", "no_case": "kept_apart"}
_DESK = (Role.COORDINATOR, Role.SUPERVISOR)
_TAKES = (Role.OPERATOR, *_DESK)


async def _store(
    desk: Desk, conn: AsyncConnection, body: CallIn, caller: Caller, before: Call | None
) -> dict[str, Any]:
    """Store a call, in the place of what was written down of it before; return the answer."""
    at = now()
    since = before.submission.received_at if before else at
    told = before.submission if before else None
    prepared = prepare(
        written(body, since),
        channel=Channel.HELPLINE,
        caller=caller,
        vault=desk.vault,
        secrets=desk.secrets,
        message=Message(gateway=body.helpline or "", sender=_sender(desk, body)),
        at=since,
        besides=Besides(
            facts_of(body),
            {"told_caller": list(body.told)} if body.told else {},
            (told.submission_id, told.case_ids) if told else None,
            ("call", at - since + IDLE) if body.open else None,
        ),
    )
    call_id = prepared.submission_id
    if before is not None:
        await calls_store.remove(conn, call_id)
    await desk.store.insert_in(conn, [prepared])
    await calls_store.set_revision(conn, call_id, body.revision)
    if body.open:
        known = {"revision": body.revision, "finished_at": rfc3339(at + IDLE)}
        return {"call_id": call_id, "state": "open", **known}
    telemetry.CALLS.labels(body.kind).inc()
    answer: dict[str, Any] = msgspec.json.decode(prepared.answer)
    apart = is_kept_apart(prepared.submission.report)
    if apart:
        del answer["case_ids"]
    return {"call_id": call_id, "state": "ended", "kept_apart": apart, **answer}


def _sender(desk: Desk, body: CallIn) -> bytes | None:
    try:
        return number_index(desk.secrets.index, parse_phone(body.number)) if body.number else None
    except PhoneInvalid:
        return None


async def _own(conn: AsyncConnection, call_id: UUID, caller: Caller) -> Call:
    """Lock a call of the caller's, or for the desk any.

    Raises:
        NotFound: there is none for this caller.

    """
    call = await calls_store.lock_call(conn, call_id)
    if call is None or (caller.role not in _DESK and call.organisation != owner_of(caller)):
        raise NotFound
    return call


def make_router(desk: Desk) -> APIRouter:
    """Make the routes that a helpline's operators use."""
    router = APIRouter(prefix="/intake/v1/helpline", tags=["helpline"])
    service = desk.service

    @router.post("/calls", status_code=201, response_model=None, openapi_extra=body_of(CallIn))
    async def take(
        request: Request, caller: Annotated[Caller, Depends(require(*_TAKES))]
    ) -> Response:
        """Take a call: whole, or (`open`) as far as it is; 201 with `call_id` and a receipt.

        The receipt comes with the end of a call.
        """

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(CallIn, raw)
            return 201, await _store(desk, conn, body, caller, None)

        return await act(service, request, do)

    @router.get("/calls", response_model=None)
    async def mine(
        caller: Annotated[Caller, Depends(require(*_TAKES))],
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        """List the calls that the caller took, the newest first: what kind, when, what came of it.

        `state`: `open`, `kept_apart` or `report`. Nothing of who called or of whom.
        """
        before = decode_cursor(after)
        if not isinstance(before, int | None):
            raise InvalidBody("the cursor is not valid")
        async with transaction(service.web, scope_of(caller, Verb.SEE, now())) as conn:
            rows = await calls_store.list_own(conn, caller.actor, before, limit)
        items = [{**row, "state": _STATES.get(row["state"], "report")} for row in rows]
        more = items[-1]["seq"] if len(items) == limit else None
        for item in items:
            del item["seq"]
        told = msgspec.to_builtins(page(items, more))
        return JSONResponse(told, headers={"Cache-Control": "no-store"})

    @router.put("/calls/{call_id}", response_model=None, openapi_extra=body_of(CallIn))
    async def save(
        request: Request, call_id: UUID, caller: Annotated[Caller, Depends(require(*_TAKES))]
    ) -> Response:
        """Save an open call as it stands now, or end it; an older `revision` is refused."""

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            body = read(CallIn, raw)
            call = _may_go_on(await _own(conn, call_id, caller), body)
            return 200, await _store(desk, conn, body, caller, call)

        return await act(service, request, do)

    @router.post("/calls/{call_id}/report", response_model=None)
    async def make_report(
        request: Request, call_id: UUID, caller: Annotated[Caller, Depends(require(*_TAKES))]
    ) -> Response:
        """Make a report of a call that was kept apart; what was written down of it stays."""

        async def do(conn: AsyncConnection, raw: bytes) -> tuple[int, Any]:
            del raw
            call = await _own(conn, call_id, caller)
            return 200, await _report(desk, conn, call, caller)

        return await act(service, request, do)

    return router


def _may_go_on(call: Call, body: CallIn) -> Call:
    """Return a call that this save may take the place of.

    Raises:
        Conflict: it has ended, or a later save of it is stored.

    """
    if call.state != "call":
        raise Conflict("the call has ended", state="ended")
    if body.revision < call.revision:
        raise Conflict("a later save is stored", revision=call.revision)
    return call


async def _report(desk: Desk, conn: AsyncConnection, call: Call, caller: Caller) -> dict[str, Any]:
    """Let a call that was kept apart be opened as a report.

    Raises:
        Conflict: it is still open, or a report already.

    """
    if call.state != "no_case":
        raise Conflict("it is open, or a report already", state=told_in(call.state))
    at, told = now(), call.submission
    await calls_store.make_received(conn, [told.submission_id], at, reports=True)
    stamp = Stamp(at, caller.actor, telemetry.current_traceparent())
    await desk.service.outbox.append(conn, [(submitted(told), stamp)])
    return {"call_id": told.submission_id, "state": "ended", "case_ids": told.case_ids}
