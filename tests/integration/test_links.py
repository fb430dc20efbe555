"""A provider's worker without an account answers by a link, once; on a whole stack."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from shared.vocabulary import Role
from tests.support.callers import NAME, PHONE, STORY, Callers, report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack


@pytest.fixture
def callers(whole_stack: Stack) -> Iterator[Callers]:
    with whole_stack.client(timeout=20) as http:
        yield Callers(whole_stack, http)


def link_for(callers: Callers, referral: dict[str, Any]) -> str:
    path = f"/referral/v1/referrals/{referral['referral_id']}/link"
    for refused in (
        callers.provider(referral["provider_id"]),
        callers.stack.bearer(Role.OPERATIONS),
        {},
    ):
        assert callers.http.post(path, headers=refused).status_code in (401, 403)
    made = callers.http.post(path, headers=callers.desk)
    assert made.status_code == 201, made.text
    return str(made.json()["url"])


def state_of(callers: Callers, referral: dict[str, Any]) -> dict[str, Any]:
    path = f"/referral/v1/referrals/{referral['referral_id']}"
    found: dict[str, Any] = callers.http.get(path, headers=callers.desk).json()
    return found


def neutral(callers: Callers) -> str:
    return callers.http.get("/referral/a/" + "a" * 32).text


async def test_a_link_shows_what_is_asked_and_answers_once(callers: Callers) -> None:
    referral = await callers.assigned(report())
    first = link_for(callers, referral)
    link = link_for(callers, referral)
    assert callers.http.get(first).text == neutral(callers)  # the newer one ends it
    for _ in range(2):  # whatever reads messages ahead uses nothing up
        page = callers.http.get(link)
        assert page.status_code == 200
    for hidden in (NAME, PHONE, STORY, referral["case_id"], referral["referral_id"]):
        assert hidden not in page.text
    assert "বছর" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert "unsafe-inline" not in page.headers["content-security-policy"]

    wrong = callers.http.post(link, data={"answer": "decline", "reason": "invented"})
    assert (wrong.status_code, wrong.text) == (404, neutral(callers))
    assert state_of(callers, referral)["state"] == "assigned"

    async with httpx.AsyncClient(timeout=20) as http:
        answers = await asyncio.gather(
            *(http.post(link, data={"answer": "accept"}) for _ in range(8))
        )
    assert sorted(a.status_code for a in answers) == [200, *[404] * 7]
    assert state_of(callers, referral)["state"] == "accepted"
    used = callers.http.get(link)
    assert (used.status_code, used.text) == (404, neutral(callers))
    made = callers.http.post(
        f"/referral/v1/referrals/{referral['referral_id']}/link", headers=callers.desk
    )
    assert made.status_code == 409
    told = made.json()
    assert (told["state"], told["held_by"]) == ("accepted", referral["provider_id"])


async def test_a_no_by_link_goes_to_the_next_and_a_named_provider_sees_nothing(
    callers: Callers,
) -> None:
    referral = await callers.assigned(report())
    link = link_for(callers, referral)
    told = callers.http.post(link, data={"answer": "decline", "reason": "no_capacity"})
    assert told.status_code == 200
    after = state_of(callers, referral)
    assert (after["state"], after["reason"]) == ("declined", "no_capacity")

    other = await callers.assigned(report())
    link = link_for(callers, other)
    named = {"excluded": [other["provider_id"]]}
    path = f"/intake/v1/cases/{other['case_id']}/triage"
    callers.http.post(path, json=named, headers=callers.desk).raise_for_status()
    await callers.until(other, "withdrawn")
    assert callers.http.get(link).text == neutral(callers)
