"""The issuer's signing keys: Ed25519, sealed in the database, a new one each month.

A new key is published for a while before it signs, so that whoever reads the published keys now and
then knows it by then; an old one stays published for as long as anything that it signed is good.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from joserfc.jwk import OKPKey

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

    from deploy.local.issuer.secrecy import Secrecy

ALGORITHM: Final = "EdDSA"

SIGNS_FOR: Final = timedelta(days=30)
PUBLISHED_BEFORE: Final = timedelta(minutes=15)
KEPT_AFTER: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key: its id, its private half, and when it was made."""

    kid: str
    key: OKPKey
    made_at: datetime

    def public(self) -> dict[str, Any]:
        """Return the public half as a JWK."""
        told = dict(self.key.as_dict(private=False))
        return {**told, "kid": self.kid, "alg": ALGORITHM, "use": "sig"}


class Keys:
    """The keys in the order in which they were made."""

    def __init__(self, pool: asyncpg.Pool[Any], secrecy: Secrecy) -> None:
        """Read nothing yet."""
        self._pool = pool
        self._secrecy = secrecy
        self.all: tuple[SigningKey, ...] = ()

    async def turn(self, at: datetime, *, now: bool = False) -> None:
        """Make a key when it is time (or `now`), drop what is over, read what there is."""
        async with self._pool.acquire() as conn, conn.transaction():
            await conn.execute("SELECT pg_advisory_xact_lock(hashtext('pashe.accounts.keys'))")
            newest = await conn.fetchval("SELECT max(made_at) FROM signing_keys")
            if newest is None or now or at >= newest + SIGNS_FOR:
                kid = secrets.token_hex(8)
                key = OKPKey.generate_key("Ed25519", private=True)
                sealed = self._secrecy.seal(key.as_pem(private=True), kid)
                await conn.execute("INSERT INTO signing_keys VALUES ($1, $2, $3)", kid, sealed, at)
            rows = await conn.fetch(
                "SELECT kid, sealed, made_at FROM signing_keys ORDER BY made_at"
            )
            over = [
                row["kid"]
                for row, after in pairwise(rows)
                if after["made_at"] + PUBLISHED_BEFORE + KEPT_AFTER < at
            ]
            await conn.execute("DELETE FROM signing_keys WHERE kid = ANY($1)", over)
        self.all = tuple(
            SigningKey(
                row["kid"],
                OKPKey.import_key(self._secrecy.unseal(row["sealed"], row["kid"])),
                row["made_at"],
            )
            for row in rows
            if row["kid"] not in over
        )

    def signing(self, at: datetime) -> SigningKey:
        """Return the key that signs: the newest that was published long enough, or the first."""
        old = [key for key in self.all if key.made_at + PUBLISHED_BEFORE <= at]
        return (old or list(self.all[:1]))[-1]

    def published(self) -> dict[str, Any]:
        """Return every public half as a JWKS."""
        return {"keys": [key.public() for key in self.all]}
