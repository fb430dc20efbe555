"""Who signed in learns first: reads, answers, is told why not, passes; without a network too."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from services.intake.learning.modules import find_module
from shared.vocabulary import Role
from tests.browser.signing_in import sign_in
from tests.support.browser import Browser, enrolled

if TYPE_CHECKING:
    import httpx
    from playwright.async_api import Browser as Chromium
    from playwright.async_api import BrowserContext, Page

    from services.intake.learning.modules import Module
    from tests.browser.look import Look
    from tests.support.stack import Stack


@pytest.fixture
def module() -> Module:
    found = find_module("bn", "safeguarding")
    assert found is not None
    return found


async def test_nobody_sees_the_desk_before_the_module_and_it_needs_no_script(
    browser: Chromium, whole_stack: Stack, module: Module
) -> None:
    context = await browser.new_context(java_script_enabled=False, locale="bn-BD")
    page = await context.new_page()
    await sign_in(context, whole_stack, Role.COORDINATOR, subject="new", trained=False)
    cases = await context.request.get(f"{whole_stack.origin}/intake/v1/cases?limit=1")
    assert (await cases.json())["items"] == []
    for room in ("/desk", "/desk/team", "/history"):
        await page.goto(f"{whole_stack.origin}{room}")
        assert page.url == f"{whole_stack.origin}/learning", room
    await page.get_by_role("link", name=module.title).click()
    for number in range(len(module.questions)):
        await page.locator(f"[name=q{number}][value='{1 if number else 0}']").check()
    await page.get_by_role("button", name="উত্তর দিন").click()
    wrong = [n for n, one in enumerate(module.questions) if one.right != (1 if n else 0)]
    assert wrong
    for number, question in enumerate(module.questions):
        assert await page.get_by_text(question.why).count() == (number in wrong)
    for number, question in enumerate(module.questions):
        await page.locator(f"[name=q{number}][value='{question.right}']").check()
    await page.get_by_role("button", name="উত্তর দিন").click()
    assert page.url.endswith("/learning/safeguarding/passed")
    certificate = await page.locator("code").text_content()
    asked = await context.request.post(
        f"{whole_stack.origin}/intake/v1/training/certificates/check",
        data={"certificate": certificate},
        headers={"origin": whole_stack.origin},
    )
    told = await asked.json()
    assert (told["valid"], told["subject"], told["module"]) == (True, "new", "safeguarding")
    await page.get_by_role("link", name="কাজে যান").click()
    assert page.url == f"{whole_stack.origin}/desk"
    await context.close()


async def test_the_room_looks_as_every_page_does(
    context: BrowserContext, page: Page, look: Look, whole_stack: Stack
) -> None:
    await sign_in(context, whole_stack, Role.PROVIDER_WORKER, "example", "w", trained=False)
    await page.goto(f"{whole_stack.origin}/provider")
    await look(page, "learning")
    async with page.expect_navigation():
        await page.get_by_role("link", name="1.").or_(page.locator("main h2 a").first).first.click()
    await look(page, "learning-module")
    async with page.expect_navigation():
        await page.get_by_role("button", name="উত্তর দিন").click()
    await look(page, "learning-again")
    await context.clear_cookies()
    await sign_in(context, whole_stack, Role.SUPERVISOR, subject="sv")
    await page.goto(f"{whole_stack.origin}/desk/training")
    await look(page, "desk-training")


async def test_a_member_learns_without_a_network(
    context: BrowserContext, page: Page, look: Look, whole_stack: Stack, module: Module
) -> None:
    member = f"m{uuid4().hex[:8]}"
    await sign_in(context, whole_stack, Role.COMMITTEE_MEMBER, subject=member, trained=False)
    await page.goto(f"{whole_stack.origin}/committee")
    await page.locator("#learn-first").wait_for()
    await page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
    await page.reload()
    await context.set_offline(True)
    await page.reload()
    form = page.locator("form[data-module=safeguarding]")
    await page.locator("details.module").first.locator("summary").click()
    for number, question in enumerate(module.questions):
        await form.locator(f"[name=q{number}][value='{question.right}']").check()
    await form.get_by_role("button").click()
    await form.get_by_text("নেটওয়ার্ক এলে দেখা হবে").wait_for()
    await look(page, "committee-module")
    await context.set_offline(False)
    await page.locator("#sync").click()
    await form.get_by_text("শেষ হয়েছে।").wait_for()
    await page.locator("#learn-first").wait_for(state="hidden")
    session = await context.request.get(f"{whole_stack.origin}/intake/v1/session")
    assert (await session.json())["trained"] is True


async def test_what_was_passed_is_known_at_the_next_signing_in_and_counted(
    whole_stack: Stack, http: httpx.Client, module: Module
) -> None:
    place = "BD20030014"
    async with Browser(whole_stack.origin) as one:
        login = await enrolled(whole_stack, one, "coordinator", "--place", place)
        told = (await one.sign_in(login)).json()
        assert told["trained"] is False
        assert (await one.client.get("/desk")).headers["location"] == "/learning"
        own = (await one.client.get("/intake/v1/training")).json()
        assert (own["needs"], own["trained"]) == ("safeguarding", False)
        line = f"{own['subject']},safeguarding,2026-11-01\nx,unknown,2026-11-01\n"
        taken = http.post(
            "/intake/v1/training/completions",
            content=f"subject,module,passed_on\n{line}",
            headers={**whole_stack.bearer(Role.SUPERVISOR), "content-type": "text/csv"},
        ).json()
        assert taken == {
            "taken": 1,
            "refused": 1,
            "lines": [{"line": 3, "rule": "unknown-module"}],
        }
        again = await one.follow(await one.client.get("/sign-in?next=/intake/v1/session"))
        assert again.json()["trained"] is True
        assert (await one.client.get("/desk")).status_code == 200
    found = http.get(
        "/intake/v1/training/coverage", headers=whole_stack.bearer(Role.SUPERVISOR)
    ).json()["items"]
    [here] = [one for one in found if one["place"] == place and one["role"] == "coordinator"]
    assert (here["people"], here["trained"]) == (1, 1)
    refused = http.get(
        "/intake/v1/training/coverage", headers=whole_stack.bearer(Role.COMMITTEE_MEMBER)
    )
    assert refused.status_code == 403
    right = [question.right for question in module.questions]
    for body in ({"answers": right[:-1]}, {"answers": [*right[:-1], 9]}, {"answers": "x"}, {}):
        answer = http.post(
            "/intake/v1/training/modules/safeguarding",
            json=body,
            headers=whole_stack.bearer(Role.COORDINATOR),
        )
        assert answer.status_code == 422, body
    assert (
        http.post(
            "/intake/v1/training/modules/nothing",
            json={"answers": []},
            headers=whole_stack.bearer(Role.COORDINATOR),
        ).status_code
        == 404
    )
