"""`/history`: what happened in a case, in order, with a proof that the browser computes."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from services.audit.api import SEES, page_of
from services.audit.pages.history.names import EVENTS, FLAGS, PROGRAM
from shared.access import Caller, require
from shared.errors import InvalidBody
from shared.pages.pages import Pages
from shared.pages.words import ROLES
from shared.paging import encode_cursor
from shared.vocabulary import Role

if TYPE_CHECKING:
    from services.audit.reading import Reading
    from shared.runtime import Service

PAGES: Final = Pages("audit", Path(__file__).parent)
LONGEST: Final = 200
"""Signs of a case's reference."""

MANY: Final = 100
"""Entries of one page."""

_REFERENCE: Final = re.compile(r"[!-~]{1,200}")

Staff = Annotated[Caller, Depends(require(*SEES))]


def make_router(service: Service, reading: Reading) -> APIRouter:
    """Make the pages of the history."""
    router = PAGES.router()

    @router.get("/history", response_model=None)
    async def find(
        request: Request, caller: Staff, case: Annotated[str, Query(max_length=LONGEST)] = ""
    ) -> Response:
        """Search by the reference of a case, and show the state of the log."""
        wanted = case.strip()
        if _REFERENCE.fullmatch(wanted) and "/" not in wanted:
            return PAGES.go(request, f"/history/{wanted}")
        return await _find(request, caller, reading, wanted)

    @router.get("/history/{case_id}", response_model=None)
    async def show(
        request: Request,
        caller: Staff,
        case_id: str,
        after: Annotated[str | None, Query(max_length=LONGEST)] = None,
    ) -> Response:
        """Show what happened in a case; the reading is itself an event of it."""
        if not _REFERENCE.fullmatch(case_id):
            raise InvalidBody
        found, following = await reading.proven(caller, case_id, page_of(after), MANY)
        if not found:
            return await _find(request, caller, reading, case_id, status=404)
        service.waker.wake()
        return PAGES.show(
            request,
            "case.html",
            me=caller,
            case=case_id,
            entries=[_entry(line) for line in found],
            following=encode_cursor(following) if following else None,
            first=after is not None,
            log=_state(await reading.overview(caller)),
            whole=caller.role is Role.AUDITOR,
        )

    return router


async def _find(
    request: Request, caller: Caller, reading: Reading, wanted: str, status: int = 200
) -> Response:
    log = _state(await reading.overview(caller))
    wrong = [FLAGS[name] for name, count in log["flags"].items() if count]
    values = {"me": caller, "wanted": wanted, "log": log, "wrong": wrong}
    return PAGES.show(request, "find.html", status, **values)


def _entry(line: dict[str, Any]) -> dict[str, Any]:
    """Add what the template shows of an entry: words, and times that are times."""
    role = line["actor_role"]
    at = line["time"] or line["recorded_at"]
    return (
        {"salt": None}
        | line
        | {
            "what": EVENTS.get(line["type"], line["type"].replace("-", " ")),
            "who": role if role in ROLES else None,
            "program": PROGRAM,
            "at": datetime.fromisoformat(at),
            "wrong": [FLAGS[name] for name in line["flags"]],
        }
    )


def _state(log: dict[str, Any]) -> dict[str, Any]:
    """Return the state of the log with times that are times."""
    signed = log["checkpoint"]["signed_at"]
    at = None if signed is None else datetime.fromisoformat(signed)
    seen = [each | {"at": datetime.fromisoformat(each["at"])} for each in log["witnesses"]]
    return log | {"checkpoint": log["checkpoint"] | {"signed_at": at}, "witnesses": seen}
