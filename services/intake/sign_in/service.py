"""Signing in, and the end of a session: the use cases behind `/sign-in` and `/sign-out`."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from services.intake.sign_in import store
from services.intake.sign_in.party import RelyingParty
from services.intake.sign_in.store import OnTheWay
from shared.access import caller_of
from shared.errors import NotFound, Unauthenticated
from shared.sessions import LASTS, make_session
from shared.settings import read_key

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncEngine

    from services.intake.learning.service import Learning
    from shared.runtime import Service

ON_THE_WAY: Final = timedelta(minutes=10)
"""How long somebody may take at the issuer."""


@dataclass(slots=True)
class SignIn:
    """Sends people to an issuer, takes them back, opens and ends sessions."""

    engine: AsyncEngine
    seed: bytes
    public_url: str
    learning: Learning
    parties: dict[str, RelyingParty] = field(default_factory=dict)

    async def start(
        self, name: str | None, back: str, max_age: int | None, at: datetime
    ) -> tuple[str, str]:
        """Return where to send a browser, and the secret it must come back with.

        Raises:
            NotFound: nobody signs in here, or not by that issuer.
            IssuerAway: the issuer does not answer.

        """
        party = self.parties.get(name or next(iter(self.parties), ""))
        if party is None:
            raise NotFound
        state, browser = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        way = OnTheWay(party.settings.name, nonce, verifier, back, max_age)
        address = await party.address(state, way)
        async with self.engine.begin() as conn:
            await store.start(conn, state, browser, way, at + ON_THE_WAY)
        return address, browser

    async def finish(
        self, state: str, browser: str, code: str, told_issuer: str | None, at: datetime
    ) -> tuple[str, str]:
        """Return a session for who comes back with a code, and where they wanted to go.

        Raises:
            Unauthenticated: nobody is on the way with this state in this browser, or the issuer or
                the mapping does not say who it is.
            IssuerAway: the issuer does not answer.

        """
        async with self.engine.begin() as conn:
            way = await store.take(conn, state, browser, at)
        party = self.parties.get(way.issuer) if way else None
        if way is None or party is None:
            raise Unauthenticated
        if told_issuer not in (None, party.settings.issuer):  # RFC 9207
            raise Unauthenticated
        claims = await party.redeem(code, way)
        issuer_sid, sid = claims.pop("issuer_sid"), secrets.token_urlsafe(24)
        async with self.engine.begin() as conn:
            await store.open_session(
                conn, sid, issuer=way.issuer, issuer_sid=issuer_sid, expires=at + LASTS
            )
        trained = await self.learning.arrive(caller_of(claims), at)
        claims["trained"] = [one.claim() for one in trained]
        return make_session(self.seed, {**claims, "sid": sid}, at=at), way.back

    async def end(self, sid: str, at: datetime) -> str:
        """End a session; return where the browser goes to sign out of the issuer as well."""
        async with self.engine.begin() as conn:
            found = await store.end_session(conn, sid, at)
        home = f"{self.public_url}/"
        party = self.parties.get(found[0]) if found else None
        return (await party.goodbye(found[1], home) if found and party else None) or home

    async def ended(self) -> frozenset[str]:
        """Return the marks of sessions that were ended and whose time is not over."""
        async with self.engine.connect() as conn:
            return await store.find_ended(conn)


def make_sign_in(service: Service, learning: Learning) -> SignIn | None:
    """Make it with every issuer by which people sign in; None without any issuer.

    Raises:
        SettingsError: a key or a client's secret is missing.

    """
    settings = service.settings
    if service.sessions is None:
        return None
    seed = read_key(settings, "sessions.key")
    made = SignIn(service.flow, seed, settings.public_url, learning)
    for name, issuer in service.issuers.by_name.items():
        if issuer.settings.client_id:
            made.parties[name] = RelyingParty(issuer, settings.public_url)
    service.sessions.find_ended = made.ended
    return made
