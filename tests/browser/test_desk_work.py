"""What a case needs beside its way to a place of help: documents, visits, handing over, harm …"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from shared.vocabulary import Role
from tests.browser.desk_room import NAME, send, unfold
from tests.browser.signing_in import sign_in
from tests.support.callers import Callers
from tests.support.callers import report as by_partner
from tests.support.pictures import picture
from tests.support.wait import eventually

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

    from tests.browser.desk_room import Room
    from tests.browser.look import Look

LATER = "2030-01-02T10:30"
HARM = "সাহায্যে ক্ষতি"


async def opened(page: Page, room: Room, case_id: str) -> None:
    await page.goto(f"{room.stack.origin}/desk/cases/{case_id}")


async def test_a_picture_opens_blurred_for_few_and_each_opening_is_counted(
    room: Room, context: BrowserContext, page: Page, look: Look, other: BrowserContext
) -> None:
    made = room.http.post("/intake/v1/reports", json={"channel": "web", "narrative": "invented"})
    sent = picture("JPEG", "said in the picture")
    kept = room.http.post(
        "/intake/v1/receipts/attachments",
        data={"receipt": made.json()["receipt"]},
        files={"file": ("a.jpg", sent, "image/jpeg")},
    )
    assert kept.status_code == 201, kept.text
    case_id = await room.with_attachment(kept.json()["sha256"])

    # A coordinator is told that it is there; to open it is for few.
    await context.set_extra_http_headers(room.desk)
    await opened(page, room, case_id)
    assert await page.locator("#documents li").count() == 1
    assert await page.locator('#documents form[action$="/open"], #documents img').count() == 0

    await other.set_extra_http_headers(room.stack.bearer(Role.SUPERVISOR, subject="s3"))
    theirs = await other.new_page()
    await opened(theirs, room, case_id)
    await look(page, "desk-documents")
    for many in (1, 2):
        async with other.expect_page() as opening:
            await theirs.click('#documents form[action$="/open"] button')
        tab = await opening.value
        await tab.wait_for_load_state()
        width = await tab.evaluate("document.images[0].naturalWidth")
        assert 0 < width < 400  # a blurred copy, never what came
        await tab.close()
        reads = await room.events(case_id, "person-data-read")
        assert [one["data"]["read"]["shown"] for one in reads] == ["blurred"] * many
    await theirs.click('#documents form[action$="/flag"] button')
    await theirs.wait_for_url("**said=flagged")
    assert await theirs.locator('#documents form[action$="/open"]').count() == 0
    assert "flagged_attachment" in room.tasks(case_id, Role.SUPERVISOR)


async def test_persons_of_one_report_are_told_apart_and_stay_together(
    room: Room, coordinator: Page, look: Look
) -> None:
    case_id = await room.reported(persons=[{"ref": "a", "role": "at_risk", "count": 2}])
    page = coordinator
    await opened(page, room, case_id)
    await unfold(page, "#do-split")
    for row, (sex, years) in enumerate((("female", "১২"), ("male", "৯"))):
        await page.select_option(f"#split-persons\\.{row}\\.sex", sex)
        await page.fill(f"#split-persons\\.{row}\\.age\\:years", years)
    await page.check('#split [name="keep_together:bool"]')
    await look(page, "desk-split")
    await send(page, "split")
    await page.locator('#family a[href^="/desk/cases/"]').first.wait_for()
    assert "একসঙ্গে" in await page.inner_text("#family")
    links = await page.locator('#family a[href^="/desk/cases/"]').all()
    told = [str(await one.get_attribute("href")).split("/") for one in links]
    found = [parts[3] for parts in told if len(parts) == 4]
    facts = [room.case(one)["facts"] for one in {case_id, *found}]
    assert {(one["age"], one["sex"]) for one in facts} >= {(12, "female"), (9, "male")}
    assert len({one["household_id"] for one in facts}) == 1


async def test_a_handover_stays_ours_until_they_say_yes(room: Room, coordinator: Page) -> None:
    case_id, page = await room.reported(), coordinator
    await opened(page, room, case_id)
    await unfold(page, "#do-handover")
    await page.fill("#handover-to", "১০৯৮")
    await send(page, "handover")
    work = room.case(case_id)["facts"]["work"]
    assert (work["handover"], work["handed_to"]) == ("offered", "1098")
    assert room.case(case_id)["status"] == "open"
    await unfold(page, "#do-handover")
    await page.select_option("#handover-answer", "accepted")
    await page.fill("#handover-by", "invented.person")
    await send(page, "handover")
    assert room.case(case_id)["facts"]["work"]["handover"] == "accepted"
    assert "close_handed_over" in room.tasks(case_id)


async def test_who_is_not_back_from_a_visit_is_looked_for_until_they_are(
    room: Room, coordinator: Page, look: Look, other: BrowserContext
) -> None:
    case_id, page = await room.reported(), coordinator
    await opened(page, room, case_id)
    await unfold(page, "#do-visits")
    await page.fill("#visits-who", "w1")
    await page.fill("#visits-expected_back\\:time", LATER)
    await send(page, "visits")
    assert "১০:৩০" in await page.inner_text("#next")  # of Dhaka, as it was entered
    await page.click('#next form[action$="/visit-back"] button')
    await page.wait_for_url("**said=done")
    assert await page.locator('#next form[action$="/visit-back"]').count() == 0

    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    path = f"/intake/v1/cases/{case_id}/visits"
    gone = room.http.post(path, json={"who": "w1", "expected_back": soon}, headers=room.desk)
    assert gone.status_code == 201, gone.text
    await eventually(
        lambda: "visit_overdue" in room.tasks(case_id, Role.SUPERVISOR), 20, "the alarm"
    )
    await other.set_extra_http_headers(room.stack.bearer(Role.SUPERVISOR, subject="s1"))
    theirs = await other.new_page()
    await theirs.goto(f"{room.stack.origin}/desk?group=danger")
    row = theirs.locator(f'#queue li.danger:has(a[href="/desk/cases/{case_id}"])')
    assert "ফেরেননি" in await row.inner_text()
    await opened(page, room, case_id)
    await look(page, "desk-visit")
    await page.click('#next form[action$="/visit-back"] button')
    await page.wait_for_url("**said=done")
    assert "visit_overdue" not in room.tasks(case_id, Role.SUPERVISOR)


async def test_a_supervisor_puts_somebody_on_duty_and_takes_them_out(
    room: Room, context: BrowserContext, page: Page
) -> None:
    await context.set_extra_http_headers(room.stack.bearer(Role.SUPERVISOR, subject="s1"))
    name, until = f"d{uuid4().hex[:8]}", datetime.now(UTC) + timedelta(days=1)
    await page.goto(f"{room.stack.origin}/desk/team")
    await unfold(page, "#duty details")
    await page.fill("#duty-person", f"coordinator:{name}")
    await page.fill("#duty-begins\\:time", "2026-01-01T00:00")
    await page.fill("#duty-ends\\:time", until.strftime("%Y-%m-%dT%H:%M"))
    await page.select_option("#duty-way", "sms")
    await page.locator("form#duty .send .button").click()
    await page.get_by_role("alert").wait_for()  # this way needs a number; the rest is still there
    assert await page.input_value("#duty-person") == f"coordinator:{name}"
    await page.fill("#duty-number", "01712345678")
    async with page.expect_navigation():
        await page.locator("form#duty .send .button").click()
    entry = page.locator("#duty li", has_text=name)
    assert await entry.count() == 1
    assert "01712345678" not in await page.content()
    await entry.get_by_role("button").click()
    await page.wait_for_url("**said=done")
    assert await page.locator("#duty li", has_text=name).count() == 0


async def test_a_committee_member_gets_what_a_coordinator_asks_and_nothing_of_whom(
    room: Room, coordinator: Page, other: BrowserContext
) -> None:
    case_id, page, member = await room.reported(), coordinator, f"m{uuid4().hex[:8]}"
    await room.assigned(case_id)
    await opened(page, room, case_id)
    await unfold(page, "#do-committee-tasks")
    await page.fill("#committee-tasks-member", member)
    await page.select_option("#committee-tasks-kind", "confirm_arrival")
    await page.fill("#committee-tasks-at\\:time", LATER)
    await send(page, "committee-tasks")
    assert await page.locator(".notice.good").count() == 1

    await sign_in(other, room.stack, Role.COMMITTEE_MEMBER, subject=member)
    theirs = await other.new_page()
    await theirs.goto(f"{room.stack.origin}/committee")
    await theirs.locator("#new-pin").fill("472905")
    await theirs.locator("#again").fill("472905")
    await theirs.get_by_role("button", name="শুরু করুন").click()
    await theirs.locator("#tasks li").wait_for()
    text = await theirs.content()
    assert case_id not in text
    assert NAME not in text
    await theirs.locator("#tasks button").first.click()
    await theirs.locator("#tasks li").wait_for(state="detached")
    await opened(page, room, case_id)
    assert await page.locator(".timeline li", has_text="কমিটির").count() == 2


async def test_that_the_help_did_harm_is_before_the_focal_person_alone(
    room: Room, coordinator: Page, other: BrowserContext
) -> None:
    case_id, page = await room.reported(), coordinator
    await room.focal("f1")
    await opened(page, room, case_id)
    await unfold(page, "#do-feedback")
    await page.check('#feedback [value="harmed"]')
    await page.select_option("#feedback-about", "service")
    await page.fill("#feedback-text", "Invented: what was done.")
    await send(page, "feedback")
    assert await page.locator(".tasks li, .timeline li", has_text=HARM).count() == 0
    assert "harmed" not in room.tasks(case_id)
    await page.goto(f"{room.stack.origin}/desk?group=danger")
    row = f'#queue li:has(a[href="/desk/cases/{case_id}"])'
    assert await page.locator(row, has_text=HARM).count() == 0

    await other.set_extra_http_headers(room.stack.bearer(Role.SUPERVISOR, subject="f1"))
    theirs = await other.new_page()
    await theirs.goto(f"{room.stack.origin}/desk/team")
    await theirs.locator(row, has_text=HARM).locator("a").click()
    await theirs.wait_for_url(f"**/desk/cases/{case_id}")
    assert await theirs.locator(".tasks li", has_text=HARM).count() == 1
    assert await theirs.locator(".timeline li", has_text=HARM).count() == 1


async def test_who_it_is_needs_a_second_factor_of_now_then_it_is_shown_at_once(
    room: Room, context: BrowserContext, page: Page
) -> None:
    case_id = await room.reported()
    await sign_in(context, room.stack, Role.COORDINATOR, subject="c1", since=3_600)
    await opened(page, room, case_id)
    await page.click("#who button")
    assert "/accounts/authorize" in page.url  # asked who they are, anew
    assert await page.locator('[name="code"]').count() == 1
    assert not await room.events(case_id, "person-data-read")

    await sign_in(context, room.stack, Role.COORDINATOR, subject="c1")
    await opened(page, room, case_id)  # where the issuer sends them back to
    assert NAME in await page.inner_text("#who")
    assert len(await room.events(case_id, "person-data-read")) == 1
    await page.reload()  # it was shown once
    assert NAME not in await page.content()
    assert len(await room.events(case_id, "person-data-read")) == 1


async def test_a_yes_taken_back_at_the_desk_reaches_the_place_of_help(
    room: Room, context: BrowserContext, page: Page, other: BrowserContext
) -> None:
    callers = Callers(room.stack, room.http)
    referral = await callers.assigned(by_partner())
    await callers.accepted(referral)
    await context.set_extra_http_headers(room.desk)
    await opened(page, room, referral["case_id"])
    async with page.expect_navigation():
        await page.locator('#agreed form:has([value="withdrawn"]) .button').first.click()
    await callers.until(referral, "withdrawn")
    await sign_in(other, room.stack, Role.PROVIDER_WORKER, referral["provider_id"])
    theirs = await other.new_page()
    await theirs.goto(f"{room.stack.origin}/provider/{referral['referral_id']}")
    await theirs.get_by_role("button", name="দেখেছি, যা জেনেছিলাম মুছে ফেলেছি").click()
    await theirs.wait_for_url(re.compile("done=acknowledge"))

    found = await callers.until(referral, "withdrawn")
    assert "acknowledge-withdrawal" not in found["allowed"]
