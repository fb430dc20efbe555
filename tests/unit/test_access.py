"""Bearer tokens: who is calling is proven, and a role without its organisation is nobody."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.access import (
    AUDIENCE,
    Caller,
    TokenReader,
    any_caller,
    make_token,
    organisation_of,
    require,
    service_token,
)
from shared.errors import Forbidden, Unauthenticated
from shared.vocabulary import Role

SEED = bytes(range(32))
KEY = Ed25519PrivateKey.from_private_bytes(SEED)
READER = TokenReader(KEY.public_key().public_bytes_raw())


def request(header: str | None) -> Any:
    headers = {} if header is None else {"authorization": header}
    app = SimpleNamespace(state=SimpleNamespace(tokens=READER))
    return SimpleNamespace(headers=headers, app=app)


def signed(**changes: object) -> str:
    claims: dict[str, object] = {
        "aud": AUDIENCE,
        "sub": "abc",
        "role": "coordinator",
        "org": None,
        "exp": datetime.now(UTC) + timedelta(hours=1),
    }
    claims |= changes
    kept = {name: value for name, value in claims.items() if value != "absent"}
    return jwt.encode(kept, KEY, algorithm="EdDSA")


def test_a_token_says_who_calls() -> None:
    token = make_token(SEED, Role.PROVIDER_WORKER, subject="p1", org="ngo-1")
    assert READER.read(token) == Caller("p1", Role.PROVIDER_WORKER, "ngo-1")
    assert READER.read(token).actor == "provider_worker:p1"


def test_a_token_without_a_named_subject_gets_a_new_pseudonym() -> None:
    first, second = (READER.read(make_token(SEED, Role.AUDITOR)) for _ in range(2))
    assert first.subject != second.subject


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        make_token(bytes(32), Role.COORDINATOR),
        make_token(SEED, Role.COORDINATOR, at=datetime.now(UTC) - timedelta(hours=13)),
        signed(aud="other"),
        signed(exp="absent"),
        signed(role="king"),
        signed(role=7),
        signed(org=7),
        signed(sub="absent"),
        jwt.encode({"aud": AUDIENCE, "sub": "a", "role": "auditor"}, "x" * 32, algorithm="HS256"),
    ],
)
def test_a_bad_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        READER.read(token)


def test_an_unsigned_token_is_refused() -> None:
    def part(value: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {"aud": AUDIENCE, "sub": "a", "role": "auditor", "exp": 4_000_000_000}
    with pytest.raises(Unauthenticated):
        READER.read(f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(dict(claims))}.")


async def test_no_token_is_anonymous_but_a_bad_one_never_is() -> None:
    assert await any_caller(request(None)) is None
    for header in ("Bearer", "Bearer ", "Basic abc", "Bearer x.y.z", ""):
        with pytest.raises(Unauthenticated):
            await any_caller(request(header))


async def test_only_the_named_roles_pass() -> None:
    gate = require(Role.COORDINATOR, Role.PROVIDER_WORKER)
    passed = await gate(request(f"Bearer {signed()}"))
    assert passed.role is Role.COORDINATOR
    with pytest.raises(Unauthenticated):
        await gate(request(None))
    with pytest.raises(Forbidden):
        await gate(request(f"Bearer {signed(role='auditor')}"))


async def test_a_provider_without_its_organisation_may_do_nothing() -> None:
    gate = require(Role.PROVIDER_WORKER)
    with pytest.raises(Forbidden):
        await gate(request(f"Bearer {signed(role='provider_worker')}"))


@pytest.mark.parametrize(
    ("caller", "rows"),
    [
        (None, ""),
        (Caller("a", Role.COORDINATOR), "*"),
        (Caller("a", Role.SERVICE), "*"),
        (Caller("a", Role.PROVIDER_WORKER, "ngo-1"), "ngo-1"),
        (Caller("a", Role.PARTNER, "p-1"), "p-1"),
        (Caller("a", Role.COMMITTEE_MEMBER), ""),
        (Caller("a", Role.PROVIDER_SYSTEM), ""),
    ],
)
def test_row_level_security_sees_the_callers_rows_only(caller: Caller | None, rows: str) -> None:
    assert organisation_of(caller) == rows


SERVICE = bytes(range(1, 33))
SERVICES = {
    "notification": Ed25519PrivateKey.from_private_bytes(SERVICE).public_key().public_bytes_raw()
}
CALLEE = TokenReader(KEY.public_key().public_bytes_raw(), SERVICES)


def test_a_service_calls_in_its_own_name_with_its_own_key() -> None:
    caller = CALLEE.read(service_token(SERVICE, "notification"))
    assert (caller.actor, caller.org) == ("service:notification", None)


@pytest.mark.parametrize(
    "token",
    [
        service_token(SERVICE, "referral"),
        service_token(SEED, "notification"),
        service_token(SERVICE, "notification", datetime.now(UTC) - timedelta(minutes=5)),
        make_token(SEED, Role.SERVICE, subject="notification"),
        jwt.encode(
            {
                "aud": AUDIENCE,
                "sub": "notification",
                "role": "supervisor",
                "exp": datetime.now(UTC) + timedelta(hours=1),
            },
            Ed25519PrivateKey.from_private_bytes(SERVICE),
            algorithm="EdDSA",
            headers={"kid": "service:notification"},
        ),
        jwt.encode({"sub": "x"}, KEY, algorithm="EdDSA", headers={"kid": "nobody"}),
    ],
)
def test_a_service_cannot_be_another_or_a_person(token: str) -> None:
    with pytest.raises(Unauthenticated):
        CALLEE.read(token)


def test_a_process_that_nobody_calls_takes_no_services_token() -> None:
    with pytest.raises(Unauthenticated):
        READER.read(service_token(SERVICE, "notification"))
