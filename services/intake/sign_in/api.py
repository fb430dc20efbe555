"""`/sign-in`, `/sign-in/callback`, `/sign-out`, and who is signed in."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from services.intake.sign_in.service import ON_THE_WAY
from shared.access import Caller, require
from shared.access_rules import is_trained
from shared.clock import now
from shared.cookies import cookie_name, is_https
from shared.errors import NotFound, Unauthenticated, Unavailable
from shared.issuers import IssuerAway
from shared.sessions import ENDED_AT, LASTS
from shared.vocabulary import Role

if TYPE_CHECKING:
    from services.intake.sign_in.service import SignIn
    from shared.runtime import Service

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
}

_NOT_IN: Final = """<!doctype html>
<html lang="bn"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>পাশে</title>
<h1>ঢোকা যায়নি</h1>
<p>সময় পেরিয়ে গেছে, অথবা এই অ্যাকাউন্টের এখানে কাজ নেই। <a href="/sign-in">আবার চেষ্টা করুন</a>।</p>
<p lang="en">You are not signed in: it took too long, or this account has no role here.
<a href="/sign-in">Try again</a>.</p>
</html>
"""

LONGEST_PATH: Final = 500
OLDEST: Final = 86_400
"""Seconds: the largest `max_age`."""


def local_path(value: str | None) -> str:
    """Return a path of this origin to go on to; anything else is the first page."""
    if not value or len(value) > LONGEST_PATH or "\\" in value or not value.isprintable():
        return "/"
    parts = urlsplit(value)
    if parts.scheme or parts.netloc or not value.startswith("/") or value.startswith("//"):
        return "/"
    return value


class Cookies:
    """Sets and removes this origin's cookies, as closed as they can be."""

    def __init__(self, url: str) -> None:
        self.session, self.way = cookie_name(url), cookie_name(url, "sign-in")
        self._secure = is_https(url)

    def put(self, response: Response, name: str, value: str, seconds: float) -> None:
        """Set one for so many seconds."""
        response.set_cookie(
            name,
            value,
            max_age=int(seconds),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def drop(self, response: Response, name: str) -> None:
        """Remove one."""
        response.delete_cookie(name, path="/", secure=self._secure, httponly=True, samesite="lax")


def make_router(service: Service, sign_in: SignIn | None) -> APIRouter:
    """Make the routes of signing in and out, and of sessions."""
    router = APIRouter(tags=["sign-in"])
    cookies = Cookies(service.settings.public_url)
    _add_signing_in(router, sign_in, cookies)
    _add_sessions(router, service, sign_in, cookies)
    return router


def _here(sign_in: SignIn | None) -> SignIn:
    if sign_in is None or not sign_in.parties:
        raise NotFound
    return sign_in


def _add_signing_in(router: APIRouter, sign_in: SignIn | None, cookies: Cookies) -> None:
    @router.get("/sign-in", status_code=303, response_model=None)
    async def start(
        issuer: Annotated[str | None, Query(max_length=60)] = None,
        back: Annotated[str | None, Query(alias="next")] = None,
        max_age: Annotated[int | None, Query(ge=0, le=OLDEST)] = None,
    ) -> Response:
        """Send the browser to the issuer; `max_age`: seconds since the last second factor."""
        try:
            here = _here(sign_in)
            address, browser = await here.start(issuer, local_path(back), max_age, now())
        except IssuerAway:
            raise Unavailable from None
        response = RedirectResponse(address, 303, headers=_HEADERS)
        cookies.put(response, cookies.way, browser, ON_THE_WAY.total_seconds())
        return response

    @router.get("/sign-in/callback", status_code=303, response_model=None)
    async def callback(
        request: Request,
        state: Annotated[str, Query(max_length=200)] = "",
        code: Annotated[str, Query(max_length=4000)] = "",
        iss: Annotated[str | None, Query(max_length=500)] = None,
    ) -> Response:
        """Take who comes back from the issuer: a session begins, or a page says that none does."""
        browser = request.cookies.get(cookies.way, "")
        try:
            made, back = await _here(sign_in).finish(state, browser, code, iss, now())
        except Unauthenticated:
            response: Response = HTMLResponse(_NOT_IN, 400, headers=_HEADERS)
        except IssuerAway:
            raise Unavailable from None
        else:
            response = RedirectResponse(back, 303, headers=_HEADERS)
            cookies.put(response, cookies.session, made, LASTS.total_seconds())
        cookies.drop(response, cookies.way)
        return response


def _add_sessions(
    router: APIRouter, service: Service, sign_in: SignIn | None, cookies: Cookies
) -> None:

    @router.post("/sign-out", status_code=303, response_model=None)
    async def sign_out(request: Request) -> Response:
        """End the session of a browser that asks from our own pages; then the issuer's."""
        sessions, sid = service.sessions, None
        if sessions is not None:
            with contextlib.suppress(Unavailable):
                caller = sessions.caller(request)
                sid = caller.session if caller else None
        if sessions is None or sid is None:
            return RedirectResponse("/", 303, headers=_HEADERS)
        response = RedirectResponse(await _here(sign_in).end(sid, now()), 303, headers=_HEADERS)
        await sessions.look()
        cookies.drop(response, cookies.session)
        # Never "storage": what a committee member wrote waits there, sealed, and would be lost.
        response.headers["Clear-Site-Data"] = '"cache"'
        return response

    @router.get("/intake/v1/session", response_model=None)
    async def who(caller: Annotated[Caller, Depends(require(*Role))]) -> Response:
        """Tell callers who they are here, and how they signed in."""
        told = msgspec.to_builtins(
            {
                "subject": caller.subject,
                "role": caller.role,
                "org": caller.org,
                "auth_time": caller.auth_time,
                "amr": caller.amr,
                "by_session": caller.session is not None,
                "trained": is_trained(caller, now()),
            }
        )
        return JSONResponse(told, headers=_HEADERS)

    @router.get(ENDED_AT, response_model=None)
    async def ended() -> Response:
        """List marks of sessions that were ended before their time; a mark tells nothing."""
        marks = await sign_in.ended() if sign_in else frozenset()
        return JSONResponse({"ended": sorted(marks)}, headers=_HEADERS)
