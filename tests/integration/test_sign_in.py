"""People sign in with password and phone, systems with their key; what is stolen is of no use."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from shared.sessions import make_session
from shared.vocabulary import Role
from tests.support.browser import PASSWORD, Browser, enrolled, invite
from tests.support.wait import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack

SHELTER = "example-shelter-keraniganj"
CASE = UUID(int=7)
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def test_from_the_link_to_the_end_of_the_session(whole_stack: Stack) -> None:
    origin = {"origin": whole_stack.origin}
    async with Browser(whole_stack.origin) as browser:
        login = await enrolled(whole_stack, browser, "supervisor")
        told = (await browser.sign_in(login)).json()
        assert (told["role"], told["amr"], told["by_session"]) == (
            "supervisor",
            ["pwd", "otp"],
            True,
        )
        for path in ("/intake/v1/tasks", "/referral/v1/referrals", "/audit/v1/log"):
            assert (await browser.client.get(path)).status_code == 200, path
        # Who a person is: with this second factor yes, with an older one not.
        persons = f"/intake/v1/cases/{CASE}/persons?reason=triage"
        assert (await browser.client.get(persons)).status_code == 404
        (session,) = [c for c in browser.client.cookies.jar if c.name == "pashe-session"]
        assert session.value
        older = await as_of(whole_stack, session.value, persons, seconds=700)
        assert (older.status_code, older.json()["type"]) == (
            401,
            "urn:pashe:problem:step-up-needed",
        )
        again = await browser.follow(await browser.client.get(older.json()["sign_in"]))
        assert again.url.path == "/"  # the issuer's own second factor is fresh
        # A write counts from our own pages only.
        away = f"/intake/v1/duty/{CASE}"
        assert (await browser.client.delete(away)).status_code == 401
        assert (
            await browser.client.delete(away, headers={"origin": "https://evil.example"})
        ).status_code == 401
        assert (await browser.client.delete(away, headers=origin)).status_code == 404
        # Signed out: here at once, elsewhere within a minute, at the issuer too.
        current = {c.name: c.value or "" for c in browser.client.cookies.jar}
        await browser.client.post("/sign-out")
        assert (await browser.client.get("/intake/v1/session")).status_code == 200
        out = await browser.follow(await browser.client.post("/sign-out", headers=origin))
        assert out.url.path == "/"
        assert (await browser.client.get("/intake/v1/session")).status_code == 401
        await browser.to_form()
    async with httpx.AsyncClient(base_url=whole_stack.origin, cookies=current) as thief:
        assert (await thief.get("/intake/v1/session")).status_code == 401

        async def refused() -> bool:
            paths = ("/referral/v1/referrals", "/audit/v1/log", "/notification/v1/notices")
            return all([(await thief.get(path)).status_code == 401 for path in paths])

        await eventually(refused, 60, "the end of the session everywhere")


async def as_of(stack: Stack, session: str, path: str, *, seconds: int) -> httpx.Response:
    """Ask with a session whose second factor is that old, signed as intake signs it."""
    claims = jwt.decode(session, options={"verify_signature": False})
    kept = {name: claims[name] for name in ("sub", "role", "org", "amr", "sid")}
    seed = bytes.fromhex((stack.home / "keys" / "intake" / "sessions.key").read_text())
    old = make_session(seed, {**kept, "auth_time": claims["auth_time"] - seconds})
    async with httpx.AsyncClient(base_url=stack.origin, cookies={"pashe-session": old}) as client:
        return await client.get(path)


async def test_a_browser_is_asked_again_for_a_fresh_second_factor(whole_stack: Stack) -> None:
    async with Browser(whole_stack.origin) as browser:
        login = await enrolled(whole_stack, browser, "coordinator")
        await browser.sign_in(login)
        silent = await browser.follow(
            await browser.client.get("/sign-in?next=/intake/v1/session&max_age=600")
        )
        assert silent.json()["role"] == "coordinator"
        asked = await browser.follow(await browser.client.get("/sign-in?max_age=0"))
        assert 'name="password"' in asked.text


async def test_whoever_is_signed_in_can_report(whole_stack: Stack) -> None:
    async with Browser(whole_stack.origin) as browser:
        login = await enrolled(whole_stack, browser, "provider_worker", "--provider", SHELTER)
        await browser.sign_in(login)
        heard = await browser.client.post(
            "/intake/v1/reports",
            json={"channel": "web", "concerns": ["unsure"], "test": True},
            headers={"origin": whole_stack.origin},
        )
        assert heard.status_code == 201, heard.text
        assert "case_ids" not in heard.json()  # as anybody: not as the provider's worker


async def test_a_link_a_code_of_the_phone_and_a_recovery_code_work_once(
    whole_stack: Stack,
) -> None:
    login, link = invite(whole_stack, "operator")
    async with Browser(whole_stack.origin) as browser:
        page = await browser.client.get(link)
        other = await Browser(whole_stack.origin).client.get(link)
        await browser.enrol(link)
        for late in (page, other):
            words = {"password": PASSWORD, "again": PASSWORD, "code": "000000"}
            assert (await browser.submit(late, words)).status_code == 404
        assert (await browser.client.get(link)).status_code == 404
        code = browser.code()
        assert (await browser.sign_in(login, code)).status_code == 200
        spare = browser.codes[0]
        for used, status in ((code, 401), (spare, 200), (spare, 401)):
            browser.client.cookies.clear()
            got = await browser.sign_in(login, used)
            assert got.status_code == status, (used == code, got.status_code)
            if status == 200:
                assert got.json()["amr"] == ["pwd", "mfa"]


async def test_guessing_is_slowed_down_and_the_owner_still_comes_in(whole_stack: Stack) -> None:
    async with Browser(whole_stack.origin) as owner, Browser(whole_stack.origin) as thief:
        login = await enrolled(whole_stack, owner, "coordinator")
        await owner.sign_in(login)
        seen = []
        page = await thief.to_form()
        for n in range(7):
            words = {"login": login, "password": f"a wrong guess {n}", "code": "000000"}
            page = await thief.submit(page, words)
            seen.append(page.status_code)
        assert seen[:3] == [401] * 3
        assert 429 in seen
        asked = await owner.follow(await owner.client.get("/sign-in?max_age=0"))
        words = {"login": login, "password": PASSWORD, "code": owner.codes[0]}
        assert (await owner.submit(asked, words)).is_redirect


async def test_a_form_without_its_key_or_in_another_browser_is_not_taken(
    whole_stack: Stack,
) -> None:
    async with Browser(whole_stack.origin) as browser, Browser(whole_stack.origin) as other:
        login = await enrolled(whole_stack, browser, "coordinator")
        page = await browser.to_form()
        words = {"login": login, "password": PASSWORD, "code": browser.codes[0]}
        assert (await other.submit(page, words)).status_code == 400
        assert (await browser.submit(page, words | {"key": "invented"})).status_code == 400
        assert (await browser.submit(page, words)).is_redirect


async def to_code(browser: Browser, login: str) -> tuple[str, dict[str, str]]:
    """Sign in up to the moment before the callback; return its address and parameters."""
    page = await browser.to_form()
    words = {"login": login, "password": PASSWORD, "code": browser.code()}
    answer = await browser.follow(await browser.submit(page, words), until="/sign-in/callback")
    address = answer.headers["location"]
    return address, {name: value[0] for name, value in parse_qs(urlsplit(address).query).items()}


async def test_a_stolen_code_and_a_state_that_came_back_are_of_no_use(whole_stack: Stack) -> None:
    async with Browser(whole_stack.origin) as browser, Browser(whole_stack.origin) as thief:
        login = await enrolled(whole_stack, browser, "coordinator")
        address, _ = await to_code(browser, login)
        await thief.client.get("/sign-in")  # has a sign-in of his own on the way
        assert (await thief.client.get(address)).status_code == 400
        done = await browser.client.get(address)
        assert done.headers["location"] == "/intake/v1/session"
        replayed = await browser.client.get(address)
        assert (replayed.status_code, "pashe-session" in replayed.cookies) == (400, False)


async def test_a_code_needs_the_client_and_the_verifier_and_is_gone_then(
    whole_stack: Stack,
) -> None:
    secret = (whole_stack.home / "keys" / "intake" / "desk.secret").read_text()
    async with Browser(whole_stack.origin) as browser:
        login = await enrolled(whole_stack, browser, "coordinator")
        address, got = await to_code(browser, login)
        form = {
            "grant_type": "authorization_code",
            "code": got["code"],
            "redirect_uri": f"{whole_stack.origin}/sign-in/callback",
            "code_verifier": "v" * 43,
        }
        token = f"{whole_stack.origin}/accounts/token"
        async with httpx.AsyncClient() as thief:
            none = await thief.post(token, data=form)
            wrong = await thief.post(token, data=form, auth=("pashe-desk", "wrong"))
            right = await thief.post(token, data=form, auth=("pashe-desk", secret))
        assert (none.status_code, wrong.status_code) == (401, 401)
        assert (right.status_code, right.json()["error"]) == (400, "invalid_grant")
        assert (await browser.client.get(address)).status_code == 400


@pytest.mark.parametrize(
    "changed",
    [
        {"redirect_uri": "https://evil.example/"},
        {"client_id": "somebody"},
        {"code_challenge": None},
        {"code_challenge_method": "plain"},
        {"nonce": None},
        {"response_type": "token"},
    ],
)
async def test_a_wrong_question_gets_no_form(
    whole_stack: Stack, changed: dict[str, str | None]
) -> None:
    async with httpx.AsyncClient(base_url=whole_stack.origin) as client:
        sent = urlsplit((await client.get("/sign-in")).headers["location"])
        asked: dict[str, Any] = {n: v[0] for n, v in parse_qs(sent.query).items()} | changed
        answer = await client.get(sent.path, params={n: v for n, v in asked.items() if v})
    if {"redirect_uri", "client_id"} & changed.keys():
        assert (answer.status_code, "password" in answer.text) == (400, False)
    else:
        assert answer.is_redirect
        assert "error=" in answer.headers["location"]


# Systems


def assertion(key: Ed25519PrivateKey, client_id: str, issuer: str, **changes: Any) -> str:
    at = int(time.time())
    claims = {"iss": client_id, "sub": client_id, "aud": issuer, "iat": at, "exp": at + 60}
    return jwt.encode(claims | {"jti": uuid4().hex} | changes, key, algorithm="EdDSA")


async def ask_token(issuer: str, proof: str) -> httpx.Response:
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION,
        "client_assertion": proof,
    }
    async with httpx.AsyncClient(timeout=60) as client:
        return await client.post(f"{issuer}/token", data=form)


async def test_a_system_follows_its_own_referrals_with_its_own_key(
    whole_stack: Stack, tmp_path: Path
) -> None:
    key = Ed25519PrivateKey.generate()
    file = tmp_path / "public.jwk"
    file.write_text(OKPAlgorithm.to_jwk(key.public_key()))
    words = ("client", "add", "provider_system", "--provider", SHELTER, "--jwk", str(file))
    made = json.loads(whole_stack.pashe(*words))
    issuer, client_id = made["issuer"], made["client_id"]
    proof = assertion(key, client_id, issuer)
    token = (await ask_token(issuer, proof)).raise_for_status().json()
    assert token["expires_in"] <= 600
    headers = {"authorization": f"Bearer {token['access_token']}"}
    async with httpx.AsyncClient(base_url=whole_stack.origin, timeout=60) as client:
        who = (await client.get("/intake/v1/session", headers=headers)).json()
        assert (who["role"], who["org"]) == ("provider_system", SHELTER)
        async with client.stream("GET", "/referral/v1/referrals/stream", headers=headers) as feed:
            assert feed.status_code == 200
            assert feed.headers["content-type"].startswith("text/event-stream")
        assert (await client.get("/intake/v1/tasks", headers=headers)).status_code == 403
    stranger = Ed25519PrivateKey.generate()
    claims = jwt.decode(proof, options={"verify_signature": False})
    for bad in (
        proof,  # a second time
        assertion(stranger, client_id, issuer),
        assertion(key, client_id, "https://other.example"),
        assertion(key, "provider-system:another", issuer),
        assertion(key, client_id, issuer, exp=int(time.time()) - 60),
        assertion(key, client_id, issuer, exp=int(time.time()) + 86_400),
        assertion(key, client_id, issuer, jti=None),
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims | {"jti": "x"}, key.public_key().public_bytes_raw(), algorithm="HS256"),
    ):
        answer = await ask_token(issuer, bad)
        assert (answer.status_code, answer.json()["error"]) in (
            (400, "invalid_client"),
            (401, "invalid_client"),
        )


@pytest.mark.slow
def test_what_is_no_role_of_a_system_or_of_a_person_is_refused(
    whole_stack: Stack, tmp_path: Path
) -> None:
    from tests.support.stack import StackError  # noqa: PLC0415

    private = tmp_path / "private.jwk"
    private.write_text(OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate()))
    add = ("client", "add", "provider_system", "--provider", SHELTER, "--jwk", str(private))
    with pytest.raises(StackError, match="private key"):
        whole_stack.pashe(*add)
    with pytest.raises(StackError, match="a provider_system or a partner"):
        whole_stack.pashe("client", "add", "coordinator", "--jwk", str(private))
    for words in (("service",), ("provider_system",), ("provider_worker",), ("king",)):
        with pytest.raises(StackError):
            whole_stack.pashe("sign-in", *words)
    with pytest.raises(StackError, match="P-code"):
        whole_stack.pashe("sign-in", "committee_member", "--place", "BD99999999")


def test_pages_are_plain_and_ask_nobody_else(whole_stack: Stack) -> None:
    _, link = invite(whole_stack, "auditor")
    page = httpx.get(link)
    assert "<script" not in page.text
    assert not re.search(r'(src|href|action)="https?:', page.text)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert page.text.index("শুরু করুন") < page.text.index("Begin")


def test_a_browsers_cookie_that_does_not_hold_never_loses_a_report(whole_stack: Stack) -> None:
    with httpx.Client(base_url=whole_stack.origin, cookies={"pashe-session": "x.y.z"}) as client:
        made = client.post("/intake/v1/reports", json={"channel": "web"})
        assert made.status_code == 201
        assert client.get("/intake/v1/tasks").status_code == 401
    assert whole_stack.bearer(Role.AUDITOR)
