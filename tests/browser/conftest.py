"""One Chromium a worker, and a page for each test; says what to install where there is none.

`PASHE_SCREENSHOTS` names a folder: then `inspect` leaves a picture of every page it looked at.
"""

from __future__ import annotations

import os
import shutil
from inspect import iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from tests.browser.desk_room import Room
from tests.browser.look import Look

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import httpx
    from playwright.async_api import Browser, BrowserContext, Page

    from tests.support.stack import Stack

MISSING = (
    "no Chromium here: apt-get install chromium-headless-shell fonts-noto-core (Debian), "
    "or set PASHE_CHROMIUM"
)
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""What Debian, Ubuntu and Fedora call it; the shell opens a page with a third of the CPU."""


def find_chromium() -> str | None:
    """Return the browser: PASHE_CHROMIUM, else the first that is installed."""
    names = (told,) if (told := os.environ.get("PASHE_CHROMIUM")) else NAMES
    return next((found for name in names if (found := shutil.which(name))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of this folder in one event loop: a browser belongs to the loop it began in."""
    for item in items:
        here = Path(__file__).parent in item.path.parents
        if here and iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    found = find_chromium()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    async with async_playwright() as playwright:
        # The browser's own sandbox needs a kernel that grants it; these pages are ours.
        running = await playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A cheap phone: 360 px wide."""
    made = await browser.new_context(viewport={"width": 360, "height": 740}, locale="bn-BD")
    made.set_default_timeout(20_000)
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="session")
async def other(browser: Browser) -> AsyncIterator[BrowserContext]:
    """Somebody else's phone."""
    made = await browser.new_context(viewport={"width": 360, "height": 740}, locale="bn-BD")
    made.set_default_timeout(20_000)
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> Page:
    return await context.new_page()


@pytest.fixture
def http(whole_stack: Stack) -> Iterator[httpx.Client]:
    """Whoever asks the origin without a browser."""
    with whole_stack.client(timeout=30) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def look(context: BrowserContext) -> Look:
    """What every page is held to; it hears every request of the context."""
    return Look(context)


@pytest.fixture(scope="session")
def room(whole_stack: Stack) -> Iterator[Room]:
    """The desk of the stack, with somebody on duty."""
    with whole_stack.client(timeout=30) as client:
        made = Room(whole_stack, client)
        made.on_duty()
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def coordinator(context: BrowserContext, page: Page, room: Room) -> Page:
    """A coordinator's page: by a token, which is quicker than to enrol."""
    await context.set_extra_http_headers(room.desk)
    return page
