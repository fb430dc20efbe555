"""What is told in which season: looked at, printed, counted."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from services.intake.awareness.sets import list_sets
from services.intake.channels.sms.replies import words_of
from shared.clock import DHAKA
from shared.vocabulary import Role
from tests.browser.signing_in import sign_in

if TYPE_CHECKING:
    import httpx
    from playwright.async_api import BrowserContext, Page

    from tests.browser.look import Look
    from tests.support.stack import Stack

API = "/intake/v1/awareness/sessions"
UPAZILA = "BD30260062"
PAGES = re.compile(rb"/Type\s*/Page\b")


async def test_the_room_is_looked_at_and_printed(
    context: BrowserContext, page: Page, look: Look, whole_stack: Stack
) -> None:
    await sign_in(context, whole_stack, Role.COORDINATOR)
    room = f"{whole_stack.origin}/desk/awareness"
    for told in list_sets("bn"):
        await page.goto(f"{room}/{told.name}/poster")
        await look(page, f"awareness-{told.name}-poster", public=True)
        assert await page.locator("article h1").text_content() == told.poster.headline
        assert await page.locator("figure img").evaluate("e => e.naturalWidth") > 0
        printed = await page.pdf(prefer_css_page_size=True, print_background=True)
        assert len(PAGES.findall(printed)) == 1, f"{told.name}: {len(printed)} bytes"
    for path in ("", "/cards", "/online", "/online/courtyard", "/online?lang=en"):
        await page.goto(f"{room}{path}")
        await look(page, f"awareness{path.replace('/', '-').partition('?')[0]}")
    await page.goto(f"{room}/cards?lang=bn")
    printed = await page.pdf(prefer_css_page_size=True)
    assert len(PAGES.findall(printed)) == 1
    await page.emulate_media(media="print")
    assert not (await page.locator("body").inner_text()).strip(), "a card says nothing"
    await page.emulate_media(media="screen")
    assert (await page.goto(f"{room}/nothing")).status == 404  # type: ignore[union-attr]


async def test_a_talk_is_counted_once_and_taken_out_again(
    context: BrowserContext, page: Page, look: Look, whole_stack: Stack
) -> None:
    await sign_in(context, whole_stack, Role.SUPERVISOR)
    await page.goto(f"{whole_stack.origin}/desk/awareness?district=BD3026")
    await page.locator("[name=place]").select_option(UPAZILA)
    await page.locator("[name=set]").select_option("brick-kilns")
    await page.get_by_role("button", name="সংখ্যা রাখুন").click()
    await page.locator(".wrong").first.wait_for()
    await look(page, "awareness-wrong")
    assert await page.locator("[name=place]").input_value() == UPAZILA
    await page.locator("[name=girls]").fill("23")
    await page.get_by_role("button", name="সংখ্যা রাখুন").click()
    row = page.locator("tbody tr").filter(has_text="২৩")
    await row.wait_for()
    assert "<৫ এ পর্যন্ত" in (await row.inner_text())
    await look(page, "awareness-counted")
    await row.get_by_role("button").click()
    await row.wait_for(state="detached")


def day(after: int = 0) -> str:
    """Return the day that is so many days after today in Dhaka."""
    return (datetime.now(UTC).astimezone(DHAKA).date() + timedelta(days=after)).isoformat()


def counted(**other: Any) -> dict[str, Any]:
    return {"set": "online", "place": UPAZILA, "day": day(), "men": 41} | other


@pytest.mark.parametrize(
    ("other", "rules"),
    [
        ({"place": "BD3026", "set": "nothing"}, {"not-an-upazila", "unknown"}),
        ({"day": day(2)}, {"in-the-future"}),  # named before midnight, perhaps, and told after
        ({"day": "2020-01-01"}, {"too-long-ago"}),
        ({"day": "tomorrow"}, {"date_from_datetime_parsing"}),
        ({"men": 0}, {"nobody-came"}),
        ({"men": -1}, {"greater_than_equal"}),
        ({"men": 1001}, {"less_than_equal"}),
        ({"men": "41"}, {"int_type"}),
        ({"names": ["Invented Rina"]}, {"extra_forbidden"}),
    ],
)
async def test_a_bad_count_is_refused_and_named_without_an_echo(
    whole_stack: Stack, http: httpx.Client, other: dict[str, Any], rules: set[str]
) -> None:
    answer = http.post(API, json=counted(**other), headers=whole_stack.bearer(Role.COORDINATOR))
    assert answer.status_code == 422
    assert {one["rule"] for one in answer.json()["errors"]} == rules
    assert "Invented" not in answer.text


async def test_the_interface_counts_once_for_a_key(whole_stack: Stack, http: httpx.Client) -> None:
    headers = whole_stack.bearer(Role.COMMITTEE_MEMBER) | {"idempotency-key": uuid4().hex}
    first, again = (http.post(API, json=counted(), headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    desk = whole_stack.bearer(Role.COORDINATOR)
    items = http.get(API, headers=desk).json()["items"]
    (found,) = [one for one in items if one["session_id"] == first.json()["session_id"]]
    assert (found["men"], found["reports_before"], found["reports_after"]) == (41, None, None)
    assert set(found) == {"session_id", "set", "place", "day", "women", "men", "girls", "boys"} | {
        *("reports_before", "reports_after", "days_after_are_over")
    }
    assert http.delete(f"{API}/{found['session_id']}", headers=desk).status_code == 204
    assert http.delete(f"{API}/{found['session_id']}", headers=desk).status_code == 404


MESSAGES = "/intake/v1/awareness/messages"


def asks(http: httpx.Client, number: str, text: str) -> list[str]:
    """Send a text by Telerivet and return the replies in the answer."""
    form = {"event": "incoming_message", "id": uuid4().hex, "content": text, "secret": "invented"}
    answer = http.post("/intake/channels/sms/telerivet", data=form | {"from_number": number})
    return [one["content"] for one in answer.raise_for_status().json()["messages"]]


async def test_a_notice_goes_to_those_who_asked_and_nobody_is_shown(
    context: BrowserContext, page: Page, look: Look, whole_stack: Stack, http: httpx.Client
) -> None:
    numbers = [f"0171200610{n}" for n in range(5)]
    for number in numbers:
        assert asks(http, number, "খবর চাই সিলেট") == [words_of("notices_begun", "bn")]
    await sign_in(context, whole_stack, Role.COORDINATOR)
    await page.goto(f"{whole_stack.origin}/desk/awareness")
    shown = await page.locator("tr").filter(has_text="সিলেট").first.inner_text()
    assert "<" not in shown
    assert "01712" not in await page.content()
    await page.locator("[name=notice]").select_option("online")
    await page.locator("[name=places]").select_option("BD60")
    await page.get_by_role("button", name="পাঠান").click()
    await page.get_by_text("ধীরে ধীরে যাবে").wait_for()
    await look(page, "awareness-notice")
    told = http.get(MESSAGES, headers=whole_stack.bearer(Role.SUPERVISOR))
    items = told.json()["items"]
    assert (items[0]["set"], items[0]["places"]) == ("online", ["BD60"])
    assert "01712" not in told.text
    for number in numbers:
        assert asks(http, number, "STOP") == []


@pytest.mark.parametrize(
    ("other", "rules"),
    [
        ({"set": "nothing"}, {"unknown"}),
        ({"places": [UPAZILA]}, {"not-a-division-or-district"}),
        ({"places": []}, {"too_short"}),
        ({"numbers": ["01712000000"]}, {"extra_forbidden"}),
    ],
)
async def test_a_bad_notice_is_refused(
    whole_stack: Stack, http: httpx.Client, other: dict[str, Any], rules: set[str]
) -> None:
    body = {"set": "online", "places": ["BD60"]} | other
    answer = http.post(MESSAGES, json=body, headers=whole_stack.bearer(Role.COORDINATOR))
    assert answer.status_code == 422
    assert {one["rule"] for one in answer.json()["errors"]} == rules
    assert "01712000000" not in answer.text


async def test_a_notice_is_planned_once_for_a_key(whole_stack: Stack, http: httpx.Client) -> None:
    headers = whole_stack.bearer(Role.SUPERVISOR) | {"idempotency-key": uuid4().hex}
    body = {"set": "school-end", "places": ["BD1004"]}
    first, again = (http.post(MESSAGES, json=body, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.json()["planned"] is None
    items = http.get(MESSAGES, headers=headers).json()["items"]
    (found,) = [one for one in items if one["message_id"] == first.json()["message_id"]]
    assert found["sent"] is found["unknown"] is found["reports_before"] is None
