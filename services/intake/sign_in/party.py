"""The relying party: what is asked of an issuer, and what its answer must be (OIDC Core 1.0, 3.1).

Code with PKCE (S256), state, nonce; the code is exchanged with the client's secret. Authlib builds
and reads the messages and checks the claims of an ID token; its signature is checked by the same
rules as every other token's (`shared.issuers`).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import httpx
import jwt
import msgspec
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from shared.access import LEEWAY, PROVIDERS
from shared.errors import Conflict, SettingsError, Unauthenticated
from shared.issuers import WITHIN, Issuer, IssuerAway, map_claims
from shared.vocabulary import Role

if TYPE_CHECKING:
    from services.intake.sign_in.store import OnTheWay

SCOPE: Final = "openid"

CALLBACK: Final = "/sign-in/callback"

_NEVER: Final = frozenset({Role.SERVICE, Role.PROVIDER_SYSTEM})
"""Roles that no person has."""


class RelyingParty:
    """Speaks with one issuer as its client."""

    def __init__(self, issuer: Issuer, public_url: str) -> None:
        """Read the client's secret.

        Raises:
            SettingsError: its file cannot be read, or is empty.

        """
        self.issuer = issuer
        self.settings = issuer.settings
        self.redirect_uri = public_url + CALLBACK
        try:
            secret = Path(self.settings.client_secret_file).read_text("utf-8").strip()
        except OSError:
            secret = ""
        if not secret:
            message = f"the client_secret_file of issuer {self.settings.name} cannot be read"
            raise SettingsError(message)
        self._auth = ClientAuth(self.settings.client_id, secret, "client_secret_basic")

    async def address(self, state: str, way: OnTheWay) -> str:
        """Return where to send somebody's browser.

        Raises:
            IssuerAway: the issuer does not answer.

        """
        documents = await self.issuer.discover()
        extra = {} if way.max_age is None else {"max_age": way.max_age}
        found: str = prepare_grant_uri(
            _of(documents, "authorization_endpoint"),
            self.settings.client_id,
            "code",
            redirect_uri=self.redirect_uri,
            scope=SCOPE,
            state=state,
            nonce=way.nonce,
            code_challenge=create_s256_code_challenge(way.verifier),
            code_challenge_method="S256",
            **extra,
        )
        return found

    async def redeem(self, code: str, way: OnTheWay) -> dict[str, Any]:
        """Exchange a code, and return our claims of who signed in, with the issuer's own `sid`.

        Raises:
            Unauthenticated: the issuer refused the code, or its answer does not hold, or the
                mapping gives no role.
            IssuerAway: it does not answer.

        """
        tokens = await self._exchange(code, way.verifier)
        claims = await self.issuer.verify(
            str(tokens.get("id_token")), self.settings.client_id, needs=("nonce",)
        )
        params = {
            "nonce": way.nonce,
            "client_id": self.settings.client_id,
            "access_token": tokens.get("access_token"),
            "max_age": way.max_age,
        }
        header = _header_of(str(tokens["id_token"]))
        try:
            CodeIDToken(claims, header, params=params).validate(leeway=LEEWAY)
        except (JoseError, AuthlibBaseError):
            raise Unauthenticated from None
        since = claims.get("auth_time")
        if way.max_age is not None and (
            not isinstance(since, int) or since < time.time() - way.max_age - LEEWAY
        ):
            raise Unauthenticated
        mapped = map_claims(self.settings, claims)
        if mapped["role"] in _NEVER or (mapped["role"] in PROVIDERS and not mapped["org"]):
            raise Unauthenticated
        sid = claims.get("sid")
        return {**mapped, "issuer_sid": sid if isinstance(sid, str) else None}

    async def _exchange(self, code: str, verifier: str) -> dict[str, Any]:
        url = _of(await self.issuer.discover(), "token_endpoint")
        body = prepare_token_request(
            "authorization_code",
            redirect_uri=self.redirect_uri,
            code=code,
            code_verifier=verifier,
        )
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        url, headers, body = self._auth.prepare("POST", url, headers, body)
        try:
            async with httpx.AsyncClient(timeout=WITHIN, trust_env=False) as client:
                answer = await client.post(url, content=body, headers=headers)
            if answer.status_code >= 500:  # noqa: PLR2004
                raise IssuerAway("the token endpoint failed")
            if answer.status_code != 200:  # noqa: PLR2004
                raise Unauthenticated
            return msgspec.json.decode(answer.content, type=dict[str, Any])
        except (httpx.HTTPError, OSError, msgspec.MsgspecError) as error:
            raise IssuerAway(type(error).__name__) from None

    async def invite(self, provider_id: str, *, login: str, subject: str) -> tuple[str, str] | None:
        """Ask for an account of a place of help's worker; None where the issuer makes none for us.

        Its subject, and the address at which its person enrols, once, within a day.

        Raises:
            Conflict: the name is somebody's. IssuerAway: the issuer does not answer.

        """
        url = (await self.issuer.discover()).get("invitation_endpoint")
        if not isinstance(url, str):
            return None
        words = {"login": login, "subject": subject, "org": provider_id}
        told = {"Content-Type": "application/x-www-form-urlencoded"}
        url, headers, body = self._auth.prepare("POST", url, told, urlencode(words))
        try:
            async with httpx.AsyncClient(timeout=WITHIN, trust_env=False) as client:
                answer = await client.post(url, content=body, headers=headers)
            if answer.status_code == 409:  # noqa: PLR2004
                raise Conflict("this name is taken", why="name")
            if answer.status_code != 201:  # noqa: PLR2004
                raise IssuerAway("no account was made")
            made = msgspec.json.decode(answer.content, type=dict[str, str])
            return made["subject"], made["link"]
        except (httpx.HTTPError, OSError, msgspec.MsgspecError, KeyError) as error:
            raise IssuerAway(type(error).__name__) from None

    async def goodbye(self, issuer_sid: str | None, back: str) -> str | None:
        """Return where the browser signs out of the issuer too, if it has such a place."""
        try:
            url = (await self.issuer.discover()).get("end_session_endpoint")
        except IssuerAway:
            return None
        if not isinstance(url, str):
            return None
        words = {"client_id": self.settings.client_id, "post_logout_redirect_uri": back}
        if issuer_sid:
            words["logout_hint"] = issuer_sid
        return str(httpx.URL(url).copy_merge_params(words))


def _of(documents: dict[str, Any], name: str) -> str:
    found = documents.get(name)
    if not isinstance(found, str):
        raise IssuerAway("an endpoint is missing")
    return found


def _header_of(token: str) -> dict[str, Any]:
    return dict(jwt.get_unverified_header(token))
