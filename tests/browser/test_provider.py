"""A worker of a place of help on a cheap phone: yes in two taps, who it is, delivered; no; seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from shared.vocabulary import Role
from tests.browser.signing_in import sign_in
from tests.support.callers import ALLEGED, NAME, PHONE, REPORTER, STORY, Callers, report
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.async_api import BrowserContext, Page

    from tests.browser.look import Look
    from tests.support.stack import Stack

HIDDEN = (REPORTER, STORY, ALLEGED)


@pytest.fixture
def callers(whole_stack: Stack) -> Iterator[Callers]:
    with whole_stack.client(timeout=20) as http:
        yield Callers(whole_stack, http)


async def opened(
    context: BrowserContext, page: Page, callers: Callers, **more: Any
) -> dict[str, Any]:
    """Report, sign the provider's worker in, and open the inbox; return the referral."""
    referral = await callers.assigned(report(**more))
    await sign_in(context, callers.stack, Role.PROVIDER_WORKER, referral["provider_id"])
    await page.goto(f"{callers.stack.origin}/provider")
    return referral


async def enter(page: Page, referral: dict[str, Any]) -> None:
    await page.locator(f'a[href="/provider/{referral["referral_id"]}"]').click()
    await page.wait_for_url(f"**/provider/{referral['referral_id']}")


async def test_a_worker_says_yes_in_two_taps_learns_who_it_is_and_delivers(
    context: BrowserContext, page: Page, look: Look, callers: Callers
) -> None:
    referral = await opened(context, page, callers)
    await look(page, "provider-inbox")
    await enter(page, referral)  # the first tap
    text = await page.inner_text("body")
    assert all(word not in text for word in (*HIDDEN, NAME, PHONE))
    await look(page, "provider-asked")
    await page.get_by_role("button", name="হ্যাঁ, পারব", exact=True).click()  # the second
    await callers.until(referral, "accepted")
    await look(page, "provider-accepted")

    await callers.accepted(referral)
    await page.get_by_role("link", name="মানুষটি কে, কীভাবে যোগাযোগ করবেন").click()
    shown = await page.inner_text("body")
    assert NAME in shown
    assert PHONE in shown
    assert all(word not in shown for word in HIDDEN)
    read = await callers.events(referral["case_id"], "identity-disclosed")
    assert read[-1]["actor"] == "provider_worker:b1"
    await look(page, "provider-person")

    await page.goto(f"{callers.stack.origin}/provider/{referral['referral_id']}")
    await page.get_by_role("button", name="মানুষটির সঙ্গে যোগাযোগ হয়েছে").click()
    await page.get_by_text("দেখা করার সময়", exact=True).click()
    await page.get_by_label("কখন?").fill("2030-01-02T10:30")
    await page.get_by_role("button", name="সময় ঠিক করুন").click()
    found = await callers.until(referral, "accepted")
    assert found["first_contact_at"]
    assert [one["at"] for one in found["appointments"]] == ["2030-01-02T04:30:00Z"]  # of Dhaka
    await page.goto(f"{callers.stack.origin}/provider/schedule")
    assert "১০:৩০" in await page.inner_text("main")
    await look(page, "provider-schedule")

    await page.goto(f"{callers.stack.origin}/provider/{referral['referral_id']}")
    await page.locator("summary", has_text="সাহায্য দেওয়া হয়েছে").click()
    await look(page, "provider-deliver")
    await page.locator("details[open]").get_by_role("button", name="পাঠান").click()
    await callers.until(referral, "delivered")
    await page.goto(f"{callers.stack.origin}/provider/ended?lang=en")
    assert "Help was given" in await page.inner_text("main")
    await look(page, "provider-ended-en")


async def test_without_a_script_a_no_goes_on_and_a_stranger_finds_nothing(
    whole_stack: Stack, callers: Callers
) -> None:
    referral = await callers.assigned(report())
    path = f"/provider/{referral['referral_id']}"
    own = callers.provider(referral["provider_id"])
    for caller, status in (
        (callers.provider("another"), 404),
        (callers.desk, 403),
        (whole_stack.bearer(Role.PROVIDER_SYSTEM, referral["provider_id"]), 403),
    ):
        assert callers.http.get(path, headers=caller).status_code == status
        refused = callers.http.post(f"{path}/accept", data={"version": "1"}, headers=caller)
        assert refused.status_code == status
    unsigned = callers.http.get(path)
    assert (unsigned.status_code, unsigned.headers["location"][:8]) == (303, "/sign-in")
    assert (
        callers.http.post(f"{path}/withdraw", data={"version": "1"}, headers=own).status_code == 404
    )
    unsaid = callers.http.post(f"{path}/decline", data={"reason": "other"}, headers=own)
    assert (unsaid.status_code, unsaid.headers["location"]) == (303, f"{path}?wrong=decline")
    stale = callers.http.post(
        f"{path}/decline", data={"reason": "no_capacity", "version": "99"}, headers=own
    )
    assert (stale.status_code, stale.headers["location"]) == (303, f"{path}?wrong=meanwhile")
    done = callers.http.post(f"{path}/decline", data={"reason": "no_capacity"}, headers=own)
    assert done.status_code == 303
    found = await callers.until(referral, "declined")
    assert found["reason"] == "no_capacity"


async def test_a_withdrawal_reaches_the_worker_who_says_that_it_was_seen(
    context: BrowserContext, page: Page, look: Look, callers: Callers
) -> None:
    referral = await opened(context, page, callers)
    callers.act(referral, "accept")
    answer = callers.http.post(
        f"/referral/v1/referrals/{referral['referral_id']}/withdraw",
        json={"reason": "consent_withdrawn"},
        headers=callers.desk,
    )
    assert answer.status_code == 200, answer.text
    await page.goto(f"{callers.stack.origin}/provider")
    assert "ফেরত নেওয়া" in await page.inner_text("main")
    await look(page, "provider-withdrawn-inbox")
    await enter(page, referral)
    await look(page, "provider-withdrawn")

    async def refused() -> bool:
        told = await page.request.get(
            f"{callers.stack.origin}/intake/pages/disclosures/{referral['referral_id']}"
        )
        return told.status == 409

    await eventually(refused, 20, "the end of the disclosure")
    await page.get_by_role("button", name="দেখেছি, যা জেনেছিলাম মুছে ফেলেছি").click()
    acknowledged = await callers.until(referral, "withdrawn")
    assert "acknowledge-withdrawal" not in acknowledged["allowed"]
    await page.goto(f"{callers.stack.origin}/provider")
    assert referral["referral_id"] not in await page.content()


async def test_free_places_are_said_in_bangla_digits_and_never_more_than_there_are(
    context: BrowserContext, page: Page, look: Look, callers: Callers
) -> None:
    referral = await callers.assigned(report())
    provider, offer = referral["provider_id"], str(uuid4())
    known = callers.http.get(
        "/referral/v1/offers", params={"provider_id": provider}, headers=callers.desk
    ).json()["items"][0]
    offer = known["offer_id"]
    path = f"/referral/v1/offers/{offer}/capacity"
    counted = {"places_free": 3, "places_total": 8}
    callers.http.put(path, json=counted, headers=callers.desk).raise_for_status()
    try:
        await sign_in(context, callers.stack, Role.PROVIDER_WORKER, provider)
        await page.goto(f"{callers.stack.origin}/provider/places")
        form = page.locator(f'form[action="/provider/places/{offer}"]')
        await form.locator("input").fill("৯")
        await form.get_by_role("button").click()
        assert "মোটের বেশি নয়" in await page.inner_text("main")
        await look(page, "provider-places-wrong")
        await form.locator("input").fill("২")
        await form.get_by_role("button").click()
        await page.wait_for_url("**/provider/places?done=*")
        found = callers.http.get(f"/referral/v1/offers/{offer}", headers=callers.desk).json()
        assert (found["places_free"], found["places_total"]) == (2, 8)
        await page.goto(f"{callers.stack.origin}/provider/places?lang=en")
        await look(page, "provider-places-en")
    finally:
        free = {"places_free": known["places_free"], "places_total": known["places_total"]}
        callers.http.put(path, json=free, headers=callers.desk)


async def test_a_worker_without_an_account_answers_by_a_link(
    page: Page, look: Look, callers: Callers
) -> None:
    referral = await callers.assigned(report())
    made = callers.http.post(
        f"/referral/v1/referrals/{referral['referral_id']}/link", headers=callers.desk
    )
    await page.goto(made.raise_for_status().json()["url"])
    await look(page, "link")
    await page.get_by_text("না, পারব না").click()
    await page.get_by_role("button", name="জায়গা খালি নেই").click()
    await page.get_by_text("আপনার উত্তর পৌঁছেছে").wait_for()
    await look(page, "link-thanks")
    assert (await callers.until(referral, "declined"))["reason"] == "no_capacity"
    await page.goto(made.json()["url"])
    await look(page, "link-gone")
