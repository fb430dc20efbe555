"""Like cases side by side in a real browser: link, undo, different; a packet on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.browser.desk_room import Room
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from playwright.async_api import BrowserContext, Page

    from tests.browser.look import Look
    from tests.support.stack import Stack


@pytest.fixture(scope="module")
def room(whole_stack: Stack) -> Iterator[Room]:
    with whole_stack.client(timeout=30) as http:
        yield Room(whole_stack, http)


@pytest_asyncio.fixture(loop_scope="session")
async def coordinator(context: BrowserContext, page: Page, room: Room) -> AsyncIterator[Page]:
    await context.set_extra_http_headers(room.desk)
    yield page


def person(name: str, phone: str | None = None) -> dict[str, object]:
    age = {"min": 15, "max": 15, "basis": "stated"}
    return {"ref": "a", "name": name, "phone": phone, "age": age, "sex": "female"}


async def test_two_cases_side_by_side_are_linked_undone_and_said_to_be_different(
    coordinator: Page, room: Room, look: Look
) -> None:
    page = coordinator
    first = await room.reported(persons=[person("Invented Shapla Talukdar", "01755500011")])
    other = await room.reported(persons=[person("ইনভেন্টেড শাপলা তালুকদার", "01755500011")])
    await page.goto(f"{room.stack.origin}/desk/cases/{first}")
    await page.click('#family a[href$="/alike"]')
    short = f"{other[:4]} {other[4:8]}".upper()
    await page.get_by_role("link", name=short).wait_for()
    text = await page.inner_text("main")
    assert "একই নম্বর" in text
    assert "হয়তো একই মানুষ" in text
    assert "Shapla" not in text
    await look(page, "alike")

    def column(verb: str) -> str:
        return f'form:has(input[name="say"][value="{verb}"]):has(input[value="{other}"]) button'

    await page.locator(column("link")).click()
    await page.wait_for_url("**/desk/cases/*said=done*")
    assert room.case(first)["facts"]["work"]["linked"] == [other]
    await page.click('#family a[href$="/alike"]')
    await page.locator(column("unlink")).click()
    await page.wait_for_url("**/desk/cases/*said=done*")
    assert room.case(first)["facts"]["work"]["linked"] == []

    await page.click('#family a[href$="/alike"]')
    await page.locator(column("merge")).click()
    await page.wait_for_url("**/desk/cases/*said=done*")
    await page.goto(f"{room.stack.origin}/desk/cases/{other}")
    await look(page, "merged")
    await page.locator('.notice form[action$="/alike"] button').click()
    await page.wait_for_url("**/desk/cases/*said=done*")
    assert room.case(other)["facts"]["work"]["merged_into"] is None

    await page.goto(f"{room.stack.origin}/desk/cases/{first}/alike")
    await page.locator(column("different")).click()
    await page.wait_for_url("**/desk/cases/*said=done*")
    await page.click('#family a[href$="/alike"]')
    assert await page.get_by_role("link", name=short).count() == 0
    await page.click('a[href$="different=true"]')
    await page.locator(column("not-different")).click()
    await page.wait_for_url("**/desk/cases/*said=done*")
    await page.click('#family a[href$="/alike"]')
    assert await page.get_by_role("link", name=short).count() == 1


async def test_a_packet_on_paper_for_a_helpline_and_a_notice_that_waits_for_its_question(
    coordinator: Page, room: Room, look: Look
) -> None:
    page = coordinator
    consent = {
        "person": "a", "given_by": "person", "how": "spoken", "explained": True,
        "basis": "consent", "allows": ["refer", "share_identity"],
    }  # fmt: skip
    adult = person("Invented Mukta") | {"age": {"min": 22, "max": 22, "basis": "stated"}}
    case_id = await room.reported(persons=[adult], reporter={"kind": "self"}, consent=[consent])
    path = f"{room.stack.origin}/desk/cases/{case_id}/packets"
    await page.goto(path)
    await look(page, "packets-none")
    offered = room.http.post(
        f"/intake/v1/cases/{case_id}/handover", json={"to": "1098"}, headers=room.desk
    )
    assert offered.is_success, offered.text
    await page.goto(path)
    async with page.expect_download() as waiting:
        await page.click("#packets .send .button")
    download = await waiting.value
    assert download.suggested_filename == "packet.pdf"
    await page.goto(path)
    await page.locator("details summary").first.click()
    await page.select_option("#answer-1-answer", "accepted")
    await page.fill("#answer-1-by", "n1")
    await page.locator("#answer-1 .send .button").click()
    await page.wait_for_url("**said=done*")
    assert room.case(case_id)["facts"]["work"]["handover"] == "accepted"
    await look(page, "packets")

    child = await room.reported(persons=[person("Invented Mim")], concerns=["missing_child"])
    await page.goto(f"{room.stack.origin}/desk/cases/{child}/packets")
    await page.check('[name="reporter_danger"][value="not_known"]')
    await page.fill("#missing-alert-checked", "Invented: nobody asked yet.")
    await page.check('[name="basis"][value="best_interest"]')
    await page.fill("#missing-alert-last_seen", "an invented market")
    await page.click("#missing-alert .send .button")
    await page.locator(".notice.care[role=alert]").wait_for()
    assert room.case(child)["facts"]["work"]["alert"] is None
    await look(page, "missing-alert")
    await page.check('[name="reporter_danger"][value="no"]')
    async with page.expect_download():
        await page.click("#missing-alert .send .button")
    await eventually(lambda: room.case(child)["facts"]["work"]["alert"], 10, "the notice")
    await page.goto(f"{room.stack.origin}/desk/cases/{child}/packets")
    await page.fill("#missing-alert-down-text", "Invented: found.")
    await page.click("#missing-alert-down .send .button")
    await page.wait_for_url("**said=done*")
    assert room.case(child)["facts"]["work"]["alert"] is None
