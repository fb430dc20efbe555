"""The web channel: `POST /intake/v1/reports`, anonymous or with a token."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from services.intake.committer import Later
from services.intake.preparing import Besides, prepare
from services.intake.proof_of_work import HEADER
from services.intake.report import ReportIn
from shared import telemetry
from shared.access import any_caller
from shared.bodies import parse_json, read_bytes, validate
from shared.clock import now
from shared.errors import Forbidden, InvalidBody
from shared.http import direct
from shared.idempotency import Key
from shared.openapi import body_of
from shared.vocabulary import Channel, Role

if TYPE_CHECKING:
    from services.intake.channels import Desk
    from shared.access import Caller

REPORTERS: Final = frozenset(
    {
        Role.PARTNER,
        Role.COMMITTEE_MEMBER,
        Role.OPERATOR,
        Role.COORDINATOR,
        Role.SUPERVISOR,
    }
)
"""Roles that may report in their own name."""

RANDOM_KEY: Final = 22
"""Characters of an anonymous Idempotency-Key at least: 122 random bits (DECISIONS 19)."""


def _key(request: Request, caller: Caller | None, raw: bytes) -> Key | None:
    value = request.headers.get("idempotency-key")
    if value is None:
        return None
    if caller is None and len(value) < RANDOM_KEY:
        message = "without a token the Idempotency-Key must be random: a UUID, or 22 characters"
        raise InvalidBody(message)
    return Key.of(value, scope=caller.actor if caller else "anonymous", body=raw)


async def accept(
    desk: Desk, report: ReportIn, caller: Caller | None, key: Key | None, *, size: int, behind: bool
) -> bytes:
    """Store a report of the web, once for its key; return the JSON answer with its receipt.

    `size` is about how many bytes it has.

    Raises:
        Unavailable: nothing was stored; try again. IdempotencyConflict: the key had another body.

    """
    channel = report.channel if caller is not None else Channel.WEB
    make = partial(
        prepare,
        report,
        channel=channel,
        caller=caller,
        vault=desk.vault,
        secrets=desk.secrets,
        key=key,
        at=now(),
        besides=Besides(shown=desk.board.answer),
    )
    answer = await desk.committer.commit(Later(make, size + 1000), behind=behind)
    telemetry.SUBMISSIONS_STORED.labels(channel, "stored").inc()
    return answer


def make_router(desk: Desk) -> APIRouter:
    """Make the route that takes reports as JSON."""
    router = APIRouter(tags=["reports"])

    @router.post(
        "/intake/v1/reports",
        status_code=201,
        response_model=None,
        openapi_extra={
            "parameters": [
                {
                    "name": HEADER,
                    "in": "header",
                    "required": False,
                    "description": "Proof of work, never required. Under load an anonymous report"
                    " with it is stored before those without: `challenge:number`, where the"
                    " challenge comes from `GET /intake/v1/reports/work` and SHA-256 of that text"
                    " begins with `bits` zero bits.",
                    "schema": {"type": "string"},
                }
            ],
            **body_of(ReportIn),
        },
    )
    @direct
    async def submit(request: Request) -> Response:
        """Take a report; answer 201 with its receipt once it is stored and in the outbox."""
        caller = await any_caller(request)
        if caller is not None and caller.role not in REPORTERS:
            if caller.session is None:
                raise Forbidden
            caller = None  # a browser sends its cookie unasked: whoever reports is heard
        work = desk.work
        anonymous = caller is None and work.asked
        behind = anonymous and not work.is_done(request.headers.get(HEADER))
        desk.committer.check_room(behind=behind)
        raw = await read_bytes(request)
        key = _key(request, caller, raw)
        report = validate(ReportIn, parse_json(raw))
        answer = await accept(desk, report, caller, key, size=len(raw), behind=behind)
        return Response(answer, 201, media_type="application/json")

    @router.get("/intake/v1/reports/work", response_model=None)
    async def challenge() -> Response:
        """Return a challenge that brings an anonymous report forward under load; `bits` 0: no need.

        A page with scripts may solve it. Nobody has to: a report without it only waits longer.
        """
        told = msgspec.to_builtins(desk.work.challenge())
        return JSONResponse(told, headers={"Cache-Control": "no-store"})

    return router
