"""Sessions of people in a browser: a short signed cookie that every service verifies by itself.

Intake signs a session when somebody signed in (`services.intake.sign_in`); the others know its
public key. A session ends by its time, or by `POST /sign-out`: intake lists what was ended, every
service asks for the list several times a minute, and none takes a session while its list is older
than a minute. So an ended session is of no use anywhere a minute later, whatever is down.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.access import KNOWN, LEEWAY, Caller, caller_of
from shared.cookies import cookie_name
from shared.errors import Unauthenticated, Unavailable
from shared.telemetry import Log, describe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

AUDIENCE: Final = "pashe-session"
"""The `aud` of a session: it is no bearer token, and a bearer token is no session."""

LASTS: Final = timedelta(minutes=30)
"""How long a session lasts; the issuer renews it without a question while it knows the browser."""

LOOK: Final = 15.0
"""Seconds between two readings of the list of ended sessions."""

TRUSTED_FOR: Final = 60.0
"""Seconds for which a list is believed; without a newer one no session is."""

ENDED_AT: Final = "/intake/v1/sessions/ended"
"""Where intake lists what was ended."""

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""

_log = Log("sessions")


def mark_of(sid: str) -> str:
    """Return by what an ended session is listed; its id cannot be told from it."""
    return hashlib.sha256(sid.encode()).hexdigest()[:32]


def make_session(
    seed: bytes, claims: Mapping[str, Any], lasts: timedelta = LASTS, at: datetime | None = None
) -> str:
    """Sign a session with intake's 32-byte Ed25519 seed; `claims` say who, `sid` which."""
    begins = at or datetime.now(UTC)
    times = {"aud": AUDIENCE, "iat": begins, "exp": begins + lasts}
    return jwt.encode(
        {**claims, **times}, Ed25519PrivateKey.from_private_bytes(seed), algorithm="EdDSA"
    )


def change_session(seed: bytes, value: str, claims: Mapping[str, Any]) -> tuple[str, datetime]:
    """Sign a session anew with some claims changed; it is the same one, and ends when it did.

    Returns it and its end. Raises `Unauthenticated` when it does not hold.
    """
    key = Ed25519PrivateKey.from_private_bytes(seed)
    try:
        held = jwt.decode(value, key.public_key(), algorithms=["EdDSA"], audience=AUDIENCE)
    except jwt.PyJWTError:
        raise Unauthenticated from None
    ends = datetime.fromtimestamp(held["exp"], UTC)
    return jwt.encode({**held, **claims}, key, algorithm="EdDSA"), ends


def is_from_our_pages(method: str, headers: Mapping[str, str], public_url: str) -> bool:
    """Say whether a request with a cookie may change something: no other site's page sent it.

    A page that tells no referrer sends `Origin: null`; then the browser's own word counts
    (`Sec-Fetch-Site`), which no page can set.
    """
    if method in SAFE:
        return True
    origin = headers.get("origin", "null")
    if origin != "null":
        return origin == public_url
    return headers.get("sec-fetch-site") == "same-origin"


@dataclass(slots=True)
class Sessions:
    """Verifies sessions. `find_ended` returns the marks of what was ended and not yet expired."""

    public: bytes
    public_url: str
    find_ended: Callable[[], Awaitable[frozenset[str]]]
    clock: Callable[[], float] = time.monotonic
    _ended: frozenset[str] = frozenset()
    _seen_at: float | None = None
    _known: dict[str, tuple[Caller, float]] = field(default_factory=dict)

    def caller(self, request: Request) -> Caller | None:
        """Return whose session a request comes with; None without one that holds.

        Raises:
            Unavailable: nobody can say now whether it was ended.

        """
        value = request.cookies.get(cookie_name(self.public_url))
        if not value or not is_from_our_pages(request.method, request.headers, self.public_url):
            return None
        try:
            caller = self.read(value)
        except Unauthenticated:
            return None
        if self._seen_at is None or self.clock() - self._seen_at > TRUSTED_FOR:
            raise Unavailable
        return None if mark_of(caller.session or "") in self._ended else caller

    def read(self, value: str) -> Caller:
        """Return whose session it is, ended or not.

        Raises:
            Unauthenticated: it is malformed, expired, or not signed by intake.

        """
        found = self._known.get(value)
        if found is not None and found[1] > time.time():
            return found[0]
        try:
            claims = jwt.decode(
                value,
                Ed25519PublicKey.from_public_bytes(self.public),
                algorithms=["EdDSA"],
                audience=AUDIENCE,
                leeway=LEEWAY,
                options={"require": ["exp", "sub", "role", "sid"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            raise Unauthenticated from None
        caller = caller_of(claims)
        if len(self._known) >= KNOWN:
            self._known.clear()
        self._known[value] = caller, float(claims["exp"])
        return caller

    async def run(self) -> None:
        """Read the list for ever; a failure is told once, and tried again soon."""
        said = False
        while True:
            try:
                await self.look()
                said = False
            except Exception as error:  # noqa: BLE001  (intake or the database may come later)
                if not said:
                    _log.warning("ended-sessions-unknown", error=describe(error))
                said = True
            await asyncio.sleep(1.0 if said else LOOK)

    async def look(self) -> None:
        """Read the list once. Raises what `find_ended` raises."""
        began = self.clock()
        self._ended = await self.find_ended()
        self._seen_at = began


def ask_intake(url: str) -> Callable[[], Awaitable[frozenset[str]]]:
    """Return how a service other than intake reads the list."""
    # Read once: a client that reads the authorities anew took a tenth of an idle process's CPU.
    trusted = httpx.create_ssl_context(trust_env=False)

    async def find() -> frozenset[str]:
        async with httpx.AsyncClient(
            base_url=url, timeout=5, trust_env=False, verify=trusted
        ) as client:
            answer = (await client.get(ENDED_AT)).raise_for_status()
        return frozenset(msgspec.json.decode(answer.content, type=dict[str, list[str]])["ended"])

    return find
