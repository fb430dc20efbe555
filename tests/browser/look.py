"""What every page is held to: `await look(page, "name")` after it was opened.

axe finds nothing, in both themes; nothing is wider than 360 px; nothing came from elsewhere; the
policy allows nothing inline. With PASHE_SCREENSHOTS a picture of each theme, on a phone and a desk.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from tests.support.glossary import forbidden

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page, Request, Response, ViewportSize

AXE: Final = (Path(__file__).parent / "axe" / "axe.min.js").read_text("utf-8")
PHONE: Final[ViewportSize] = {"width": 360, "height": 740}
DESK: Final[ViewportSize] = {"width": 1280, "height": 800}
THEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")

_ASK_AXE: Final = """async () => {
  const rules = {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa",
    "best-practice"]};
  const found = await axe.run(document, rules);
  return found.violations.map(
    v => v.id + ": " + v.nodes.map(n => n.html.slice(0, 160)).join(" | "));
}"""

_WIDER: Final = """() => {
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= wide) return [];
  return [...document.querySelectorAll("body *")]
    .filter(e => e.getBoundingClientRect().right > wide + 1)
    .map(e => e.outerHTML.slice(0, 120)).slice(0, 5).concat(["wider than the screen"]);
}"""

_TEXT: Final = "() => document.title + ' ' + document.body.innerText"
_INLINE: Final = (
    "() => [...document.querySelectorAll("  # a picture leaves empty ones behind
    "'[style]:not([style=\"\"]), style, script:not([src]), [onclick]')]"
    ".map(e => e.outerHTML.slice(0, 120))"
)


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

    async def __call__(self, page: Page, name: str, *, public: bool = False) -> None:
        """Assert what every page promises; `name` is that of the picture."""
        before = page.viewport_size or PHONE
        await self._holds(page, public=public)
        for theme in THEMES:
            await page.emulate_media(color_scheme=theme)
            await page.evaluate("scrollTo(0, 0)")
            # By the protocol: the page's own policy lets no script in that is not ours.
            await page.evaluate(AXE)
            found = await page.evaluate(_ASK_AXE)
            assert not found, f"{name}, {theme}: {found}"
            await self._picture(page, f"{name}-{theme}")
        await page.emulate_media(color_scheme="light")
        await page.set_viewport_size(before)

    async def _holds(self, page: Page, *, public: bool) -> None:
        await page.set_viewport_size(PHONE)
        wider = await page.evaluate(_WIDER)
        assert not wider, f"{page.url}: {wider}"
        inline = await page.evaluate(_INLINE)
        assert not inline, f"{page.url}: {inline}"
        here = urlsplit(page.url).netloc
        for request in self.requests:
            assert urlsplit(request.url).netloc == here or request.url.startswith("data:"), request
        for response in self.responses:
            if response.request.resource_type == "document" and response.status != 303:
                policy = response.headers.get("content-security-policy", "")
                assert "default-src 'none'" in policy, response.url
                assert "unsafe" not in policy, response.url
        words = forbidden(await page.evaluate(_TEXT), page.url, public=public)
        assert not words, f"{page.url}: {words}"

    async def _picture(self, page: Page, name: str) -> None:
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for place, size in (("phone", PHONE), ("desk", DESK)):
            await page.set_viewport_size(size)
            await page.screenshot(path=self.folder / f"{name}-{place}.png", full_page=True)
        await page.set_viewport_size(PHONE)
