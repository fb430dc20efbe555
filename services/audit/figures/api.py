"""Figures over HTTP: published quarters for all, the running one for who reads all history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from services.audit.figures.periods import name_of, parse_quarter
from services.audit.figures.sheets import CSV_TYPE, XLSX_TYPE, rows_of, write_csv, write_xlsx
from services.audit.figures.tables import NAMES, Table
from shared.access import Caller, require
from shared.access_rules import Verb, scope_of
from shared.clock import now, rfc3339
from shared.errors import Forbidden, Problem
from shared.paging import page
from shared.vocabulary import Role

if TYPE_CHECKING:
    from services.audit.figures.following import Figures, Releases

READERS: Final = (Role.COORDINATOR, Role.SUPERVISOR, Role.OPERATIONS, Role.AUDITOR)
_FOR_EVER: Final = {"Cache-Control": "public, max-age=86400"}
_NO_STORE: Final = {"Cache-Control": "no-store"}

Form = Literal["json", "csv", "xlsx"]


class NotPublished(Problem):
    """Other figures than those that are published were asked for."""

    slug, status, title = "not-published", 422, "There are no such figures"
    WHY: ClassVar[str] = (
        "figures are of whole quarters and in the tables that are listed, and in no other: "
        "two that differ by a few persons could be subtracted, and show who these are"
    )

    def __init__(self) -> None:
        """Say why, and what there is."""
        super().__init__(self.WHY, periods="YYYY-Qn", tables=list(NAMES))


def sees_running(caller: Caller) -> bool:
    """Say whether a caller may see the running quarter: whoever may read every case's history.

    Its figures move from day to day, so that two days could be subtracted. To these callers that
    tells nothing that they could not read.
    """
    scope = scope_of(caller, Verb.HISTORY, now())
    return scope.organisation == "*" and scope.places is None


def make_router(figures: Figures, releases: Releases) -> APIRouter:
    """Make the routes of figures."""
    router = APIRouter(prefix="/audit/v1/figures", tags=["figures"])

    @router.get("", response_model=None)
    async def listing() -> Response:
        """List the published quarters, newest first, and the tables that each has."""
        items = [
            {"quarter": name_of(quarter), "published_at": rfc3339(at), "tables": list(NAMES)}
            for quarter, at in await releases.quarters()
        ]
        return JSONResponse(page(items, None))

    @router.get("/running", response_model=None)
    async def running(caller: Annotated[Caller, Depends(require(*READERS))]) -> Response:
        """Read the tables of the quarter that runs, for who may read the history of every case."""
        if not sees_running(caller):
            raise Forbidden("the running quarter is for those who serve the whole centre")
        return JSONResponse(await figures.running(now()), headers=_NO_STORE)

    @router.post("/rebuild", response_model=None, status_code=202)
    async def rebuild(_: Annotated[Caller, Depends(require(Role.OPERATIONS))]) -> Response:
        """Count the running quarters anew from the history; what was published stays."""
        await figures.rebuild()
        return JSONResponse({"status": "counting"}, 202)

    @router.get("/{period}", response_model=None)
    async def release(
        request: Request, period: str, table: Table | None = None, form: Form = "json"
    ) -> Response:
        """Read a published quarter: all tables, or one; as JSON, CSV (one table) or XLSX.

        Any other period, grouping or filter is refused, since two could be subtracted.
        """
        if parse_quarter(period) is None or set(request.query_params) - {"table", "form"}:
            raise NotPublished
        found = await releases.release(period)
        return answer(found, table, form)

    return router


def answer(found: dict[str, Any], table: str | None, form: Form) -> Response:
    """Answer with a release, or one table of it, in a form."""
    names = NAMES if table is None else (table,)
    name = f"pashe-{found['quarter']}{'' if table is None else f'-{table}'}"
    told = {**_FOR_EVER, "Content-Disposition": f'attachment; filename="{name}.{form}"'}
    if form == "csv":
        heads, rows = rows_of(found, table or "funnel")
        return Response(write_csv(heads, rows), media_type=CSV_TYPE, headers=told)
    if form == "xlsx":
        sheets = [(each, *rows_of(found, each)) for each in names]
        return Response(write_xlsx(sheets), media_type=XLSX_TYPE, headers=told)
    shown = {**found, "tables": {each: found["tables"][each] for each in names}}
    return JSONResponse(shown, headers=_FOR_EVER)
