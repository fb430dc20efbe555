"""Issuers whose tokens count: by OIDC discovery, with what of them becomes our role as data.

A configured issuer (ours, a ministry's Keycloak …) signs people in (`services.intake.sign_in`) and
gives partners' and providers' systems access tokens by client credentials. A token is verified with
the issuer's published keys (JWKS, RFC 7517), which are kept: an issuer that is down stops nobody
whose key is known. Nothing but the mapping gives a role.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx
import jwt
import msgspec

from shared.access import KNOWN, LEEWAY, Caller, caller_of
from shared.errors import Unauthenticated
from shared.telemetry import Log, describe
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.issuers_file import IssuerSettings

SYSTEMS: Final = frozenset({Role.PROVIDER_SYSTEM, Role.PARTNER})
"""Whom an issuer's bearer token may speak for: people have sessions, which can be ended."""

REFRESH: Final = 10.0
"""Seconds between two readings of an issuer's keys at least, whatever unknown keys are named."""

STALE: Final = 300.0
"""Seconds after which keys are read again at the next token, while the known ones still count."""

WITHIN: Final = 10.0
"""Seconds that an issuer has to answer."""

LARGEST: Final = 262_144
"""Bytes of an issuer's document."""

LONGEST: Final = 3600
"""Seconds for which an access token may be valid: one that is valid for longer is refused."""

_log = Log("issuers")


class IssuerAway(Exception):  # noqa: N818  (a state of the world)
    """The issuer does not answer, or not with what the standard says."""


@dataclass(slots=True)
class Issuer:
    """One issuer: what is configured, and what it published when it was last asked."""

    settings: IssuerSettings
    documents: dict[str, Any] = field(default_factory=dict)
    _keys: dict[str, jwt.PyJWK] = field(default_factory=dict)
    _asked_at: float = float("-inf")
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _refreshing: asyncio.Task[None] | None = None

    async def discover(self) -> dict[str, Any]:
        """Return the issuer's metadata (OpenID Connect Discovery 1.0), asked for once.

        Raises:
            IssuerAway: it does not answer, or calls itself otherwise.

        """
        if not self.documents:
            found = await fetch_json(f"{self.settings.issuer}/.well-known/openid-configuration")
            if found.get("issuer") != self.settings.issuer:
                raise IssuerAway("the issuer calls itself otherwise")
            self.documents = found
        return self.documents

    async def verify(self, token: str, audience: str, needs: Sequence[str] = ()) -> dict[str, Any]:
        """Return the claims of a token that this issuer signed for an audience.

        Raises:
            Unauthenticated: it did not, or the token is expired or signed in a way not allowed.

        """
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header["alg"], header["kid"]
            if algorithm not in self.settings.algorithms:  # never none, never a shared secret
                raise Unauthenticated
            key = await self._key(kid)
            return dict(
                jwt.decode(
                    token,
                    key.key,
                    algorithms=[algorithm],
                    audience=audience,
                    issuer=self.settings.issuer,
                    leeway=LEEWAY,
                    options={"require": ["exp", "iat", "iss", "aud", "sub", *needs]},
                )
            )
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            raise Unauthenticated from None

    async def _key(self, kid: str) -> jwt.PyJWK:
        if kid not in self._keys:
            await self._refresh()
        elif time.monotonic() - self._asked_at > STALE and self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh())
            self._refreshing.add_done_callback(lambda _: setattr(self, "_refreshing", None))
        return self._keys[kid]

    async def _refresh(self) -> None:
        """Read the keys, at most so often; when that fails the known ones stay."""
        async with self._lock:
            if time.monotonic() - self._asked_at < REFRESH:
                return
            self._asked_at = time.monotonic()
            try:
                found = await fetch_json((await self.discover())["jwks_uri"])
                self._keys = keys_of(found)
            except (IssuerAway, KeyError) as error:
                _log.warning("issuer-away", error=describe(error))


def keys_of(found: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """Return the public signing keys of a JWKS by id; what is not understood is left out."""
    keys = {}
    for one in found.get("keys") or []:
        try:
            if one["kty"] != "oct" and one.get("use", "sig") == "sig":
                keys[str(one["kid"])] = jwt.PyJWK(one)
        except (jwt.PyJWTError, KeyError, TypeError, AttributeError):
            continue
    return keys


async def fetch_json(url: str) -> dict[str, Any]:
    """Fetch a JSON object over TLS, or from loopback; no redirect is followed.

    Raises:
        IssuerAway: it could not be had.

    """
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
        raise IssuerAway("not https")
    try:
        async with (
            asyncio.timeout(WITHIN),
            httpx.AsyncClient(timeout=WITHIN, trust_env=False) as client,
            client.stream("GET", url) as answer,
        ):
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > LARGEST:
                    raise IssuerAway("too large")
        if answer.status_code != 200:  # noqa: PLR2004
            raise IssuerAway("another answer than 200")
        return msgspec.json.decode(body, type=dict[str, Any])
    except (httpx.HTTPError, OSError, TimeoutError, msgspec.MsgspecError) as error:
        raise IssuerAway(type(error).__name__) from None


def _at(claims: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401  (a claim may be anything)
    """Return a claim by its name, or by a path with dots; None when there is none."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for word in path.split("."):
        found = found.get(word) if isinstance(found, dict) else None
    return found


def map_claims(settings: IssuerSettings, claims: Mapping[str, Any]) -> dict[str, Any]:
    """Turn an issuer's claims into ours: `sub`, `role`, `org`, `places`, `member_of`, `amr` ….

    The first value of the file that the role's claim holds decides. A subject becomes a pseudonym
    that says nothing, and that no other issuer's subject can have; only our own issuer's is one.

    Raises:
        Unauthenticated: the mapping gives no role.

    """
    named = settings.claims
    said = _at(claims, named.role)
    held = {said} if isinstance(said, str) else set(said) if isinstance(said, list) else set()
    role = next((role for value, role in settings.roles.items() if value in held), None)
    if role is None:
        raise Unauthenticated
    subject = str(claims["sub"])
    if not settings.own_subjects:
        subject = hashlib.sha256(f"{settings.issuer}\n{subject}".encode()).hexdigest()[:24]
    methods = claims.get("amr")
    amr = [str(one) for one in methods] if isinstance(methods, list) else []
    return {
        "sub": subject,
        "role": str(role),
        "org": _at(claims, named.org),
        "places": _at(claims, named.places) or [],
        "member_of": _at(claims, named.member_of) or [],
        "auth_time": claims.get("auth_time"),
        "amr": amr + settings.factors.get(str(claims.get("acr")), []),
    }


class Issuers:
    """Every configured issuer; reads bearer tokens of systems."""

    def __init__(self, settings: Sequence[IssuerSettings]) -> None:
        """Ask nobody yet."""
        self.by_name = {one.name: Issuer(one) for one in settings}
        self._by_issuer = {one.settings.issuer: one for one in self.by_name.values()}
        self._known: dict[str, tuple[Caller, float]] = {}

    def speaks(self, token: str) -> bool:
        """Say whether a token claims to be of one of these issuers; proves nothing."""
        return token in self._known or self._claimed(token) is not None

    def _claimed(self, token: str) -> Issuer | None:
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
            return self._by_issuer.get(claims["iss"])
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            return None

    async def read(self, token: str) -> Caller:
        """Return which system a bearer token speaks for.

        Raises:
            Unauthenticated: it is of nobody configured, does not verify, is valid for too long, or
                the mapping gives it no role of a system.

        """
        found = self._known.get(token)
        if found is not None and found[1] > time.time():
            return found[0]
        issuer = self._claimed(token)
        if issuer is None or not issuer.settings.audience:
            raise Unauthenticated
        claims = await issuer.verify(token, issuer.settings.audience)
        if claims["exp"] - claims["iat"] > LONGEST:
            raise Unauthenticated
        caller = caller_of(map_claims(issuer.settings, claims))
        if caller.role not in SYSTEMS:
            raise Unauthenticated
        if len(self._known) >= KNOWN:
            self._known.clear()
        self._known[token] = caller, float(claims["exp"]) + LEEWAY
        return caller
