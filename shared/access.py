"""Who is calling and what they may: bearer tokens signed by the centre (JWT, EdDSA; RFC 8037).

A token carries a pseudonym, a role and an organisation. The acting person is authorised, never the
calling service (SAFETY 27).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from starlette.requests import Request  # noqa: TC002  (FastAPI reads the annotation)

from shared.errors import Forbidden, Unauthenticated
from shared.membership import Membership
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


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. `subject` is a pseudonym, `org` a provider's or partner's id.

    `places` are P-codes of where the caller's centre works, none for everywhere.
    """

    subject: str
    role: Role
    org: str | None = None
    places: tuple[str, ...] = ()
    memberships: tuple[Membership, ...] = ()

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


class TokenReader:
    """Verifies bearer tokens: the centre's by its public key, a service's by that service's own."""

    def __init__(self, public: bytes, services: Mapping[str, bytes] | None = None) -> None:
        """Take raw 32-byte Ed25519 public keys: the centre's, and of the services that may call."""
        self._centre = Ed25519PublicKey.from_public_bytes(public)
        self._services = {
            f"service:{name}": Ed25519PublicKey.from_public_bytes(key)
            for name, key in (services or {}).items()
        }
        self._known: dict[str, tuple[Caller, float]] = {}

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
            claims = jwt.decode(
                token,
                self._centre if signer is None else self._services[signer],
                algorithms=["EdDSA"],
                audience=AUDIENCE,
                leeway=LEEWAY,
                options={"require": ["exp", "sub", "role"]},
            )
            org = claims.get("org")
            subject = claims["sub"]
            if not isinstance(subject, str) or not (org is None or isinstance(org, str)):
                raise Unauthenticated
            if org == "*":  # no organisation is all of them
                raise Unauthenticated
            role = Role(claims["role"])
            if (role is Role.SERVICE) != (signer == f"service:{subject}"):
                raise Unauthenticated
            places, memberships = _places_of(claims), _memberships_of(claims)
            caller = Caller(subject[:64], role, org, places, memberships)
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

    Raises:
        Unauthenticated: an Authorization header came that does not verify.

    """
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated
    reader: TokenReader = request.app.state.tokens
    return reader.read(token.strip())


def require(*roles: Role) -> Callable[[Request], Awaitable[Caller]]:
    """Make a FastAPI dependency that lets only these roles pass.

    Provider roles must name their provider. Raises `Unauthenticated` or `Forbidden`.
    """

    async def dependency(request: Request) -> Caller:
        caller = await any_caller(request)
        if caller is None:
            raise Unauthenticated
        if caller.role not in roles or (caller.role in PROVIDERS and not caller.org):
            raise Forbidden
        return caller

    return dependency
