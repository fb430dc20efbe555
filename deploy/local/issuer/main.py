"""Start the issuer: `python -m deploy.local.issuer.main`, told by environment variables.

`ACCOUNTS_URL` is its address, `DATABASE_URL` its database as its own role, `KEYS_DIR` its folder of
keys (`secrets.key`, `desk.secret`), `PASHE_PUBLIC_URL` the origin whose people sign in.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import warnings
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import uvicorn
import uvloop
from joserfc.errors import SecurityWarning

from deploy.local.accounts import DESK
from deploy.local.issuer.app import Issuer, make_app
from deploy.local.issuer.clients import Client
from deploy.local.issuer.grants import Grants
from deploy.local.issuer.keys import Keys
from deploy.local.issuer.people import People
from deploy.local.issuer.protocol import Server
from deploy.local.issuer.secrecy import Passwords, Secrecy
from deploy.local.issuer.store import Store
from shared.clock import now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.applications import Starlette

CONNECTIONS: Final = 4
TURN: Final = 60.0
"""Seconds between looks at the keys, and at what is over."""


def read_secrecy(folder: Path) -> Secrecy:
    """Read the issuer's key (`secrets.key`, 64 hex characters). Raises OSError, ValueError."""
    return Secrecy(bytes.fromhex((folder / "secrets.key").read_text("ascii").strip()))


def build(env: Mapping[str, str]) -> Starlette:
    """Wire it in a running loop; nothing connects yet. Raises KeyError, OSError, ValueError."""
    folder = Path(env["KEYS_DIR"])
    url, origin = env["ACCOUNTS_URL"].rstrip("/"), env["PASHE_PUBLIC_URL"].rstrip("/")
    secret = (folder / "desk.secret").read_text("ascii").strip()
    secrecy = read_secrecy(folder)
    pool = asyncpg.create_pool(
        env["DATABASE_URL"],
        min_size=0,
        max_size=CONNECTIONS,
        timeout=3,
        command_timeout=10,
        server_settings={"application_name": "accounts", "timezone": "UTC"},
    )
    store, grants, keys = Store(pool, secrecy), Grants(pool, secrecy), Keys(pool, secrecy)
    desk = Client(DESK, secret, f"{origin}/sign-in/callback")
    server = Server(url, desk, grants, keys)
    people = People(store, secrecy, Passwords())

    async def turn() -> None:
        while True:
            pause = TURN
            try:
                await store.make_tables()
                await keys.turn(now())
                await store.forget_old()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                sys.stderr.write(f"the database does not answer: {type(error).__name__}\n")
                pause = 1.0
            await asyncio.sleep(pause)

    @asynccontextmanager
    async def life() -> AsyncIterator[None]:
        await pool
        turning = asyncio.create_task(turn())
        try:
            yield
        finally:
            turning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await turning
            pool.terminate()

    return make_app(Issuer(url, f"{origin}/sign-in", server, people, keys, desk), life)


async def serve(env: Mapping[str, str]) -> None:
    """Serve until SIGTERM. Raises as `build`."""
    config = uvicorn.Config(
        build(env),
        host=env.get("HTTP_HOST", "127.0.0.1"),
        port=int(env.get("HTTP_PORT", "0")),
        http="httptools",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )
    await uvicorn.Server(config).serve()


def main() -> None:
    """Serve; one clear line when the settings are wrong."""
    warnings.simplefilter("ignore", SecurityWarning)  # EdDSA has a newer name: RFC 9864
    try:
        uvloop.run(serve(os.environ))
    except (KeyError, OSError, ValueError) as error:
        sys.exit(f"pashe: the issuer's settings are not right: {type(error).__name__}")


if __name__ == "__main__":
    main()
