"""Figures over HTTP: published quarters for all, the running one for who reads all history."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from services.audit.figures.columns import PARQUET_TYPE, write_parquet
from services.audit.figures.dataset import CTDC, HTCDS, ctdc_rows, htcds_rows
from services.audit.figures.periods import name_of, parse_quarter, parse_year
from services.audit.figures.sheets import (
    CSV_TYPE,
    XLSX_TYPE,
    rows_of,
    rows_of_year,
    write_csv,
    write_xlsx,
)
from services.audit.figures.tables import NAMES, Table
from shared.access import Caller, require, require_fresh
from shared.access_rules import Verb, scope_of
from shared.bodies import read_body
from shared.clock import now, rfc3339
from shared.errors import Forbidden, Problem
from shared.openapi import body_of
from shared.paging import page
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from services.audit.figures.datasets import Datasets
    from services.audit.figures.following import Figures, Releases
    from services.audit.figures.sheets import Value
    from shared.runtime import Service

READERS: Final = (Role.COORDINATOR, Role.SUPERVISOR, Role.OPERATIONS, Role.AUDITOR)
_PUBLIC: Final = {"Cache-Control": "public, max-age=3600"}
_NO_STORE: Final = {"Cache-Control": "no-store"}

Form = Literal["json", "csv", "xlsx", "parquet"]
RowsForm = Literal["csv", "parquet"]
Shape = Literal["ctdc", "htcds", "report"]
Proposer = Annotated[Caller, Depends(require(Role.SUPERVISOR, Role.AUDITOR))]
Approver = Annotated[Caller, Depends(require_fresh(Role.SUPERVISOR))]


class DatasetIn(BaseModel):
    """Which year's dataset somebody wants, and what for."""

    model_config = ConfigDict(extra="forbid")

    year: Annotated[int, Field(ge=2020, le=2100)]
    purpose: Literal["yearly_report", "research", "exchange"]


class NotPublished(Problem):
    """Other figures than those that are published were asked for."""

    slug, status, title = "not-published", 422, "There are no such figures"
    WHY: ClassVar[str] = (
        "figures are of whole quarters, or years of them, and in the tables that are listed, in no "
        "other: two that differ by a few persons could be subtracted, and show who these are"
    )

    def __init__(self) -> None:
        """Say why, and what there is."""
        super().__init__(self.WHY, periods=["YYYY-Qn", "YYYY"], tables=list(NAMES))


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
        """Read a published quarter, or a year of them: all tables, or one.

        JSON or XLSX, or CSV or Parquet of one table (`funnel` if none is named).

        Any other period, grouping or filter is refused, since two could be subtracted.
        """
        if set(request.query_params) - {"table", "form"}:
            raise NotPublished
        if parse_quarter(period) is not None:
            found = await releases.release(period)
            return await asyncio.to_thread(answer, found, table, form)
        if (year := parse_year(period)) is None:
            raise NotPublished
        quarters = await releases.year(year)
        if form == "json":
            return JSONResponse({"year": year, "quarters": quarters}, headers=_PUBLIC)
        tables = {each: rows_of_year(year, quarters, each) for each in NAMES}
        return await asyncio.to_thread(_file, tables, table, form, str(year))

    return router


def make_dataset_router(service: Service, datasets: Datasets) -> APIRouter:
    """Make the routes of datasets for research: one asks, another agrees, then it is read."""
    router = APIRouter(prefix="/audit/v1/datasets", tags=["figures"])

    @router.post("", response_model=None, status_code=202, openapi_extra=body_of(DatasetIn))
    async def propose(request: Request, caller: Proposer) -> Response:
        """Ask for the dataset of a year that is over; another person must agree."""
        body = await read_body(request, DatasetIn)
        proposal = await datasets.propose(caller, body.year, body.purpose, now())
        service.waker.wake()
        told = {"id": str(proposal), "year": body.year, "status": "waits_for_approval"}
        return JSONResponse(told, 202, headers=_NO_STORE)

    @router.post("/{proposal}/approve", response_model=None)
    async def approve(proposal: UUID, caller: Approver) -> Response:
        """Agree that a dataset is given out; never whoever asked for it."""
        await datasets.approve(caller, proposal, now())
        service.waker.wake()
        return JSONResponse({"id": str(proposal), "status": "approved"}, headers=_NO_STORE)

    @router.get("/{proposal}", response_model=None)
    async def give(
        proposal: UUID, caller: Proposer, shape: Shape = "ctdc", form: RowsForm = "csv"
    ) -> Response:
        """Read an approved dataset in the shape of CTDC or HTCDS (CSV, Parquet), or its report."""
        found = await datasets.give(caller, proposal, now())
        service.waker.wake()
        if shape == "report":
            told = {"year": found.year, **found.dataset.report}
            return JSONResponse(told, headers=_NO_STORE)
        heads, rows = (
            (CTDC, ctdc_rows(found.dataset, found.year))
            if shape == "ctdc"
            else (HTCDS, htcds_rows(found.dataset))
        )
        name = f'attachment; filename="pashe-{shape}-{found.year}.{form}"'
        headers = {**_NO_STORE, "Content-Disposition": name}
        return await asyncio.to_thread(_rows, heads, rows, form, headers)

    return router


def answer(found: dict[str, Any], table: Table | None, form: Form) -> Response:
    """Answer with a release, or one table of it, in a form."""
    if form == "json":
        names = NAMES if table is None else (table,)
        shown = {**found, "tables": {each: found["tables"][each] for each in names}}
        return JSONResponse(shown, headers=_PUBLIC)
    tables = {each: rows_of(found, each) for each in NAMES}
    return _file(tables, table, form, found["quarter"])


def _file(
    tables: Mapping[str, tuple[list[str], list[list[Value]]]],
    table: str | None,
    form: Form,
    period: str,
) -> Response:
    """Answer with all tables, or one (of CSV and Parquet always one), as a file."""
    chosen = table or (None if form == "xlsx" else "funnel")
    name = f"pashe-{period}{'' if chosen is None else f'-{chosen}'}.{form}"
    told = {**_PUBLIC, "Content-Disposition": f'attachment; filename="{name}"'}
    if form != "xlsx":
        return _rows(*tables[chosen or "funnel"], form, told)
    sheets = [(each, *tables[each]) for each in ([chosen] if chosen else NAMES)]
    return Response(write_xlsx(sheets), media_type=XLSX_TYPE, headers=told)


def _rows(
    heads: Sequence[str], rows: Iterable[Sequence[Value]], form: str, headers: Mapping[str, str]
) -> Response:
    """Answer with rows as a file."""
    if form == "parquet":
        return Response(write_parquet(heads, rows), media_type=PARQUET_TYPE, headers=headers)
    return Response(write_csv(heads, rows), media_type=CSV_TYPE, headers=headers)
