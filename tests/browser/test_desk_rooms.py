"""The desk's other rooms: erasing by two, holds, ties, notes, own calls, free places, what if."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from shared.vocabulary import Role
from tests.browser.desk_room import SAVAR, report, send, unfold

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

    from tests.browser.desk_room import Room
    from tests.browser.look import Look

NOTE = "Invented: the lawyer calls back."


async def test_one_person_asks_for_an_erasure_a_hold_stops_it_and_another_one_agrees(
    room: Room, coordinator: Page, look: Look, other: BrowserContext
) -> None:
    case_id, page = await room.reported(), coordinator
    path = f"{room.stack.origin}/desk/cases/{case_id}"
    await page.goto(path)
    await page.locator(f'a[href="/desk/cases/{case_id}/erasure"]').click()
    await page.wait_for_url("**/erasure")
    await unfold(page, "#do-erase")
    await page.select_option("#erase-asked_by", "person")
    await page.select_option("#erase-identity_check", "call_back")
    await look(page, "desk-erasure")
    await send(page, "erase")
    assert await page.locator(".waits").count() == 1
    assert await page.locator(".waits form").count() == 0  # it is another person's to agree
    assert "approve_erasure" in room.tasks(case_id, Role.SUPERVISOR)

    await other.set_extra_http_headers(room.stack.bearer(Role.SUPERVISOR, subject="s2"))
    theirs = await other.new_page()
    await theirs.goto(f"{path}/erasure")
    await unfold(theirs, "#holding details")
    await theirs.select_option("#hold-reason", "court_order")
    await send(theirs, "hold")
    await theirs.locator('#holding form[action$="/lift"]').wait_for()
    await theirs.locator(".waits select").select_option("document")
    async with theirs.expect_navigation():
        await theirs.locator(".waits .button").click()
    assert await theirs.get_by_role("alert").count() == 1  # a hold stands above
    assert room.case(case_id)["status"] == "open"
    await look(theirs, "desk-erasure-held")
    async with theirs.expect_navigation():
        await theirs.locator('#holding form[action$="/lift"] button').click()
    await theirs.locator(".waits select").select_option("document")
    async with theirs.expect_navigation():
        await theirs.locator(".waits .button").click()
    assert room.case(case_id)["status"] == "erased"
    await page.goto(path)
    assert "মোছা" in await page.inner_text("main") or "মুছে" in await page.inner_text("main")


async def test_a_note_is_sealed_and_read_on_asking(room: Room, coordinator: Page) -> None:
    case_id, page = await room.reported(), coordinator
    await page.goto(f"{room.stack.origin}/desk/cases/{case_id}")
    before = room.case(case_id)["facts"]
    await unfold(page, "#do-notes")
    await page.fill("#notes-text", NOTE)
    await send(page, "notes")
    assert NOTE not in await page.content()
    assert room.case(case_id)["facts"] == before
    await page.locator('form:has([name="look"][value="notes"]) button').click()
    await page.wait_for_url("**#line-head")
    assert NOTE in await page.inner_text(".timeline")
    read = await room.events(case_id, "person-data-read")
    assert read[-1]["data"]["read"]["fields"] == ["notes"]


async def test_words_go_both_ways_behind_the_secret_number(
    room: Room, coordinator: Page, look: Look
) -> None:
    page = coordinator
    made = room.http.post("/intake/v1/reports", json=report()).json()
    told = {"receipt": made["receipt"], "text": "Invented: it is worse now."}
    assert room.http.post("/intake/v1/receipts/messages", json=told).is_success
    await page.goto(f"{room.stack.origin}/desk/search")
    await page.select_option("#search-by", "receipt")
    await page.fill("#search-what", made["receipt"])
    await page.click("#search .button")
    await page.locator("#queue a").first.click()
    await page.wait_for_url("**/desk/cases/*")
    assert told["text"] not in await page.content()
    await page.locator("#said form").first.locator("button").click()
    await page.wait_for_url("**#said")
    assert told["text"] in await page.inner_text(".talk")
    await look(page, "desk-said")
    await page.locator("#said summary").click()
    await page.fill("#question-text", "Invented question?")
    await send(page, "question")
    found = room.http.post("/intake/v1/receipts/status", json={"receipt": made["receipt"]})
    assert found.json()["status"] == "question"


async def test_a_tie_takes_sight_of_a_case_from_both_until_it_ends(
    room: Room, context: BrowserContext, page: Page, look: Look
) -> None:
    kin = f"k{uuid4().hex[:8]}"
    await context.set_extra_http_headers(room.stack.bearer(Role.SUPERVISOR, subject="s1"))
    await page.goto(f"{room.stack.origin}/desk/team")
    await unfold(page, "#ties details")
    await page.fill("#ties-one", f"{kin}-a")
    await page.fill("#ties-other", f"{kin}-a")
    async with page.expect_navigation():
        await page.locator("form#ties .send .button").click()
    assert await page.get_by_role("alert").count() == 1  # nobody is close to themself
    assert await page.input_value("#ties-one") == f"{kin}-a"
    await page.fill("#ties-other", f"{kin}-b")
    await look(page, "desk-ties")
    async with page.expect_navigation():
        await page.locator("form#ties .send .button").click()
    entry = page.locator("#ties li", has_text=f"{kin}-a")
    assert f"{kin}-b" in await entry.inner_text()
    case_id = await room.reported(exclude={"providers": [f"{kin}-a"]})
    close = room.stack.bearer(Role.COORDINATOR, subject=f"{kin}-b")
    path = f"/intake/v1/cases/{case_id}"
    assert room.http.get(path, headers=close).status_code == 404
    await entry.get_by_role("button").click()
    await page.wait_for_url("**said=done")
    assert await page.locator("#ties li", has_text=f"{kin}-a").count() == 0


async def test_an_operator_sees_their_own_calls_and_of_whom_nothing(
    room: Room, context: BrowserContext, page: Page, look: Look
) -> None:
    me = f"o{uuid4().hex[:8]}"
    mine = room.stack.bearer(Role.OPERATOR, subject=me)
    report = {"persons": [{"name": "Invented Rahima"}], "concerns": ["child_labour"]}
    for call in (
        {"kind": "silent"},
        {"kind": "report", "number": "01712345678", "report": report},
        {"kind": "report", "open": True, "revision": 1},
    ):
        made = room.http.post("/intake/v1/helpline/calls", json=call, headers=mine)
        assert made.status_code == 201, made.text
    await context.set_extra_http_headers(mine)
    await page.goto(f"{room.stack.origin}/desk/calls")
    await page.locator('a[href="/desk/calls/mine"]').first.click()
    await page.wait_for_url("**/desk/calls/mine")
    assert await page.locator("#calls li").count() == 3
    text = await page.content()
    assert "Rahima" not in text
    assert "01712345678" not in text
    await look(page, "desk-calls")
    await page.locator("#calls form button").click()  # the silent one, after all
    await page.wait_for_url("**/desk/calls/done")
    await page.goto(f"{room.stack.origin}/desk/calls/mine")
    assert await page.locator("#calls form").count() == 0

    await context.set_extra_http_headers(room.stack.bearer(Role.OPERATOR, subject=f"{me}x"))
    await page.goto(f"{room.stack.origin}/desk/calls/mine")
    assert await page.locator("#calls li").count() == 0


async def test_free_places_are_seen_and_said_after_a_call(
    room: Room, coordinator: Page, look: Look
) -> None:
    page = coordinator
    offers = room.get("/referral/v1/offers", provider_id="example-school-bridge-savar")["items"]
    offer = offers[0]
    path = f"/referral/v1/offers/{offer['offer_id']}/capacity"
    told = {"places_free": 4, "places_total": 20}
    room.http.put(path, json=told, headers=room.desk).raise_for_status()
    try:
        await page.goto(f"{room.stack.origin}/desk")
        await page.locator('a[href="/referral/pages/places"]').click()
        await page.select_option("#district", "BD3026")
        await page.select_option("#need", offer["needs"][0])
        await page.locator(".filter .button").click()
        line = page.locator(f"#o-{offer['offer_id']}")
        assert "৪" in await line.inner_text()
        await look(page, "desk-places")
        for said, wrong in (("২১", True), ("৩", False)):
            await line.locator("input[name=free]").fill(said)
            async with page.expect_navigation():
                await line.locator("button").click()
            assert await line.locator(".wrong").count() == wrong
        found = room.get(f"/referral/v1/offers/{offer['offer_id']}")
        assert (found["places_free"], found["places_total"]) == (3, 20)
    finally:
        free = {name: offer[name] for name in ("places_free", "places_total")}
        room.http.put(path, json=free, headers=room.desk)


async def test_what_would_happen_if_is_told_and_nobody_is_asked(
    room: Room, coordinator: Page, look: Look
) -> None:
    page = coordinator
    await page.goto(f"{room.stack.origin}/referral/pages/preview")
    await page.select_option("#need", "education")
    await page.select_option("#place", SAVAR)
    await page.fill("#age", "১০")
    await page.select_option("#sex", "male")
    await page.locator("main form .button").click()
    await page.locator("#so").wait_for()
    first = await page.inner_text("#so strong")
    assert first
    assert await page.locator("#so li").count() >= 1
    await look(page, "desk-preview")
    await page.goto(page.url + "&lang=en")
    await look(page, "desk-preview-en")


@pytest.mark.slow
async def test_the_new_rooms_hold_in_english_too(
    room: Room, context: BrowserContext, page: Page, look: Look
) -> None:
    await context.set_extra_http_headers(room.stack.bearer(Role.SUPERVISOR, subject="s1"))
    case_id = await room.reported()
    for name, path in (
        ("erasure", f"/desk/cases/{case_id}/erasure"),
        ("calls-mine", "/desk/calls/mine"),
        ("places", "/referral/pages/places?district=BD3026"),
        ("team-ties", "/desk/team"),
    ):
        joint = "&" if "?" in path else "?"
        await page.goto(f"{room.stack.origin}{path}{joint}lang=en")
        await look(page, f"desk-{name}-en")
