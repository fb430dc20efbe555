"""`POST /intake/v1/imports/{format}`: a file of another system, taken or (`dry_run`) only read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from services.intake.exchange import fhir, htcds, primero
from services.intake.exchange.rows import Refused, Row
from services.intake.exchange.tables import cells_of, delimiter_of, records_of, text_of
from services.intake.exchange.taking import MOST_ROWS, Import, Told
from shared.access import Caller, require
from shared.bodies import parse_json, read_bytes
from shared.clock import day_of, now
from shared.errors import InvalidBody, MalformedBody, TooLarge
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import date

    from services.intake.channels import Desk

MOST_JSON: Final = 20_000_000
"""Bytes of a JSON document; more cases than that come as lines (`application/x-ndjson`)."""

MOST_BYTES: Final = 500_000_000
"""Bytes of a file that is read as it arrives."""

_LINES: Final = "application/x-ndjson"

_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/json": {"schema": {}},
            _LINES: {"schema": {"type": "string"}},
        },
    }
}


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_BYTES:
            raise TooLarge
        yield chunk


async def _htcds(
    request: Request, encoding: str | None, taking: Import, told: Told, today: date
) -> None:
    header: htcds.Header | None = None
    delimiter = ","
    async for line, record in records_of(text_of(_chunks(request), encoding)):
        if header is None:
            delimiter = delimiter_of(record or "", htcds.fields())
            header = _header(cells_of(record or "", delimiter) or [])
            told.unknown_columns, told.kept_only = header.unknown, header.kept_only
            continue
        if record is not None and not record.strip():
            continue
        _must_fit(told)
        cells = cells_of(record, delimiter) if record is not None else None
        if cells is None:
            told.refuse(line, "quoting")
            continue
        try:
            row = header.read(line, cells, today)
        except Refused as error:
            told.refuse(line, error.rule)
        else:
            await taking.take(row)
    if header is None:
        _header([])


def _header(cells: list[str]) -> htcds.Header:
    try:
        return htcds.Header(cells)
    except Refused as error:
        named = [{"field": "header", "rule": error.rule}]
        raise InvalidBody("the first line must name HTCDS fields", errors=named) from None


def _must_fit(told: Told) -> None:
    if told.rows >= MOST_ROWS:
        message = f"at most {MOST_ROWS} rows; what was stored stays"
        raise TooLarge(message)


async def _primero(
    request: Request, encoding: str | None, taking: Import, told: Told, today: date
) -> None:
    if request.headers.get("content-type", "").startswith(_LINES):
        async for line, record in records_of(text_of(_chunks(request), encoding)):
            if record is None or not record.strip():
                continue
            _must_fit(told)
            try:
                await _case(taking, told, line, parse_json(record.encode()), today)
            except MalformedBody:
                told.refuse(line, "no-json")
        return
    whole = parse_json(await read_bytes(request, MOST_JSON))
    for number, one in enumerate(primero.cases_in(whole), 1):
        _must_fit(told)
        await _case(taking, told, number, one, today)


async def _objects(
    request: Request,
    encoding: str | None,  # noqa: ARG001  (JSON is in UTF-8)
    taking: Import,
    told: Told,
    today: date,
) -> None:
    """Take a JSON document of HTCDS rows or FHIR bundles: one, or a list."""
    whole = parse_json(await read_bytes(request, MOST_JSON))
    for number, one in enumerate(fhir.bundles_in(whole), 1):
        _must_fit(told)
        await _case(taking, told, number, one, today)


def _read(kind: str, line: int, value: Any, today: date) -> Row:  # noqa: ANN401  (any JSON value)
    if kind == "primero":
        return primero.read_case(line, value, today)
    if kind == "fhir":
        return fhir.read_bundle(line, value, today)
    return htcds.read_object(line, value, today)[0]


async def _case(taking: Import, told: Told, line: int, value: Any, today: date) -> None:  # noqa: ANN401
    try:
        row = _read(told.format, line, value, today)
    except Refused as error:
        told.refuse(line, error.rule)
    else:
        await taking.take(row)


def make_router(desk: Desk) -> APIRouter:
    """Make the route that takes files."""
    router = APIRouter(tags=["imports"])

    @router.post("/imports/{format}", response_model=None, openapi_extra=_BODY)
    async def take(
        request: Request,
        format: Literal["htcds", "primero", "fhir"],  # noqa: A002  (its name in the path)
        caller: Annotated[Caller, Depends(require(Role.PARTNER, Role.SUPERVISOR))],
        *,
        dry_run: bool = False,
        encoding: Annotated[
            Literal["utf-8", "utf-16", "windows-1252", "latin-1"] | None, Query()
        ] = None,
    ) -> Response:
        """Take each row as a report and tell by line what was not understood.

        Rows stand alone: one that cannot be read is told of, and the others are stored. The same
        file again stores nothing. Each row is kept whole, sealed with its report.
        """
        desk.committer.check_room(behind=True)
        told = Told(format, dry_run)
        taking = Import(desk, caller, told)
        is_json = "json" in request.headers.get("content-type", "")
        read = {"htcds": _objects if is_json else _htcds, "primero": _primero}.get(format, _objects)
        try:
            await read(request, encoding, taking, told, day_of(now()))
        except ClientDisconnect:  # what came whole is stored; the sender sends the file again
            await taking.end()
            raise
        await taking.end()
        return JSONResponse(msgspec.to_builtins(told))

    return router
