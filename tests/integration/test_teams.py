"""A place of help looks after its own team: its head alone, within a minute, and no other's."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import jwt
import pytest

from shared.sessions import make_session
from tests.support.browser import Browser
from tests.support.wait import eventually

if TYPE_CHECKING:
    from tests.support.stack import Stack

SHELTER, OTHER = "example-shelter-keraniganj", "example-legal-aid-dhaka"
TEAM = f"/intake/v1/providers/{SHELTER}/team"


def ours(stack: Stack) -> dict[str, str]:
    """Return what a browser says of a request from our own pages."""
    return {"origin": stack.origin}


async def arrived(stack: Stack, browser: Browser, *words: str, org: str = SHELTER) -> str:
    """Enrol a worker by the command line and sign them in; return their subject."""
    login = f"worker.{uuid4().hex[:8]}"
    asked = ("sign-in", "provider_worker", "--name", login, "--provider", org, *words)
    await browser.enrol(stack.pashe(*asked).strip())
    told = (await browser.sign_in(login)).json()
    assert (told["role"], told["org"]) == ("provider_worker", org)
    return str(told["subject"])


async def listed(browser: Browser) -> dict[str, dict[str, Any]]:
    found = (await browser.client.get(TEAM)).raise_for_status().json()
    return {one["name"]: one for one in found["items"]}


@pytest.mark.slow
async def test_a_head_invites_a_worker_who_comes_works_and_is_ended(whole_stack: Stack) -> None:
    at, name = ours(whole_stack), f"rina.{uuid4().hex[:6]}"
    origin = whole_stack.origin
    async with Browser(origin) as head, Browser(origin) as worker, Browser(origin) as other:
        leads = await arrived(whole_stack, head, "--head")
        made = await head.client.post(TEAM, json={"name": name}, headers=at)
        assert made.status_code == 201, made.text
        assert (made.json()["state"], made.json()["role"]) == ("invited", "worker")
        again = await head.client.post(TEAM, json={"name": name}, headers=at)
        assert (again.status_code, again.json()["why"]) == (409, "name")

        # They enrol by the link, sign in, and see the team; they change nothing of it.
        await worker.enrol(made.json()["link"])
        told = (await worker.sign_in(name)).json()
        assert (told["role"], told["org"]) == ("provider_worker", SHELTER)
        assert (await listed(head))[name]["state"] == "active"
        me = (await listed(worker))[name]
        assert me["you"]
        refused = await worker.client.post(TEAM, json={"name": "invented.one"}, headers=at)
        assert refused.status_code == 403
        place = f"{TEAM}/{me['worker_id']}"
        for ask in (worker.client.delete, head.client.delete):
            target = f"{TEAM}/{(await listed(head))[leads]['worker_id']}"
            assert (await ask(target, headers=at)).status_code in (403, 409)

        # Another place of help finds nothing of it.
        await arrived(whole_stack, other, "--head", org=OTHER)
        assert (await other.client.get(TEAM)).status_code == 404
        assert (await other.client.delete(place, headers=at)).status_code == 404
        mine = f"/intake/v1/providers/{OTHER}/team/{me['worker_id']}"
        assert (await other.client.delete(mine, headers=at)).status_code == 404

        # Ended: no sign-in, and no session anywhere within a minute.
        assert (await worker.client.get("/referral/v1/referrals")).status_code == 200
        assert (await head.client.delete(place, headers=at)).status_code == 204

        async def gone() -> bool:
            return (await worker.client.get("/referral/v1/referrals")).status_code == 401

        await eventually(gone, 60, "the end of the session everywhere")
        back = await worker.follow(await worker.client.get("/sign-in?next=/intake/v1/session"))
        assert back.status_code == 400
        assert (await listed(head))[name]["state"] == "ended"
        # The account of somebody is nobody else's to ask for by its name.
        taken = await head.client.post(TEAM, json={"name": name}, headers=at)
        assert (taken.status_code, taken.json()["why"]) == (409, "name")


@pytest.mark.slow
async def test_days_bound_a_place_and_a_link_needs_a_fresh_factor(whole_stack: Stack) -> None:
    at, name = ours(whole_stack), f"karim.{uuid4().hex[:6]}"
    async with Browser(whole_stack.origin) as head, Browser(whole_stack.origin) as worker:
        await arrived(whole_stack, head, "--head")
        made = (await head.client.post(TEAM, json={"name": name}, headers=at)).json()
        await worker.enrol(made["link"])
        assert (await worker.sign_in(name)).status_code == 200
        over = {"role": "worker", "until": (date.today() - timedelta(days=2)).isoformat()}  # noqa: DTZ011
        place = f"{TEAM}/{made['worker_id']}"
        early = await head.client.put(place, json=over, headers=at)
        assert (early.status_code, early.json()["why"]) == (409, "days")
        head_too = {"role": "head", "until": None}
        assert (await head.client.put(place, json=head_too, headers=at)).json()["role"] == "head"

        (session,) = [c for c in head.client.cookies.jar if c.name == "pashe-session"]
        claims = jwt.decode(str(session.value), options={"verify_signature": False})
        kept = {key: claims[key] for key in ("sub", "role", "org", "amr", "sid")}
        seed = bytes.fromhex(
            (whole_stack.home / "keys" / "intake" / "sessions.key").read_text().strip()
        )
        old = make_session(seed, {**kept, "auth_time": claims["auth_time"] - 900})
        head.client.cookies.clear()
        head.client.cookies.set("pashe-session", old)
        late = await head.client.post(f"{place}/link", headers=at)
        assert late.json()["type"] == "urn:pashe:problem:step-up-needed"


async def test_row_security_shows_a_team_to_its_own_place_and_to_the_centre(
    whole_stack: Stack,
) -> None:
    flow = await whole_stack.connect("intake")
    try:
        await flow.execute(
            "INSERT INTO provider_teams (worker_id, provider_id, name, role, begins, invited_by,"
            " invited_at) VALUES ($1, $2, $3, 'worker', current_date, 'centre', now())",
            uuid4(),
            SHELTER,
            f"row.{uuid4().hex[:8]}",
        )
    finally:
        await flow.close()
    url = whole_stack.environment("intake")["DATABASE_WEB_URL"]
    conn = await asyncpg.connect(url, timeout=5)
    try:
        for organisation, seen in ((SHELTER, True), ("*", True), (OTHER, False), ("", False)):
            async with conn.transaction():
                await conn.execute(
                    "SELECT set_config('pashe.organisation', $1, true)", organisation
                )
                many = await conn.fetchval(
                    "SELECT count(*) FROM provider_teams WHERE provider_id = $1", SHELTER
                )
                assert bool(many) is seen, organisation
    finally:
        await conn.close()
