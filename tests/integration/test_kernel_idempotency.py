"""The same Idempotency-Key acts once, also when two requests come at the same time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from starlette.requests import Request

from shared.errors import IdempotencyConflict
from shared.http import once
from shared.idempotency import forget_old

if TYPE_CHECKING:
    from starlette.responses import Response

    from tests.support.lab import Lab


def request(key: str | None) -> Request:
    headers = [] if key is None else [(b"idempotency-key", key.encode())]
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/lab/v1/things",
        "headers": headers,
        "app": SimpleNamespace(state=SimpleNamespace(tokens=None)),
    }
    return Request(scope)


class Acts:
    """A change that takes a moment and can be counted."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> tuple[int, Any]:
        self.count += 1
        await asyncio.sleep(0.05)
        return 201, {"number": self.count}


async def post(lab: Lab, act: Any, key: str | None, body: bytes = b"{}") -> Response:
    async with lab.engine.begin() as conn:
        return await once(request(key), conn, body, act)


async def test_the_first_answer_comes_again_and_nothing_acts_twice(lab: Lab) -> None:
    act = Acts()
    first = await post(lab, act, "k1")
    second = await post(lab, act, "k1")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.body == second.body
    assert act.count == 1


async def test_ten_requests_at_once_act_once(lab: Lab) -> None:
    act = Acts()
    answers = await asyncio.gather(*(post(lab, act, "k2") for _ in range(10)))
    assert {answer.body for answer in answers} == {b'{"number":1}'}
    assert act.count == 1


async def test_another_body_under_the_same_key_is_a_conflict(lab: Lab) -> None:
    act = Acts()
    await post(lab, act, "k3", b"1")
    with pytest.raises(IdempotencyConflict):
        await post(lab, act, "k3", b"2")
    assert act.count == 1


async def test_a_change_that_fails_keeps_no_answer(lab: Lab) -> None:
    async def fail() -> tuple[int, Any]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await post(lab, fail, "k4")
    act = Acts()
    assert (await post(lab, act, "k4")).status_code == 201


async def test_without_a_key_each_request_acts(lab: Lab) -> None:
    act = Acts()
    await post(lab, act, None)
    await post(lab, act, None)
    assert act.count == 2


async def test_answers_are_forgotten_after_a_day(lab: Lab) -> None:
    await post(lab, Acts(), "old")
    await post(lab, Acts(), "new")
    async with lab.engine.begin() as conn:
        await conn.execute(
            text(
                "UPDATE idempotency SET created_at = now() - interval '25 hours'"
                " WHERE ctid = (SELECT min(ctid) FROM idempotency)"
            )
        )
        await forget_old(conn)
    assert await lab.fetch("SELECT count(*) FROM idempotency") == [(1,)]
