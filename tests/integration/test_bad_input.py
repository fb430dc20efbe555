"""Bad input over HTTP: refused in a stable form, echoed nowhere, stored nowhere, and never lost."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from shared.vocabulary import Role
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

CANARY = "CanaryRinaOfTheRiver"
PROBLEM = "urn:pashe:problem:"
TABLES = ("submissions", "cases", "subjects", "sealed", "idempotency", "outbox")
DEEP = 20_000


@pytest.fixture
def stack(whole_stack: Stack) -> Stack:
    return whole_stack


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.origin, timeout=20) as client:
        yield client


def rows(stack: Stack) -> dict[str, int]:
    """Count what intake has stored."""

    async def count() -> dict[str, int]:
        conn = await stack.connect("intake")
        try:
            return {t: await conn.fetchval(f"SELECT count(*) FROM {t}") for t in TABLES}
        finally:
            await conn.close()

    return asyncio.run(count())


def report(**fields: Any) -> dict[str, Any]:
    return {"channel": "web", "narrative": CANARY, **fields}


def text(**fields: Any) -> bytes:
    return json.dumps(report(**fields)).encode()


def nested(levels: int) -> bytes:
    return text(missing="@").replace(b'"@"', b'{"a":' * levels + b"1" + b"}" * levels)


BODIES = {
    "no JSON": (b'{"channel": "web", "narrative": "CanaryRinaOfTheRiver"', 400, "malformed-body"),
    "empty": (b"", 400, "malformed-body"),
    "not UTF-8": (b'{"channel": "web", "narrative": "\xff\xfe"}', 400, "malformed-body"),
    "UTF-16": (text().decode().encode("utf-16"), 400, "malformed-body"),
    "a list": (b'["CanaryRinaOfTheRiver"]', 422, "invalid-body"),
    "null": (b"null", 422, "invalid-body"),
    "a text": (b'"CanaryRinaOfTheRiver"', 422, "invalid-body"),
    "NaN": (text(danger_now="@").replace(b'"@"', b"NaN"), 400, "malformed-body"),
    "escaped NUL": (text(narrative="Canary\x00"), 400, "malformed-body"),
    "raw NUL": (text(narrative="@").replace(b"@", b"Canary\x00"), 400, "malformed-body"),
    "NUL in a key": (text(missing={"Canary\x00": 1}), 400, "malformed-body"),
    "lone surrogate": (text(narrative="@").replace(b"@", b"\\ud800"), 400, "malformed-body"),
    "surrogate in a key": (
        text(missing={"@": 1}).replace(b"@", b"\\udfff"),
        400,
        "malformed-body",
    ),
    "deep nesting": (nested(DEEP), 400, "malformed-body"),
    "nesting just too deep": (nested(40), 400, "malformed-body"),
    "deep lists": (b'{"channel": "web", "missing": ' + b"[" * DEEP, 400, "malformed-body"),
    "a huge number": (text(danger_now="@").replace(b'"@"', b"9" * 5000), 400, "malformed-body"),
    "an endless number": (text(missing="@").replace(b'"@"', b"1e999"), 400, "malformed-body"),
    "wrong type": (text(persons=CANARY), 422, "invalid-body"),
    "wrong type inside": (text(persons=[{"age": CANARY}]), 422, "invalid-body"),
    "unknown field": (text(**{CANARY: 1}), 422, "invalid-body"),
    "unknown channel": (text(channel=CANARY), 422, "invalid-body"),
    "unknown concern": (text(concerns=[CANARY]), 422, "invalid-body"),
    "no channel": (b'{"narrative": "CanaryRinaOfTheRiver"}', 422, "invalid-body"),
    "unknown place": (text(places=[{"pcode": "BD99999999"}]), 422, "invalid-body"),
    "a place of another shape": (text(places=[{"pcode": CANARY}]), 422, "invalid-body"),
    "age 300": (text(persons=[{"age": {"min": 300, "max": 300}}]), 422, "invalid-body"),
    "age below zero": (text(persons=[{"age": {"min": -1}}]), 422, "invalid-body"),
    "age as text": (text(persons=[{"age": {"min": "14"}}]), 422, "invalid-body"),
    "age with a fraction": (text(persons=[{"age": {"min": 14.5}}]), 422, "invalid-body"),
    "ages turned round": (text(persons=[{"age": {"min": 16, "max": 14}}]), 422, "invalid-body"),
    "too many persons": (text(persons=[{}] * 51), 422, "invalid-body"),
    "a time that is none": (text(device_time=CANARY), 422, "invalid-body"),
    "a text too long": (text(narrative="x" * 50_001), 422, "invalid-body"),
    "more than 1 MB": (text(narrative=CANARY * 60_000), 413, "too-large"),
}


ODD: dict[str, dict[str, Any]] = {
    "a consent that ends at a time without offset": {
        "persons": [{"ref": "a", "age": {"min": 20, "max": 20}}],
        "consent": [
            {
                "person": "a",
                "given_by": "person",
                "basis": "consent",
                "allows": ["refer"],
                "expires_at": "2036-01-01T00:00:00",
            }
        ],
    },
    "harm at the end of time": {
        "concerns": ["child_sexual_abuse"],
        "happened": {"to": "9999-12-31T23:59:59-12:00"},
    },
    "harm at the beginning of time": {
        "concerns": ["child_sexual_abuse"],
        "happened": {"to": "0001-01-01T00:00:00+14:00"},
    },
    "a narrative that is a command": {"narrative": "STOP"},
    "a narrative of digits": {"narrative": "৯" * 50_000},
    "persons without a ref": {"persons": [{}, {}]},
    "two persons of one ref": {"persons": [{"ref": "a"}, {"ref": "a"}]},
    "somebody who only accompanies": {"persons": [{"role": "accompanying"}]},
    "somebody with somebody unknown": {"persons": [{"ref": "a", "with": [{"ref": "z"}]}]},
    "a place abroad": {"places": [{"country": "IN", "pcode": "BD30260038"}]},
    "nothing at all": {"narrative": None},
}
"""Reports that are odd and yet valid: whoever got a 201 gets a case."""


def check_problem(answer: httpx.Response, status: int, slug: str) -> None:
    assert answer.status_code == status, answer.text[:300]
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == PROBLEM + slug
    assert body["status"] == status
    assert "Canary" not in answer.text


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_a_problem_without_echo_and_stores_nothing(
    stack: Stack, http: httpx.Client, name: str
) -> None:
    body, status, slug = BODIES[name]
    before = rows(stack)
    key = {"idempotency-key": str(uuid4())}
    check_problem(http.post("/intake/v1/reports", content=body, headers=key), status, slug)
    assert rows(stack) == before


def test_more_than_a_megabyte_without_a_length_is_refused_too(
    stack: Stack, http: httpx.Client
) -> None:
    before = rows(stack)
    parts = (CANARY.encode() * 1000 for _ in range(200))
    check_problem(http.post("/intake/v1/reports", content=parts), 413, "too-large")
    assert rows(stack) == before


def test_bad_bodies_leave_nothing_in_the_logs(stack: Stack, http: httpx.Client) -> None:
    for body, _, _ in BODIES.values():
        http.post("/intake/v1/reports", content=body)
    assert not [log for log in stack.logs() if CANARY in log.read_text(errors="replace")]


@pytest.mark.parametrize("token", ["", "x", "Bearer", f"Bearer {CANARY}", f"Basic {CANARY}"])
def test_a_bad_token_is_never_anonymous(http: httpx.Client, token: str) -> None:
    answer = http.post("/intake/v1/reports", content=text(), headers={"authorization": token})
    check_problem(answer, 401, "unauthenticated")


@pytest.mark.parametrize("key", ["short", "x" * 256, "ñ" * 30])
def test_a_bad_idempotency_key_is_refused(http: httpx.Client, key: str) -> None:
    answer = http.post(
        "/intake/v1/reports", content=text(), headers={b"idempotency-key": key.encode("latin-1")}
    )
    check_problem(answer, 422, "invalid-body")


def test_the_same_key_with_the_same_body_gets_the_first_answer_again(
    stack: Stack, http: httpx.Client
) -> None:
    for headers in ({}, stack.bearer(Role.PARTNER, "example-partner")):
        headers["idempotency-key"] = str(uuid4())
        first = http.post("/intake/v1/reports", content=text(), headers=headers)
        again = http.post("/intake/v1/reports", content=text(), headers=headers)
        assert first.status_code == again.status_code == 201
        assert first.content == again.content


def test_the_same_key_with_another_body_is_a_conflict(http: httpx.Client) -> None:
    key = {"idempotency-key": str(uuid4())}
    assert http.post("/intake/v1/reports", content=text(), headers=key).status_code == 201
    answer = http.post("/intake/v1/reports", content=text(language="bn"), headers=key)
    check_problem(answer, 409, "idempotency-conflict")


def test_the_same_key_of_another_caller_is_another_key(stack: Stack, http: httpx.Client) -> None:
    key = {"idempotency-key": str(uuid4())}
    answers = {
        http.post(
            "/intake/v1/reports",
            content=text(),
            headers=key | stack.bearer(Role.PARTNER, "example-partner", subject),
        ).content
        for subject in ("one", "two")
    }
    assert len(answers) == 2


def test_the_same_key_twenty_times_at_once_is_one_report(stack: Stack, http: httpx.Client) -> None:
    before = rows(stack)
    key = {"idempotency-key": str(uuid4())}

    def post(_: int) -> httpx.Response:
        return http.post("/intake/v1/reports", content=text(), headers=key)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(post, range(20)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1
    assert rows(stack)["submissions"] == before["submissions"] + 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_sms_twice_is_one_submission(stack: Stack, http: httpx.Client, method: str) -> None:
    before = rows(stack)
    for mark in ({"id": str(uuid4())}, {"date": "2026-01-01T10:00:00Z", "text": str(uuid4())}, {}):
        fields = {"from": "+8801712345678", "text": f"{method} twice {uuid4()}", **mark}
        place = {"params": fields} if method == "GET" else {"data": fields}
        answers = [
            http.request(method, "/intake/channels/sms/external", **place)  # type: ignore[arg-type]
            for _ in range(3)
        ]
        assert {a.status_code for a in answers} == {200}
    assert rows(stack)["submissions"] == before["submissions"] + 3


def test_an_sms_of_nobody_about_nothing_is_refused(http: httpx.Client) -> None:
    check_problem(
        http.post("/intake/channels/sms/external", data={"x": CANARY}), 422, "invalid-body"
    )


def test_an_unknown_gateway_is_not_found(http: httpx.Client) -> None:
    check_problem(http.post(f"/intake/channels/sms/{CANARY}", data={"from": "1"}), 404, "not-found")


def test_an_sms_in_any_bytes_is_taken(stack: Stack, http: httpx.Client) -> None:
    """Nothing that a person wrote is refused: not NUL, not a broken encoding, not silence."""
    before = rows(stack)
    texts = (b"%00%00", b"%ff%fe%d8", b"%ED%A0%80", b"", b"%E0%A6%86" * 8000)
    for number, sent in enumerate(texts):
        body = b"from=%%2B88017000000%d&id=%s&text=%s" % (number, uuid4().hex.encode(), sent)
        answer = http.post(
            "/intake/channels/sms/external",
            content=body,
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        assert answer.status_code == 200, answer.text
    assert rows(stack)["submissions"] == before["submissions"] + len(texts)


@pytest.mark.parametrize("name", ODD)
async def test_an_odd_report_gets_a_case(stack: Stack, name: str) -> None:
    partner, staff = stack.bearer(Role.PARTNER, "example-partner"), stack.bearer(Role.COORDINATOR)
    async with httpx.AsyncClient(base_url=stack.origin, timeout=20) as client:
        answer = await client.post("/intake/v1/reports", content=text(**ODD[name]), headers=partner)
        assert answer.status_code == 201, answer.text
        for case_id in answer.json()["case_ids"]:

            async def opened(case_id: str = case_id) -> bool:
                found = await client.get(f"/intake/v1/cases/{case_id}", headers=staff)
                return found.status_code == 200 and found.json()["status"] == "open"

            await eventually(opened, 15, "the case")
