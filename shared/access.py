"""Who is calling and what they may: bearer tokens signed by the centre (JWT, EdDSA; RFC 8037).

A token carries a pseudonym, a role and an organisation. The acting person is authorised, never the
calling service (SAFETY 27). People sign in by OIDC and then have a session (`shared.sessions`);
partners' and providers' systems have tokens of a configured issuer (`shared.issuers`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from starlette.requests import Request  # noqa: TC002  (FastAPI reads the annotation)

from shared.errors import Forbidden, StepUpNeeded, Unauthenticated, Unavailable
from shared.membership import Membership, Training
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

AUDIENCE: Final = "pashe"
"""The `aud` of every token of this centre."""

KNOWN: Final = 1024
"""Verified tokens that a process keeps in mind: to verify one costs more than all else it does."""

LEEWAY: Final = 5
"""Seconds by which clocks may differ."""

STAFF: Final = frozenset({Role.COORDINATOR, Role.SUPERVISOR, Role.OPERATIONS, Role.AUDITOR})
"""Roles that see the rows of all organisations; what they may do is decided per verb."""

PROVIDERS: Final = frozenset({Role.PROVIDER_WORKER, Role.PROVIDER_SYSTEM})
"""Roles that act for one provider and see only its rows."""

BY_KEY: Final = "key"
"""The `amr` of a token that was signed with the centre's own key: nobody signed in for it."""

SECOND_FACTORS: Final = frozenset({"otp", "hwk", "swk", "mfa"})
"""Methods (RFC 8176) that count as a second factor: no SMS, no e-mail (SAFETY 27)."""

FRESH: Final = 10
"""Minutes for which a second factor is fresh enough to read who a person is."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. `subject` is a pseudonym, `org` a provider's or partner's id.

    `places` are P-codes of where the caller's centre works, none for everywhere. How they signed
    in: `auth_time` in Unix seconds, `amr` (RFC 8176), `session` of a browser, and the `training`
    that they held then. Who they are is the same however they did.

    """

    subject: str
    role: Role
    org: str | None = None
    places: tuple[str, ...] = ()
    memberships: tuple[Membership, ...] = ()
    auth_time: int | None = field(default=None, compare=False)
    amr: tuple[str, ...] = field(default=(), compare=False)
    session: str | None = field(default=None, compare=False)
    training: tuple[Training, ...] = field(default=(), compare=False)

    @property
    def actor(self) -> str:
        """The caller as an event names it: `role:pseudonym`."""
        return f"{self.role}:{self.subject}"


def organisation_of(caller: Caller | None) -> str:
    """Return what row-level policies compare with: a provider id, `*` for staff, or empty."""
    if caller is None:
        return ""
    if caller.role in STAFF or caller.role is Role.SERVICE:
        return "*"
    return caller.org or ""


def make_token(
    seed: bytes,
    role: Role,
    *,
    subject: str | None = None,
    org: str | None = None,
    places: Sequence[str] = (),
    memberships: Sequence[Membership] = (),
    valid: timedelta = timedelta(hours=12),
    at: datetime | None = None,
) -> str:
    """Sign a bearer token with the centre's 32-byte Ed25519 seed."""
    issued = at or datetime.now(UTC)
    claims = {
        "aud": AUDIENCE,
        "sub": subject or uuid4().hex[:12],
        "role": str(role),
        "org": org,
        "places": list(places),
        "member_of": [one.claim() for one in memberships],
        "iat": issued,
        "exp": issued + valid,
        "jti": uuid4().hex,
    }
    return jwt.encode(claims, Ed25519PrivateKey.from_private_bytes(seed), algorithm="EdDSA")


def service_token(seed: bytes, service: str, at: datetime | None = None) -> str:
    """Sign a token for one call of a service to another, with the seed it signs events with.

    It is good for a minute; the callee knows the caller's public key (`callers.json`).
    """
    issued = at or datetime.now(UTC)
    claims = {
        "aud": AUDIENCE,
        "sub": service,
        "role": str(Role.SERVICE),
        "iat": issued,
        "exp": issued + timedelta(minutes=1),
        "jti": uuid4().hex,
    }
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": f"service:{service}"})


def caller_of(claims: Mapping[str, Any]) -> Caller:
    """Return whom verified claims speak for: `sub`, `role`, `org`, `places`, `member_of` and more.

    How they signed in: `auth_time` (Unix seconds), `amr` (RFC 8176), `sid`; `trained` by which
    module until when.

    Raises:
        Unauthenticated: a claim is missing or of the wrong kind, or the role is unknown.

    """
    try:
        subject, role, org = claims["sub"], Role(claims["role"]), claims.get("org")
        places, memberships = _places_of(claims), _memberships_of(claims)
        training = tuple(Training.of(one) for one in claims.get("trained") or ())
    except (KeyError, ValueError, TypeError, AttributeError):
        raise Unauthenticated from None
    since, amr, session = claims.get("auth_time"), claims.get("amr") or [], claims.get("sid")
    fits = (
        isinstance(subject, str)
        and isinstance(org, str | None)
        and org != "*"  # no organisation is all of them
        and isinstance(since, int | None)
        and isinstance(amr, list)
        and isinstance(session, str | None)
    )
    if not fits:
        raise Unauthenticated
    return Caller(
        subject[:64],
        role,
        org,
        places,
        memberships,
        auth_time=since,
        amr=tuple(map(str, amr)),
        session=session,
        training=training,
    )


class TokenReader:
    """Verifies bearer tokens: the centre's by its public key, a service's by that service's own."""

    def __init__(self, public: bytes | None, services: Mapping[str, bytes] | None = None) -> None:
        """Take raw 32-byte Ed25519 public keys: the centre's, and of the services that may call.

        Without the centre's no token of scripts (`pashe token`) is taken.
        """
        self._centre = Ed25519PublicKey.from_public_bytes(public) if public else None
        self._services = {
            f"service:{name}": Ed25519PublicKey.from_public_bytes(key)
            for name, key in (services or {}).items()
        }
        self._known: dict[str, tuple[Caller, float]] = {}

    def knows(self, token: str) -> bool:
        """Say whether a token was verified before."""
        return token in self._known

    def read(self, token: str) -> Caller:
        """Return who the token speaks for.

        Raises:
            Unauthenticated: it is malformed, expired, for somebody else or of an unknown role.

        """
        found = self._known.get(token)
        if found is not None and found[1] > time.time():
            return found[0]
        caller, expires = self._verify(token)
        if len(self._known) >= KNOWN:
            self._known.clear()
        self._known[token] = caller, expires
        return caller

    def _verify(self, token: str) -> tuple[Caller, float]:
        try:
            signer = jwt.get_unverified_header(token).get("kid")
            key = self._centre if signer is None else self._services[signer]
            if key is None:
                raise Unauthenticated
            claims = jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                audience=AUDIENCE,
                leeway=LEEWAY,
                options={"require": ["exp", "sub", "role"]},
            )
            caller = caller_of({"amr": [BY_KEY], **claims, "sid": None})
            if (caller.role is Role.SERVICE) != (signer == f"service:{claims['sub']}"):
                raise Unauthenticated
            return caller, float(claims["exp"]) + LEEWAY
        except (jwt.PyJWTError, KeyError, ValueError, TypeError, AttributeError):
            raise Unauthenticated from None


def _places_of(claims: Mapping[str, Any]) -> tuple[str, ...]:
    found = claims.get("places") or []
    if not isinstance(found, list) or not all(isinstance(place, str) for place in found):
        raise Unauthenticated
    return tuple(sorted(found))


def _memberships_of(claims: Mapping[str, Any]) -> tuple[Membership, ...]:
    found = claims.get("member_of") or []
    if not isinstance(found, list):
        raise Unauthenticated
    return tuple(Membership.of(claim) for claim in found)


async def any_caller(request: Request) -> Caller | None:
    """Return the caller, or None for an anonymous one. A bad token is never anonymous.

    A browser sends its cookie without being asked, so that one which does not hold, or cannot be
    checked now, is no reason to refuse what anybody may do: it is not looked at.

    Raises:
        Unauthenticated: an Authorization header came that does not verify.

    """
    try:
        return await _find_caller(request)
    except Unavailable:
        return None


async def _find_caller(request: Request) -> Caller | None:
    header = request.headers.get("authorization")
    if header is None:
        sessions = getattr(request.app.state, "sessions", None)
        return sessions.caller(request) if sessions else None
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated
    reader: TokenReader = request.app.state.tokens
    issuers = getattr(request.app.state, "issuers", None)
    if issuers is not None and not reader.knows(token) and issuers.speaks(token):
        found: Caller = await issuers.read(token)
        return found
    return reader.read(token)


def require(*roles: Role) -> Callable[[Request], Awaitable[Caller]]:
    """Make a FastAPI dependency that lets only these roles pass.

    Provider roles must name their provider. Raises `Unauthenticated` or `Forbidden`, and
    `Unavailable` while nobody can say whether a browser's session was ended.
    """

    async def dependency(request: Request) -> Caller:
        caller = await _find_caller(request)
        if caller is None:
            raise Unauthenticated
        if caller.role not in roles or (caller.role in PROVIDERS and not caller.org):
            raise Forbidden
        return caller

    return dependency


def require_fresh(*roles: Role, minutes: int = FRESH) -> Callable[[Request], Awaitable[Caller]]:
    """Make a dependency as `require`, for what needs a second factor of the last minutes.

    Raises as `require`, and `StepUpNeeded`.
    """
    gate = require(*roles)

    async def dependency(request: Request) -> Caller:
        caller = await gate(request)
        check_fresh(caller, minutes)
        return caller

    return dependency


def check_fresh(caller: Caller, minutes: int = FRESH, at: float | None = None) -> None:
    """Pass a caller whose second factor is of the last minutes, and who holds the centre's key.

    Raises:
        StepUpNeeded: no second factor, or an older one; its members say what is needed and where.

    """
    if caller.amr == (BY_KEY,) and caller.session is None:
        return
    since = (time.time() if at is None else at) - minutes * 60 - LEEWAY
    if SECOND_FACTORS.isdisjoint(caller.amr) or (caller.auth_time or 0) < since:
        raise StepUpNeeded(
            None,
            needs="second_factor",
            max_age=minutes * 60,
            sign_in=f"/sign-in?max_age={minutes * 60}",
        )
