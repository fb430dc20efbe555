"""Sessions: verified alone, ended within a minute, written with from our own pages only."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.intake.sign_in.api import local_path
from shared.access import (
    BY_KEY,
    Caller,
    TokenReader,
    any_caller,
    check_fresh,
    make_token,
    require,
    require_fresh,
)
from shared.cookies import cookie_name
from shared.errors import StepUpNeeded, Unauthenticated, Unavailable
from shared.sessions import (
    TRUSTED_FOR,
    Sessions,
    ask_intake,
    is_from_our_pages,
    make_session,
    mark_of,
)
from shared.vocabulary import Role

SEED = bytes(range(32))
PUBLIC = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()
URL = "https://centre.example"
WHO = {"sub": "p1", "role": "coordinator", "sid": "s1", "amr": ["pwd", "otp"], "auth_time": 5}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class World:
    def __init__(self) -> None:
        self.ended: set[str] = set()
        self.clock = Clock()
        self.sessions = Sessions(PUBLIC, URL, self.find, self.clock)

    async def find(self) -> frozenset[str]:
        return frozenset(self.ended)

    def ask(self, value: str, method: str = "GET", **headers: str) -> Any:
        reader = TokenReader(PUBLIC)
        state = SimpleNamespace(tokens=reader, sessions=self.sessions, issuers=None)
        return SimpleNamespace(
            cookies={cookie_name(URL): value},
            method=method,
            headers={name.replace("_", "-"): text for name, text in headers.items()},
            app=SimpleNamespace(state=state),
        )


async def test_a_session_says_who_and_how_they_signed_in() -> None:
    world = World()
    await world.sessions.look()
    caller = await any_caller(world.ask(make_session(SEED, WHO)))
    assert caller == Caller("p1", Role.COORDINATOR)
    assert (caller.auth_time, caller.amr, caller.session) == (5, ("pwd", "otp"), "s1")


async def test_a_session_that_does_not_hold_is_nobody_and_no_error() -> None:
    world = World()
    await world.sessions.look()
    past = datetime.now(UTC) - timedelta(hours=1)
    for value in (
        "x.y.z",
        make_session(bytes(32), WHO),
        make_session(SEED, WHO, at=past),
        make_session(SEED, {name: WHO[name] for name in ("sub", "role")}),
        make_token(SEED, Role.SUPERVISOR),  # a bearer token is no session
    ):
        assert await any_caller(world.ask(value)) is None
        with pytest.raises(Unauthenticated):
            await require(Role.COORDINATOR)(world.ask(value))
    with pytest.raises(Unauthenticated):  # and a session is no bearer token
        TokenReader(PUBLIC).read(make_session(SEED, WHO))


async def test_an_ended_session_is_nobody_and_without_a_recent_list_none_counts() -> None:
    world = World()
    asked = world.ask(make_session(SEED, WHO))
    gate = require(Role.COORDINATOR)
    with pytest.raises(Unavailable):  # no list yet
        await gate(asked)
    assert await any_caller(asked) is None  # what anybody may do goes on
    await world.sessions.look()
    world.clock.now = TRUSTED_FOR
    await gate(asked)
    world.clock.now = TRUSTED_FOR + 0.1
    with pytest.raises(Unavailable):
        await gate(asked)
    world.ended.add(mark_of("s1"))
    await world.sessions.look()
    with pytest.raises(Unauthenticated):
        await gate(asked)


@pytest.mark.parametrize(
    ("method", "headers", "counts"),
    [
        ("GET", {}, True),
        ("POST", {}, False),
        ("POST", {"origin": URL}, True),
        ("POST", {"origin": "https://evil.example"}, False),
        ("POST", {"origin": f"{URL}.evil.example"}, False),
        ("POST", {"origin": "https://evil.example", "sec-fetch-site": "same-origin"}, False),
        ("POST", {"origin": "null", "sec-fetch-site": "same-origin"}, True),
        ("POST", {"origin": "null", "sec-fetch-site": "same-site"}, False),
        ("DELETE", {"sec-fetch-site": "cross-site"}, False),
    ],
)
async def test_a_write_counts_from_our_own_pages_only(
    method: str, headers: dict[str, str], *, counts: bool
) -> None:
    assert is_from_our_pages(method, headers, URL) is counts
    world = World()
    await world.sessions.look()
    found = await any_caller(world.ask(make_session(SEED, WHO), method, **headers))
    assert (found is not None) is counts


def test_only_tls_has_a_cookie_that_no_other_host_can_set() -> None:
    assert cookie_name(URL) == "__Host-pashe-session"
    assert cookie_name("http://127.0.0.1:8000") == "pashe-session"


def caller(age: float, *amr: str) -> Caller:
    since = int(time.time() - age)
    return Caller("p", Role.SUPERVISOR, auth_time=since, amr=amr, session="s")


def test_who_a_person_is_needs_a_second_factor_of_the_last_minutes() -> None:
    check_fresh(caller(590, "pwd", "otp"))
    check_fresh(caller(0, "pwd", "mfa"))
    for stale in (caller(610, "pwd", "otp"), caller(0, "pwd"), caller(0), caller(0, "pwd", "sms")):
        with pytest.raises(StepUpNeeded) as refused:
            check_fresh(stale)
        assert refused.value.members["sign_in"] == "/sign-in?max_age=600"
    with pytest.raises(StepUpNeeded):
        check_fresh(Caller("p", Role.SUPERVISOR, amr=("pwd", "otp")))
    with pytest.raises(StepUpNeeded):  # nobody gets round it by a method of that name
        check_fresh(caller(0, BY_KEY))


async def test_a_script_that_holds_the_centres_key_needs_none_and_can_be_switched_off() -> None:
    token = {"authorization": f"Bearer {make_token(SEED, Role.SUPERVISOR)}"}
    gate = require_fresh(Role.SUPERVISOR)
    asked = World().ask("", **token)
    assert (await gate(asked)).amr == (BY_KEY,)
    asked.app.state.tokens = TokenReader(None)
    with pytest.raises(Unauthenticated):
        await gate(asked)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/desk?a=1", "/desk?a=1"),
        (None, "/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("desk", "/"),
        ("/a\nb", "/"),
        ("/" + "a" * 600, "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_after_signing_in_one_stays_at_this_origin(given: str | None, path: str) -> None:
    assert local_path(given) == path


async def test_a_look_at_what_was_ended_reads_no_certificates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = ask_intake("http://127.0.0.1:9")
    monkeypatch.delattr(ssl, "create_default_context")
    with pytest.raises(httpx.ConnectError):
        await find()
