"""What every page is held to: `await look(page, "name")` after it was opened.

axe finds nothing and every text has contrast, in both themes; nothing is wider than 360 px, nor cut
or overlapping at half of that or of a desk's width (a zoom of 200 %); it can be told apart in the
system's own colours, stands still when asked to, and is fit to be printed; nothing came from
elsewhere; the policy allows nothing inline; no forbidden word, and no code word in Bangla. With
PASHE_SCREENSHOTS a picture of each theme, on a phone and a desk.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from tests.browser import sights
from tests.support.glossary import forbidden
from tests.support.screens import codes_in

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page, Request, Response, ViewportSize

AXE: Final = (Path(__file__).parent / "axe" / "axe.min.js").read_text("utf-8")
PHONE: Final[ViewportSize] = {"width": 360, "height": 740}
DESK: Final[ViewportSize] = {"width": 1280, "height": 800}
ZOOMED: Final[tuple[ViewportSize, ...]] = (
    {"width": 640, "height": 400},
    {"width": 320, "height": 480},
)
"""A desk at 200 and at 400 % (WCAG 2.2, 1.4.4 and 1.4.10)."""

PHONE_ZOOMED: Final[ViewportSize] = {"width": 180, "height": 370}
"""A cheap phone at 200 %, for the pages that anybody may open."""

THEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")


class Look:
    """Looks at pages; `folder` is where pictures go, None for none."""

    def __init__(self, context: BrowserContext) -> None:
        self.requests: list[Request] = []
        self.responses: list[Response] = []
        # Playwright marks what it is given, and a list's own method takes no mark.
        context.on("request", lambda one: self.requests.append(one))  # noqa: PLW0108
        context.on("response", lambda one: self.responses.append(one))  # noqa: PLW0108
        told = os.environ.get("PASHE_SCREENSHOTS")
        self.folder = Path(told).absolute() if told else None

    async def __call__(
        self, page: Page, name: str, *, public: bool = False, plain: bool = False
    ) -> None:
        """Assert what every page promises; `name` is that of the picture.

        A `plain` page has one theme, both languages at once, and nothing made for paper.
        """
        before = page.viewport_size or PHONE
        await self._holds(page, public=public)
        await self._zoomed(page, name, public=public)
        if not plain:
            await self._adapted(page, name)
        await page.evaluate(AXE)
        for theme in THEMES:
            await page.emulate_media(color_scheme=theme)
            await page.evaluate("scrollTo(0, 0)")
            found = await page.evaluate(sights.AXE, theme != THEMES[0])  # then its colours differ
            found += await page.evaluate(sights.PALE)
            assert not found, f"{name}, {theme}: {found}"
            await self._picture(page, f"{name}-{theme}")
        await page.emulate_media(color_scheme="light")
        await page.set_viewport_size(before)

    async def _holds(self, page: Page, *, public: bool) -> None:
        await page.set_viewport_size(PHONE)
        wider = await page.evaluate(sights.WIDER)
        assert not wider, f"{page.url}: {wider}"
        inline = await page.evaluate(sights.INLINE)
        assert not inline, f"{page.url}: {inline}"
        here = urlsplit(page.url).netloc
        for request in self.requests:
            assert urlsplit(request.url).netloc == here or request.url.startswith("data:"), request
        for response in self.responses:
            if response.request.resource_type == "document" and response.status != 303:
                policy = response.headers.get("content-security-policy", "")
                assert "default-src 'none'" in policy, response.url
                assert "unsafe" not in policy, response.url
        words = forbidden(await page.evaluate(sights.TEXT), page.url, public=public)
        words += codes_in(await page.evaluate(sights.BANGLA))
        assert not words, f"{page.url}: {words}"

    async def _zoomed(self, page: Page, name: str, *, public: bool) -> None:
        for size in (*ZOOMED, *([PHONE_ZOOMED] if public else []), PHONE):
            await page.set_viewport_size(size)
            await page.evaluate("scrollTo(0, 0)")
            for sight in (sights.WIDER, sights.CUT, sights.OVERLAPPING):
                found = await page.evaluate(sight)
                assert not found, f"{name} at {size['width']} px: {found}"

    async def _adapted(self, page: Page, name: str) -> None:
        await page.emulate_media(forced_colors="active")
        bare = await page.evaluate(sights.BARE)
        assert not bare, f"{name} in the system's colours: {bare}"
        await page.emulate_media(forced_colors="none", reduced_motion="reduce")
        moving = await page.evaluate(sights.MOVING)
        assert not moving, f"{name} without motion: {moving}"
        for theme in THEMES:
            await page.emulate_media(
                media="print", color_scheme=theme, reduced_motion="no-preference"
            )
            printed = await page.evaluate(sights.PRINTED) + await page.evaluate(sights.PALE)
            assert not printed, f"{name} on paper, {theme}: {printed}"
        await page.emulate_media(media="null")  # paper is paper again

    async def _picture(self, page: Page, name: str) -> None:
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for place, size in (("phone", PHONE), ("desk", DESK)):
            await page.set_viewport_size(size)
            await page.screenshot(path=self.folder / f"{name}-{place}.png", full_page=True)
        await page.set_viewport_size(PHONE)
