"""The issuer's HTTP: discovery, keys, the two endpoints of OAuth, people's pages."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from anyio import to_thread
from authlib.oauth2 import OAuth2Error
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from deploy.local.issuer.clients import Asked
from deploy.local.issuer.discovery import metadata_of
from deploy.local.issuer.inviting import invite
from deploy.local.issuer.keys import ALGORITHM
from deploy.local.issuer.pages import HEADERS, STYLE, TooLarge, picture_of, read_form, show
from deploy.local.issuer.people import BROWSER, DEVICE, Attempt, People, Wait
from deploy.local.issuer.secrecy import Busy
from shared.clock import now
from shared.cookies import cookie_name, is_https

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

    from deploy.local.issuer.clients import Client
    from deploy.local.issuer.keys import Keys
    from deploy.local.issuer.protocol import Server
    from deploy.local.issuer.store import SignedIn

FORM: Final = timedelta(minutes=30)
"""How long a form may be filled in."""


@dataclass(slots=True)
class Issuer:
    """The routes of one issuer; `url` is its address, whose path every route is below."""

    url: str
    start: str
    server: Server
    people: People
    keys: Keys
    desk: Client

    @property
    def base(self) -> str:
        """The path below which everything is."""
        return urlsplit(self.url).path

    def _name(self, what: str) -> str:
        return cookie_name(self.url, f"accounts-{what}")

    def _put(self, response: Response, what: str, value: str, lasts: timedelta) -> None:
        response.set_cookie(
            self._name(what),
            value,
            max_age=int(lasts.total_seconds()),
            path="/",
            secure=is_https(self.url),
            httponly=True,
            samesite="lax",
        )

    async def _form(
        self,
        request: Request,
        page: str,
        status: int = 200,
        **values: Any,  # noqa: ANN401
    ) -> Response:
        """Show a form with a new key, which is good once and in this browser."""
        visitor = request.cookies.get(self._name("visitor")) or secrets.token_urlsafe(24)
        key = secrets.token_urlsafe(24)
        await self.people.store.add_form_key(key, visitor, FORM)
        response = show(page, status, base=self.base, key=key, **values)
        self._put(response, "visitor", visitor, timedelta(days=1))
        return response

    async def _is_ours(self, request: Request, form: dict[str, str]) -> bool:
        visitor = request.cookies.get(self._name("visitor"), "")
        return await self.people.store.use_form_key(form.get("key", ""), visitor)

    async def metadata(self, _: Request) -> Response:
        """Tell where everything is (OpenID Connect Discovery 1.0)."""
        return JSONResponse(metadata_of(self.url))

    async def jwks(self, _: Request) -> Response:
        """Tell the public keys."""
        return JSONResponse(self.keys.published(), headers={"Cache-Control": "max-age=300"})

    async def token(self, request: Request) -> Response:
        """Answer the token endpoint."""
        asked = Asked("POST", f"{self.url}/token", await read_form(request), request.headers)
        found: Response = await to_thread.run_sync(self.server.create_token_response, asked)
        found.headers["Cache-Control"] = "no-store"
        return found

    async def userinfo(self, request: Request) -> Response:
        """Tell what an account is, to who has its access token."""
        _, _, token = request.headers.get("authorization", "").partition(" ")
        public = {key["kid"]: jwt.PyJWK(key) for key in self.keys.published()["keys"]}
        try:
            claims = jwt.decode(
                token,
                public[jwt.get_unverified_header(token)["kid"]].key,
                algorithms=[ALGORITHM],
                audience=f"{self.url}/userinfo",
                issuer=self.url,
            )
        except (jwt.PyJWTError, KeyError):
            why = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            return JSONResponse({"error": "invalid_token"}, 401, why)
        return JSONResponse(claims["account"], headers={"Cache-Control": "no-store"})

    async def authorize(self, request: Request) -> Response:
        """Sign somebody in, or go on at once where the browser is signed in and that is enough."""
        if request.method == "POST":
            form = dict(await read_form(request))
            return await self._sign_in(request, form)
        pairs = list(request.query_params.multi_items())
        cookie = request.cookies.get(self._name("browser"), "")
        who = await self.people.store.find_browser(cookie) if cookie else None
        who = who if who and _is_enough(who, dict(pairs)) else None
        return await self._answer(request, pairs, who, urlencode(pairs))

    async def _answer(
        self, request: Request, pairs: list[tuple[str, str]], who: SignedIn | None, asked: str
    ) -> Response:
        """Answer an authorization request: a code, the form, or why not."""
        message = Asked("GET", f"{self.url}/authorize", pairs, request.headers)

        def decide() -> Response | None:
            grant = self.server.get_consent_grant(message, end_user=who)
            if grant.prompt:
                return None
            made: Response = self.server.create_authorization_response(message, who, grant)
            return made

        try:
            found = await to_thread.run_sync(decide)
        except OAuth2Error as error:
            if not error.redirect_uri:  # who asks is not known: nobody is sent anywhere
                return show("refused", 400, base=self.base, start=self.start)
            found = self.server.handle_error_response(message, error)
        if found is None:
            return await self._form(request, "sign-in", asked=asked, login="")
        return RedirectResponse(found.headers["location"], 303, headers=HEADERS)

    async def _sign_in(self, request: Request, form: dict[str, str]) -> Response:
        asked, login = form.get("asked", ""), form.get("login", "")
        again = {"asked": asked, "login": login}
        if not await self._is_ours(request, form):
            return await self._form(request, "sign-in", 400, note="stale", **again)
        device = request.cookies.get(self._name("device"), "")
        address = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        tried = Attempt(
            login, form.get("password", ""), form.get("code", ""), device, address or "unknown"
        )
        try:
            who = await self.people.sign_in(tried, now())
        except Wait as wait:
            return await self._form(request, "sign-in", 429, wait=wait.seconds, **again)
        except Busy:
            return await self._form(request, "sign-in", 503, note="busy", **again)
        if who is None:
            return await self._form(request, "sign-in", 401, note="wrong", **again)
        pairs = [pair for pair in parse_qsl(asked) if pair[0] != "prompt"]
        response = await self._answer(request, pairs, who, asked)
        browser, device = secrets.token_urlsafe(32), device or secrets.token_urlsafe(32)
        await self.people.store.add_browser(browser, who, BROWSER)
        if not await self.people.store.is_device(device, who.account.login):
            device = secrets.token_urlsafe(32)
            await self.people.store.add_device(device, who.account.id, DEVICE)
        self._put(response, "browser", browser, BROWSER)
        self._put(response, "device", device, DEVICE)
        return response

    async def enrol(self, request: Request) -> Response:
        """Let somebody with a one-time link choose a password and bind their phone."""
        link = str(request.path_params["link"])
        note = ""
        if request.method == "POST":
            form = dict(await read_form(request))
            password, twice, code = (form.get(n, "") for n in ("password", "again", "code"))
            if not await self._is_ours(request, form):
                note = "stale"
            else:
                try:
                    done = await self.people.enrol(link, password, twice, code, now())
                except Busy:
                    done = "busy"
                if isinstance(done, list):
                    return show("enrolled", codes=done, base=self.base, start=self.start)
                note = done
        found = await self.people.invited(link)
        if found is None:
            return show("gone", 404, base=self.base)
        account, secret = found
        uri = f"otpauth://totp/{account.login}?secret={secret}&issuer=Pashe"
        words_of = " ".join(secret[n : n + 4] for n in range(0, len(secret), 4))
        return await self._form(
            request,
            "enrol",
            422 if note else 200,
            account=account,
            link=link,
            secret=words_of,
            picture=picture_of(uri),
            note=note,
        )

    async def end_session(self, request: Request) -> Response:
        """Sign a browser out: at once when it says which session, else after a question."""
        cookie = request.cookies.get(self._name("browser"), "")
        who = await self.people.store.find_browser(cookie) if cookie else None
        if request.method == "POST":
            form = dict(await read_form(request))
            sure, back = await self._is_ours(request, form), form.get("back", "")
        else:
            asked = request.query_params
            back = asked.get("post_logout_redirect_uri", "")
            sure = who is None or asked.get("logout_hint") == who.sid
        if not sure:
            return await self._form(request, "sign-out", back=back)
        await self.people.store.drop_browser(cookie)
        home = self.start.rsplit("/", 1)[0] + "/"
        response = RedirectResponse(back if back == home else home, 303, headers=HEADERS)
        response.delete_cookie(self._name("browser"), path="/", secure=is_https(self.url))
        return response

    async def invite(self, request: Request) -> Response:
        """Make an account of a place of help, for the desk's client alone."""
        return await invite(request, self.desk, self.people, self.url)

    async def style(self, _: Request) -> Response:
        """Tell how the pages look."""
        return Response(STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})


def _is_enough(who: SignedIn, asked: dict[str, str]) -> bool:
    """Say whether somebody signed in lately enough for what is asked."""
    if "login" in asked.get("prompt", "").split():
        return False
    oldest = asked.get("max_age", "")
    return not oldest.isdigit() or now().timestamp() - who.auth_time <= int(oldest)


def make_app(issuer: Issuer, life: Callable[[], Any]) -> Starlette:
    """Make the application; `life` is a context manager around its life."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with life():
            yield

    async def ready(_: Request) -> Response:
        return PlainTextResponse(
            "ready" if issuer.keys.all else "", 200 if issuer.keys.all else 503
        )

    async def too_large(_: Request, __: Exception) -> Response:
        return PlainTextResponse("", 413)

    both = ["GET", "POST"]
    routes: list[tuple[str, Callable[[Request], Awaitable[Response]], list[str]]] = [
        ("/.well-known/openid-configuration", issuer.metadata, ["GET"]),
        ("/jwks", issuer.jwks, ["GET"]),
        ("/authorize", issuer.authorize, both),
        ("/token", issuer.token, ["POST"]),
        ("/userinfo", issuer.userinfo, both),
        ("/end-session", issuer.end_session, both),
        ("/enrol/{link}", issuer.enrol, both),
        ("/invitations", issuer.invite, ["POST"]),
        ("/style.css", issuer.style, ["GET"]),
    ]
    return Starlette(
        routes=[
            *(Route(issuer.base + path, act, methods=how) for path, act, how in routes),
            Route("/ready", ready),
        ],
        lifespan=lifespan,
        exception_handlers={TooLarge: too_large},
    )
