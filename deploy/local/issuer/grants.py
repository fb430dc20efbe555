"""The issuer's rows of grants: authorization codes, systems' clients, their assertions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.local.issuer.store import COLUMNS, SignedIn, account_of

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    import asyncpg

    from deploy.local.issuer.secrecy import Secrecy


@dataclass(frozen=True, slots=True)
class Code:
    """What an authorization code stands for."""

    client_id: str
    redirect_uri: str
    scope: str
    nonce: str
    challenge: str
    who: SignedIn


class Grants:
    """Codes, clients, assertions; each method is one transaction."""

    def __init__(self, pool: asyncpg.Pool[Any], secrecy: Secrecy) -> None:
        """Take connections that work in the issuer's schema."""
        self.pool = pool
        self._mark = secrecy.mark

    async def add_code(self, code: str, stands: Code, lasts: timedelta) -> None:
        """Remember an authorization code."""
        await self.pool.execute(
            "INSERT INTO codes VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + $11)",
            self._mark("code", code),
            stands.client_id,
            stands.who.account.id,
            stands.redirect_uri,
            stands.scope,
            stands.nonce,
            stands.challenge,
            stands.who.sid,
            stands.who.auth_time,
            list(stands.who.amr),
            lasts,
        )

    async def take_code(self, code: str, client_id: str) -> Code | None:
        """Take an authorization code: once shown it is gone, and good for its client alone."""
        row = await self.pool.fetchrow(
            "WITH c AS (DELETE FROM codes WHERE mark = $1 RETURNING *)"  # noqa: S608
            f" SELECT {COLUMNS}, c.client_id, c.redirect_uri, c.scope, c.nonce,"
            " c.challenge, c.sid, c.auth_time, c.amr"
            " FROM c JOIN accounts a ON a.id = c.account WHERE c.expires_at > now()",
            self._mark("code", code),
        )
        if row is None or row["client_id"] != client_id:
            return None
        who = SignedIn(account_of(row), row["sid"], row["auth_time"], tuple(row["amr"]))
        names = ("client_id", "redirect_uri", "scope", "nonce", "challenge")
        return Code(**{name: row[name] for name in names}, who=who)

    async def add_client(self, client_id: str, role: str, org: str, jwk: dict[str, Any]) -> None:
        """Register a system's client with its public key; a second time with another key."""
        await self.pool.execute(
            "INSERT INTO clients (client_id, role, org, jwk) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (client_id) DO UPDATE SET jwk = $4",
            client_id,
            role,
            org,
            json.dumps(jwk),
        )

    async def find_client(self, client_id: str) -> dict[str, Any] | None:
        """Return a system's client: `role`, `org`, `jwk`."""
        row = await self.pool.fetchrow(
            "SELECT role, org, jwk FROM clients WHERE client_id = $1", client_id
        )
        return {**row, "jwk": json.loads(row["jwk"])} if row else None

    async def use_assertion(self, client_id: str, jti: str, until: datetime) -> bool:
        """Use an assertion's id, once in its time."""
        done = await self.pool.execute(
            "INSERT INTO assertions VALUES ($1, $2) ON CONFLICT DO NOTHING",
            self._mark("assertion", f"{client_id}\n{jti}"),
            until,
        )
        return str(done) == "INSERT 0 1"
