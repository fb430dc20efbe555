"""The HTTP edge: strict bodies, problem documents, and never an echo of what came in."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared import telemetry
from shared.bodies import MAX_BODY, Model, parse_json, read_body, read_bytes
from shared.errors import Conflict, InvalidBody, MalformedBody
from shared.http import PROBLEM, direct, make_app
from shared.paging import decode_cursor, encode_cursor, page

SECRET = "Rahima-01711223344"


class Body(Model):
    name: str
    age: int = 0


def app(*, started: bool = True) -> FastAPI:
    async def readiness() -> dict[str, Any]:
        return {"ready": False, "kafka": False}

    service: Any = SimpleNamespace(
        settings=SimpleNamespace(service="lab"),
        tokens=None,
        started=started,
        readiness=readiness,
    )
    made = make_app(service, "lab", "a lab")

    @made.post("/lab/v1/things")
    async def post(request: Request) -> dict[str, str]:
        return {"got": (await read_body(request, Body)).name}

    @made.get("/lab/v1/raise/{what}")
    async def fail(what: str, limit: int = 0) -> None:
        problems: dict[str, Exception] = {
            "conflict": Conflict("it is closed", state="closed"),
            "pool": PoolTimeoutError(SECRET),
            "down": ConnectionRefusedError(SECRET),
            "bug": ZeroDivisionError(SECRET),
        }
        raise problems[what]

    router = APIRouter()

    @router.post("/lab/v1/direct", response_model=None)
    @direct
    async def post_directly(request: Request) -> Response:
        raw = await read_bytes(request)
        if raw == b"bug":
            raise ZeroDivisionError(SECRET)
        if raw == b"conflict":
            raise Conflict("it is closed", state="closed")
        return Response(raw, 201)

    made.include_router(router)
    return made


async def call(method: str, path: str, *, started: bool = True, **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app(started=started))
    async with httpx.AsyncClient(transport=transport, base_url="http://lab") as client:
        return await client.request(method, path, **more)


async def test_a_good_body_is_taken() -> None:
    answer = await call("POST", "/lab/v1/things", json={"name": " a "})
    assert (answer.status_code, answer.json()) == (200, {"got": "a"})


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"", 422, "invalid-body"),
        (b"not json", 400, "malformed-body"),
        (b"\xff\xfe", 400, "malformed-body"),
        (b"[" * 100_000, 400, "malformed-body"),
        (b'{"name":' + b"[" * 40 + b"]" * 40 + b"}", 400, "malformed-body"),
        (b'{"name":"a\\u0000"}', 400, "malformed-body"),
        (b'{"name":"\\ud800"}', 400, "malformed-body"),
        (b"[]", 422, "invalid-body"),
        (b'{"name":7}', 422, "invalid-body"),
        (b'{"name":"a","' + SECRET.encode() + b'":1}', 422, "invalid-body"),
        (b'{"name":"a","age":"' + SECRET.encode() + b'"}', 422, "invalid-body"),
        (b'"' + b"x" * MAX_BODY + b'"', 413, "too-large"),
    ],
)
async def test_a_bad_body_gets_one_stable_problem_and_no_echo(
    body: bytes, status: int, slug: str
) -> None:
    answer = await call("POST", "/lab/v1/things", content=body)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith(PROBLEM)
    assert answer.json()["type"] == f"urn:pashe:problem:{slug}"
    assert SECRET not in answer.text


async def test_a_body_without_a_length_is_stopped_at_the_limit() -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 100_000
            yield b"x" * 100_000

    answer = await call("POST", "/lab/v1/things", content=endless())
    assert answer.status_code == 413
    assert sent <= MAX_BODY + 200_000


@pytest.mark.parametrize(
    ("what", "status", "slug"),
    [
        ("conflict", 409, "conflict"),
        ("pool", 503, "unavailable"),
        ("down", 503, "unavailable"),
        ("bug", 500, "unexpected"),
    ],
)
async def test_an_error_is_translated_once_and_tells_nothing(
    what: str, status: int, slug: str
) -> None:
    answer = await call("GET", f"/lab/v1/raise/{what}")
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:pashe:problem:{slug}")
    assert SECRET not in answer.text
    assert ("retry-after" in answer.headers) is (status == 503)


async def test_a_bad_query_is_not_echoed() -> None:
    answer = await call("GET", f"/lab/v1/raise/bug?limit={SECRET}")
    assert answer.status_code == 422
    assert SECRET not in answer.text
    assert answer.json()["errors"] == [{"field": "query/limit", "rule": "int_parsing"}]


async def test_unknown_paths_and_methods_are_problems_too() -> None:
    assert (await call("GET", f"/{SECRET}")).json()["type"] == "urn:pashe:problem:not-found"
    answer = await call("DELETE", "/lab/v1/things")
    assert (answer.status_code, answer.json()["type"]) == (405, "urn:pashe:problem:method")


async def test_live_answers_while_ready_does_not() -> None:
    assert (await call("GET", "/live")).status_code == 200
    assert (await call("GET", "/ready")).status_code == 503
    assert "pashe_http_requests" in (await call("GET", "/metrics")).text


async def test_before_the_service_has_started_only_health_answers() -> None:
    for path in ("/live", "/metrics", "/lab/v1/openapi.json"):
        assert (await call("GET", path, started=False)).status_code == 200
    answer = await call("POST", "/lab/v1/things", started=False, json={"name": "a"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_malformed(raw: bytes) -> None:
    said = ""
    with contextlib.suppress(MalformedBody):
        said = repr(parse_json(raw))
    assert "\\x00" not in said


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    ).filter(lambda value: value is not None)
)
def test_a_cursor_comes_back(value: object) -> None:
    assert decode_cursor(encode_cursor(value)) == value


@given(st.text(min_size=1))
def test_a_foreign_cursor_is_refused_or_plain_json(cursor: str) -> None:
    said = "the cursor is not valid"
    try:
        decode_cursor(cursor)
    except InvalidBody as error:
        said = str(error)
    assert said == "the cursor is not valid"


def test_a_page_says_whether_there_is_more() -> None:
    assert page([1], None) == {"items": [1], "next": None}
    assert decode_cursor(page([1], [3, "x"])["next"]) == [3, "x"]
    assert msgspec.json.encode(page([], None))


async def test_a_direct_endpoint_answers_as_any_other_does() -> None:
    def count(status: int) -> float:
        labels = {"method": "POST", "route": "/lab/v1/direct", "status": str(status)}
        return telemetry.REGISTRY.get_sample_value("pashe_http_requests_total", labels) or 0.0

    before = {status: count(status) for status in (201, 409, 500)}
    path = "/lab/v1/direct"
    taken = await call("POST", path, content=b"x" * 70_000)
    assert (taken.status_code, len(taken.content)) == (201, 70_000)
    refused = await call("POST", path, content=b"conflict")
    assert (refused.status_code, refused.json()["state"]) == (409, "closed")
    assert refused.headers["content-type"] == PROBLEM
    broken = await call("POST", path, content=b"bug")
    assert broken.status_code == 500
    assert SECRET not in broken.text
    assert (await call("POST", path, content=b"x" * (MAX_BODY + 1))).status_code == 413
    assert (await call("GET", path)).status_code == 405
    assert (await call("POST", path, started=False)).status_code == 503
    assert {status: count(status) - before[status] for status in before} == {201: 1, 409: 1, 500: 1}
    assert "post" in (await call("GET", "/lab/v1/openapi.json")).json()["paths"][path]
