"""The desk in a real browser: a call is taken, a case goes from the queue to its release."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from shared.vocabulary import Role
from tests.browser.desk_room import (
    KERANIGANJ,
    NAME,
    SAVAR,
    WORDS,
    new_number,
    send,
    sign_in,
    unfold,
)
from tests.support.wait import eventually

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

    from tests.browser.desk_room import Room
    from tests.browser.look import Look


PANCHAGARH = "BD5577"
"""A district of which no other test tells."""


async def test_a_coordinator_works_a_case_from_the_queue_to_the_release(  # noqa: PLR0915
    room: Room, page: Page, look: Look
) -> None:
    place = {"role": "now", "pcode": KERANIGANJ}
    case_id = await room.reported(danger_now=True, needs=["shelter"], places=[place])
    await eventually(lambda: room.referrals(case_id), 20, "a referral")
    await sign_in(page, room, "coordinator")
    await page.goto(f"{room.stack.origin}/desk")
    assert await page.locator('form[action="/sign-out"]').count() == 1
    await look(page, "desk-queue")
    row = page.locator(f'li:has(a[href="/desk/cases/{case_id}"])')
    await row.locator(".take button").click()
    await page.wait_for_url(f"**/desk/cases/{case_id}**")
    assert NAME not in await page.content()
    await page.wait_for_selector("#referrals .referral")
    await look(page, "desk-case")

    # Who it is: closed until somebody says why, and at no address.
    await page.check('#who [name="also"][value="reporter"]')
    await page.click("#who button")
    shown = await page.inner_text("#who")
    assert NAME in shown
    assert WORDS in shown
    assert NAME not in page.url
    await look(page, "desk-case-open")
    await page.goto(f"{room.stack.origin}/desk/cases/{case_id}")
    assert NAME not in await page.content()

    # The steps, each through its form.
    await page.select_option("#triage-urgency", "T1")
    await send(page, "triage")
    await unfold(page, "#do-assign")
    await page.fill("#assign-worker", "w1")
    await page.fill("#assign-supervisor", "s1")
    await send(page, "assign")
    await unfold(page, "#do-verify")
    await page.check('#verify [value="substantiated"]')
    await page.select_option("#verify-means", "phone")
    await page.fill("#verify-text", "Invented: somebody called.")
    await send(page, "verify")
    await unfold(page, "#do-assess")
    await page.check('#assess [name="answers.harm_goes_on"][value="no"]')
    await send(page, "assess")
    facts = room.case(case_id)["facts"]
    assert (facts["urgency"], facts["entitled"]) == ("T1", True)
    assert (facts["work"]["worker"], facts["work"]["finding"]) == ("w1", "substantiated")
    assert facts["work"]["risk"]

    # A question behind the secret number, and the release of what a person must release.
    await page.locator("#said summary").click()
    await page.fill("#question-text", "Invented question?")
    await send(page, "question")
    await unfold(page, "#agreed > details")
    await page.select_option("#consent-given_by", "person")
    await page.select_option("#consent-how", "spoken")
    await page.check('#consent [name="explained:bool"]')
    async with page.expect_navigation():
        await page.locator("#consent .send .button").click()
    assert room.get(f"/intake/v1/cases/{case_id}/consent")["items"]

    await page.goto(f"{room.stack.origin}/desk/cases/{case_id}")
    await page.wait_for_selector('#referrals form[action$="/release"]')
    await page.locator("#referrals .referral details").first.locator("summary").click()
    await look(page, "desk-case-help")
    assert not any(r["released_by"] for r in room.referrals(case_id))
    async with page.expect_navigation():
        await page.locator('#referrals form[action$="/release"] button').first.click()

    def out() -> bool:
        return any(r["state"] in ("assigned", "accepted") for r in room.referrals(case_id))

    await eventually(out, 20, "the referral is out")


async def test_the_queue_has_what_is_worst_first_and_of_that_what_waits_longest(
    room: Room, coordinator: Page
) -> None:
    place = [{"role": "now", "pcode": PANCHAGARH}]
    calm = await room.reported(places=place)
    danger = [await room.reported(places=place, danger_now=True) for _ in range(2)]
    await coordinator.goto(f"{room.stack.origin}/desk?place={PANCHAGARH}")
    rows = await coordinator.locator("#queue .row").all()
    found = [str(await row.get_attribute("href")).rpartition("/")[2] for row in rows]
    assert [one for one in found if one in {*danger, calm}] == [*danger, calm]


async def test_what_somebody_else_changed_is_told_and_nothing_written_is_lost(
    room: Room, coordinator: Page, look: Look
) -> None:
    case_id = await room.reported()
    page = coordinator
    await page.goto(f"{room.stack.origin}/desk/cases/{case_id}")
    await unfold(page, "#do-verify")
    await page.check('#verify [value="unknown"]')
    await page.select_option("#verify-means", "visit")
    await page.fill("#verify-text", "Invented: what took long to write.")
    other = room.stack.bearer(Role.COORDINATOR, subject="c2")
    path = f"/intake/v1/cases/{case_id}/triage"
    assert room.http.post(path, json={"urgency": "T2"}, headers=other).is_success
    await send(page, "verify")
    assert await page.locator('[role="alert"]').count() == 1
    assert await page.input_value("#verify-text") == "Invented: what took long to write."
    assert await page.is_checked('#verify [value="unknown"]')
    assert room.case(case_id)["facts"]["work"]["finding"] is None
    await look(page, "desk-case-stale")
    await send(page, "verify")
    assert room.case(case_id)["facts"]["work"]["finding"] == "unknown"


async def test_a_call_is_kept_as_it_is_typed_and_ends_with_a_secret_number(
    room: Room, context: BrowserContext, page: Page, look: Look
) -> None:
    await context.set_extra_http_headers(room.stack.bearer(Role.OPERATOR, subject="o1"))
    await page.goto(f"{room.stack.origin}/desk")
    await page.wait_for_url("**/desk/calls")
    await look(page, "desk-call")
    await page.check('[name="kind"][value="silent"]')
    await page.click('[name="end"]')
    assert await page.locator(".receipt").count() == 0
    assert await page.locator('form[action$="/report"]').count() == 1
    await look(page, "desk-call-apart")
    await page.goto(f"{room.stack.origin}/desk/calls")
    await page.check('[name="caller"][value="child_alone"]')
    await page.check('[name="report.concerns[]"][value="child_labour"]')
    await page.select_option('[name="report.persons.0.sex"]', "male")
    await page.fill('[name="report.persons.0.age:years"]', "১১")
    await page.select_option('[name="report.places.0.pcode"]', SAVAR)
    await page.fill('[name="report.narrative"]', WORDS)
    await eventually(lambda: page.inner_text("#kept"), 20, "the call is kept")
    call_id = await page.input_value('[name="call_id"]')
    await page.click('[name="end"]')
    assert re.search(
        r"[০-৯]{4} [০-৯]{4} [০-৯]{4} [০-৯]{4}", await page.inner_text(".receipt >> nth=0")
    )
    await look(page, "desk-call-done")

    def opened() -> dict[str, Any] | None:
        found = [c for c in room.cases() if c["submission_id"] == call_id and c["facts"]]
        return found[0]["facts"] if found else None

    facts = await eventually(opened, 20, "the case of the call")
    assert (facts["age"], facts["sex"], facts["upazila"]) == (11, "male", SAVAR)
    answer = await page.goto(f"{room.stack.origin}/desk/team")
    assert answer is not None
    assert answer.status == 403


async def test_search_finds_by_number_and_by_what_stands_in_no_address(
    room: Room, coordinator: Page, look: Look
) -> None:
    number, page = new_number(), coordinator
    case_id = await room.reported(persons=[{"ref": "a", "phone": number}])
    await page.goto(f"{room.stack.origin}/desk/search")
    await look(page, "desk-search")
    await page.select_option("#search-by", "phone")
    await page.fill("#search-what", f"+880 {number[1:5]}-{number[5:]}")
    await page.click("#search .button")
    assert await page.locator(f'a[href="/desk/cases/{case_id}"]').count() == 1
    assert page.url.endswith("/desk/search")
    await look(page, "desk-search-found")
    await page.select_option("#search-by", "case")
    await page.fill("#search-what", f"{case_id[:4]} {case_id[4:8]}".upper())
    await page.click("#search .button")
    assert await page.locator(f'a[href="/desk/cases/{case_id}"]').count() == 1


async def test_without_a_script_a_case_is_looked_at_and_let_go_out(room: Room, page: Page) -> None:
    case_id = await room.reported()
    assert page.context.browser is not None
    context = await page.context.browser.new_context(
        java_script_enabled=False, extra_http_headers=room.desk
    )
    plain = await context.new_page()
    await plain.goto(f"{room.stack.origin}/desk/cases/{case_id}")
    await plain.click("#triage .send .button")
    await eventually(lambda: room.referrals(case_id), 20, "a referral")
    await plain.goto(f"{room.stack.origin}/desk/cases/{case_id}")
    await plain.click("#referrals a")
    assert await plain.locator(".referral").count() >= 1
    await context.close()


@pytest.mark.slow
async def test_a_supervisor_sees_the_team_and_all_pages_hold_in_both_languages(
    room: Room, context: BrowserContext, page: Page, look: Look
) -> None:
    await context.set_extra_http_headers(room.stack.bearer(Role.SUPERVISOR, subject="s1"))
    case_id = await room.reported()
    await eventually(lambda: room.case(case_id)["facts"], 20, "the case")
    for language in ("bn", "en"):
        for name, path in (
            ("team", "/desk/team"),
            ("queue", "/desk"),
            ("case", f"/desk/cases/{case_id}"),
            ("call", "/desk/calls"),
            ("search", "/desk/search"),
            ("help", f"/referral/pages/cases/{case_id}/referrals"),
        ):
            await page.goto(f"{room.stack.origin}{path}?lang={language}")
            assert await page.get_attribute("html", "lang") == language
            await look(page, f"desk-{name}-{language}")
            await page.emulate_media(color_scheme="light")


async def test_whom_a_case_names_finds_nothing_of_it_on_any_page(
    room: Room, context: BrowserContext, page: Page
) -> None:
    case_id = await room.reported(exclude={"providers": ["c9"]})
    await context.set_extra_http_headers(room.stack.bearer(Role.COORDINATOR, subject="c9"))
    for path in (f"/desk/cases/{case_id}", f"/referral/pages/cases/{case_id}/referrals"):
        answer = await page.goto(f"{room.stack.origin}{path}")
        assert answer is not None
        gone = answer.status == 404 or await page.locator(".referral").count() == 0
        assert gone, path
    await page.goto(f"{room.stack.origin}/desk")
    assert await page.locator(f'a[href="/desk/cases/{case_id}"]').count() == 0
