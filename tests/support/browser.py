"""A browser without scripts: follows redirects, keeps cookies, fills in forms of plain HTML."""

from __future__ import annotations

import html
import re
import time
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin
from uuid import uuid4

import httpx
import pyotp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.stack import Stack

_INPUT = re.compile(r"<input\b[^>]*>", re.DOTALL)
_FORM = re.compile(r"<form\b[^>]*>.*?</form>", re.DOTALL)
_WORD = re.compile(r'([\w-]+)="([^"]*)"')

PASSWORD = "an invented pass phrase"


def words_of(tag: str) -> dict[str, str]:
    """Return the attributes of a tag."""
    return {name: html.unescape(value) for name, value in _WORD.findall(tag)}


class Browser:
    """One person's browser at one origin."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        hooks = {"response": [self._trust_loopback]}
        self.client = httpx.AsyncClient(base_url=origin, timeout=60, event_hooks=hooks)
        self.secret = ""
        self.step = 0
        self.codes: list[str] = []

    async def _trust_loopback(self, _: httpx.Response) -> None:
        """Send a Secure cookie to loopback too, as browsers do."""
        for cookie in self.client.cookies.jar:
            cookie.secure = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def follow(self, answer: httpx.Response, until: str = "") -> httpx.Response:
        """Follow redirects, at most ten; stop before an address that holds `until`."""
        for _ in range(10):
            if not answer.is_redirect or (until and until in answer.headers["location"]):
                return answer
            answer = await self.client.get(urljoin(str(answer.url), answer.headers["location"]))
        raise AssertionError("redirected for ever")

    async def submit(self, page: httpx.Response, fields: Mapping[str, str]) -> httpx.Response:
        """Fill in the page's form as a browser does, with its hidden fields, and send it."""
        found = _FORM.search(page.text)
        assert found, page.text
        action = words_of(found[0].split(">", 1)[0])["action"]
        inputs = [words_of(tag) for tag in _INPUT.findall(found[0])]
        values = {i["name"]: i.get("value", "") for i in inputs if "name" in i} | dict(fields)
        return await self.client.post(urljoin(str(page.url), action), data=values)

    async def enrol(self, link: str, password: str = PASSWORD) -> httpx.Response:
        """Enrol by a one-time link; keeps the phone's secret and the recovery codes."""
        page = await self.client.get(link)
        assert page.status_code == 200, page.text
        shown = re.search(r"<code>([A-Z2-7 ]+)</code>", page.text)
        assert shown
        self.secret = shown[1].replace(" ", "")
        words = {"password": password, "again": password, "code": self.code()}
        done = await self.submit(page, words)
        self.codes = re.findall(r"<code>([A-Z0-9-]+)</code>", done.text)
        return done

    def code(self) -> str:
        """Return the phone's code of now; the next one when that of now was given already.

        A code holds for a step before and after its own, so that neither is too early nor late.
        """
        self.step = max(self.step + 1, int(time.time()) // 30)
        return pyotp.TOTP(self.secret).generate_otp(self.step)

    async def to_form(self, path: str = "/sign-in?next=/intake/v1/session") -> httpx.Response:
        """Start signing in, and return the issuer's form."""
        page = await self.follow(await self.client.get(path))
        assert page.status_code == 200, page.text
        return page

    async def sign_in(
        self, login: str, code: str | None = None, path: str = "/sign-in?next=/intake/v1/session"
    ) -> httpx.Response:
        """Sign in from the start to the page one comes to."""
        page = await self.to_form(path)
        words = {"login": login, "password": PASSWORD, "code": code or self.code()}
        return await self.follow(await self.submit(page, words))


def invite(stack: Stack, role: str, *words: str) -> tuple[str, str]:
    """Return a new name and its one-time link, printed by the command."""
    login = f"{role.split('_', maxsplit=1)[0]}.{uuid4().hex[:8]}"
    return login, stack.pashe("sign-in", role, "--name", login, *words).strip()


async def enrolled(stack: Stack, browser: Browser, role: str, *words: str) -> str:
    """Invite somebody and choose password and phone in this browser; return the name."""
    login, link = invite(stack, role, *words)
    done = await browser.enrol(link)
    assert len(browser.codes) == 8, done.text
    return login
