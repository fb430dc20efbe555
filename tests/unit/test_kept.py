"""What a form's answer hands to the next page: to the same person, for that page, for minutes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from shared.access import Caller
from shared.pages.kept import LASTS, Kept
from shared.vocabulary import Role

KEY, ORIGIN = bytes(32), "https://example.org"
ONE = Caller("c1", Role.COORDINATOR)
SAID = {"receipt": "1234 5678 9012 3456"}


@dataclass
class Clock:
    at: datetime = field(default_factory=lambda: datetime(2030, 1, 2, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.at


def carried(response: Response) -> Request:
    """Return the request of a browser that was given the response's cookies."""
    jar: SimpleCookie = SimpleCookie()
    for name, value in response.raw_headers:
        if name == b"set-cookie":
            jar.load(value.decode())
    cookie = "; ".join(f"{name}={one.value}" for name, one in jar.items())
    return Request({"type": "http", "headers": [(b"cookie", cookie.encode())]})


def kept_of(clock: Clock, value: Any = SAID, what: str = "done") -> Request:
    response = Response()
    Kept(KEY, ORIGIN, clock).keep(response, what, ONE, value)
    return carried(response)


def test_the_next_page_of_the_same_person_finds_it_and_nothing_of_it_can_be_read() -> None:
    clock = Clock()
    request = kept_of(clock)
    assert Kept(KEY, ORIGIN, clock).find(request, "done", ONE, dict[str, str]) == SAID
    assert "1234" not in request.headers["cookie"]


@pytest.mark.parametrize(
    ("key", "what", "caller", "later"),
    [
        (bytes([1]) * 32, "done", ONE, timedelta()),
        (KEY, "look", ONE, timedelta()),
        (KEY, "done", Caller("c2", Role.COORDINATOR), timedelta()),
        (KEY, "done", Caller("c1", Role.OPERATOR), timedelta()),
        (KEY, "done", ONE, LASTS + timedelta(seconds=2)),
    ],
)
def test_another_key_page_person_or_time_finds_nothing(
    key: bytes, what: str, caller: Caller, later: timedelta
) -> None:
    clock = Clock()
    request = kept_of(clock)
    clock.at += later
    assert Kept(key, ORIGIN, clock).find(request, what, caller, dict[str, str]) is None


def test_what_is_no_cookie_of_ours_and_what_is_of_another_shape_is_nothing() -> None:
    kept, clock = Kept(KEY, ORIGIN, Clock()), Clock()
    for value in ("", "%%", "AAAA", "A" * 400):
        headers = [(b"cookie", f"__Host-pashe-done={value}".encode())]
        request = Request({"type": "http", "headers": headers})
        assert kept.find(request, "done", ONE, dict[str, str]) is None
    assert kept.find(kept_of(clock), "done", ONE, list[int]) is None


def test_a_cookie_is_closed_and_what_is_too_large_for_one_is_refused() -> None:
    response = Response()
    kept = Kept(KEY, ORIGIN, Clock())
    kept.keep(response, "done", ONE, SAID)
    told = response.headers["set-cookie"].lower()
    assert told.startswith("__host-pashe-done=")
    assert all(word in told for word in ("httponly", "secure", "samesite=lax", "path=/"))
    with pytest.raises(ValueError, match="too much"):
        kept.keep(response, "done", ONE, "x" * 4_000)
