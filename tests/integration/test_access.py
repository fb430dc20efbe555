"""Who may ask what: docs/access.md is the matrix, and this is its test.

Every endpoint of every service is a row; one that is missing fails. Each is asked as nobody and as
each role: a tick is anything but 401 or 403, a dash is one of them. What a role may see of what it
may ask is the business of row-level security and of each verb: the second half.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from shared.access import PROVIDERS, service_token
from shared.vocabulary import Role
from tests.support.matrix import NOBODY, read_endpoints
from tests.support.wait import eventually, eventually_now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

SERVICES = ("intake", "referral", "notification", "audit")
REFUSED = (401, 403)
FILLED = {"provider_id": "example-shelter-keraniganj", "index": "0", "path": "0/000"}


ROWS = read_endpoints()
ROLES = [NOBODY, *map(str, Role)]


@pytest.fixture(scope="session")
def http(whole_stack: Stack) -> Iterator[httpx.Client]:
    with whole_stack.client(timeout=60) as client:
        yield client


def bearer(stack: Stack, role: str) -> dict[str, str]:
    if role == NOBODY:
        return {}
    if role == Role.SERVICE:
        key = (stack.home / "keys" / "notification" / "signing.key").read_text().strip()
        return {"authorization": f"Bearer {service_token(bytes.fromhex(key), 'notification')}"}
    org = "example-shelter-keraniganj" if Role(role) in PROVIDERS else None
    org = "example-partner" if role == Role.PARTNER else org
    return stack.bearer(Role(role), org=org)


def ask(http: httpx.Client, endpoint: str, headers: dict[str, str]) -> int:
    """Ask an endpoint about things that are not there, and return the status."""
    method, path = endpoint.split(" ")
    filled = re.sub(r"{(\w+)}", lambda found: FILLED.get(found[1], str(UUID(int=1))), path)
    body: dict[str, Any] | None = None if method in ("GET", "DELETE") else {}
    with http.stream(method, filled, headers=headers, json=body) as answer:
        return int(answer.status_code)


def test_every_endpoint_is_a_row_and_every_role_a_column(http: httpx.Client) -> None:
    found = {
        f"{method.upper()} {path}"
        for service in SERVICES
        for path, methods in http.get(f"/{service}/v1/openapi.json").json()["paths"].items()
        for method in methods
    }
    assert found == set(ROWS)
    assert all(list(row) == ROLES for row in ROWS.values())


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_ask_what_the_matrix_says(
    whole_stack: Stack, http: httpx.Client, role: str
) -> None:
    headers = bearer(whole_stack, role)
    wrong = []
    for endpoint, row in ROWS.items():
        status = ask(http, endpoint, headers)
        if (status not in REFUSED) != row[role] or status >= 500:
            wrong.append((endpoint, status))
    assert wrong == []


async def a_referral(stack: Stack, need: str = "psychosocial") -> tuple[str, str]:
    """Report somebody, and return (referral id, provider) of what a rule assigned."""
    body = {
        "channel": "partner",
        "about": "people",
        "persons": [{"ref": "a", "age": {"min": 16, "max": 16}, "sex": "female"}],
        "places": [{"role": "now", "pcode": "BD30260038"}],
        "needs": [need],
        "consent": [{"person": "a", "given_by": "person", "allows": ["refer"], "basis": "consent"}],
    }
    async with httpx.AsyncClient(base_url=stack.origin) as client:
        made = await client.post(
            "/intake/v1/reports", json=body, headers=stack.bearer(Role.PARTNER, "example-partner")
        )
        case_id = made.raise_for_status().json()["case_ids"][0]

        async def assigned() -> dict[str, Any] | None:
            found = await client.get(
                "/referral/v1/referrals",
                params={"case_id": case_id},
                headers=stack.bearer(Role.COORDINATOR),
            )
            items = [r for r in found.json()["items"] if r["state"] == "assigned"]
            return items[0] if items else None

        found = await eventually(assigned, 20, "an assigned referral")
        return found["referral_id"], found["provider_id"]


VERBS = [e.rsplit("/", 1)[1] for e in ROWS if re.search(r"POST .*/referrals/{referral_id}/", e)]


async def test_each_verb_refuses_another_providers_referral(
    whole_stack: Stack, http: httpx.Client
) -> None:
    referral_id, provider = await a_referral(whole_stack)
    for role in PROVIDERS:
        other = whole_stack.bearer(role, org="example-somebody-else")
        for verb in VERBS:
            path = f"/referral/v1/referrals/{referral_id}/{verb}"
            answer = http.post(path, json={"reason": "other", "text": "x"}, headers=other)
            assert answer.status_code in (403, 404, 422), (verb, answer.status_code)
        for path in ("", "/explanation"):
            seen = http.get(f"/referral/v1/referrals/{referral_id}{path}", headers=other)
            assert seen.status_code in (403, 404)
        listed = http.get("/referral/v1/referrals", headers=other).json()["items"]
        assert listed == []
    own = whole_stack.bearer(Role.PROVIDER_SYSTEM, org=provider)
    seen = http.get(f"/referral/v1/referrals/{referral_id}", headers=own)
    assert (seen.status_code, seen.json()["state"]) == (200, "assigned")


def test_a_partner_and_a_committee_member_see_their_own_reports_alone(
    whole_stack: Stack, http: httpx.Client
) -> None:
    mine = whole_stack.bearer(Role.COMMITTEE_MEMBER, subject=f"m-{uuid4().hex[:8]}")
    other = whole_stack.bearer(Role.COMMITTEE_MEMBER, subject=f"m-{uuid4().hex[:8]}")
    made = http.post("/intake/v1/reports", json={"channel": "committee"}, headers=mine).json()
    case_id = made["case_ids"][0]
    assert http.get(f"/intake/v1/cases/{case_id}", headers=mine).status_code == 200
    assert http.get(f"/intake/v1/cases/{case_id}", headers=other).status_code == 404
    assert http.get("/intake/v1/cases", headers=other).json()["items"] == []

    def listed() -> bool:
        items = http.get("/intake/v1/cases", headers=mine).json()["items"]
        return [c["case_id"] for c in items] == [case_id]

    eventually_now(listed, what="a case below every open transaction")
