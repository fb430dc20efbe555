"""The database of the services: made, given its roles and schemas, and addressed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from deploy.local.errors import StackError
from deploy.local.home import ROOT
from deploy.local.keys import SERVICES, SUPERUSER

if TYPE_CHECKING:
    from collections.abc import Mapping

DATABASE: Final = "pashe"
BOOTSTRAP: Final = ROOT / "deploy" / "database.sql"


def with_database(url: str, name: str) -> str:
    """Return an address with another database name."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def with_role(url: str, role: str, password: str) -> str:
    """Return an address with another role and its password."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(password, safe='')}@{place}"))


def service_urls(admin: str, service: str, passwords: Mapping[str, str]) -> dict[str, str]:
    """Return the database variables of a service; `admin` is any address of its database."""
    names = {
        "DATABASE_URL": f"{service}_flow",
        "DATABASE_WEB_URL": f"{service}_web",
        "DATABASE_OWNER_URL": f"{service}_owner",
    }
    return {name: with_role(admin, role, passwords[role]) for name, role in names.items()}


async def prepare_database(
    admin: str, passwords: Mapping[str, str], name: str = DATABASE, *, may_exist: bool = True
) -> str:
    """Make the database with every role and schema; return the superuser's address of it.

    Args:
        admin: a superuser's address, of any database of the server.
        passwords: the password of each role; also set where the role exists.
        name: the database.
        may_exist: False refuses a database that is there already.

    Raises:
        StackError: the server refused, or the database exists and may not.

    """
    target = with_database(admin, name)
    try:
        conn = await asyncpg.connect(with_database(admin, "postgres"), timeout=10)
        try:
            there = await conn.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name)
            if there and not may_exist:
                message = (
                    f"the database server has a database {name} already, but this state folder is "
                    "new and lacks its keys: use the folder it was made with"
                )
                raise StackError(message)
            if not there:
                await conn.execute(f'CREATE DATABASE "{name}" TEMPLATE template0 ENCODING UTF8')
        finally:
            await conn.close()
        conn = await asyncpg.connect(target, timeout=10)
        try:
            async with conn.transaction():
                await conn.execute(BOOTSTRAP.read_text("utf-8"))
                for role, password in passwords.items():
                    if role != SUPERUSER:
                        quoted = await conn.fetchval("SELECT quote_literal($1::text)", password)
                        await conn.execute(f'ALTER ROLE "{role}" PASSWORD {quoted}')
        finally:
            await conn.close()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        message = f"the database could not be prepared: {error}"
        raise StackError(message) from error
    return target


async def count_rows(admin: str, table: str, where: str) -> dict[str, int | None]:
    """Count rows of a table of each service; a service that has no such table yet gives None.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError: the database does not answer.

    """
    conn = await asyncpg.connect(admin, timeout=1, command_timeout=1)
    try:
        there = "SELECT s FROM unnest($1::text[]) s WHERE to_regclass(s || '.' || $2) IS NOT NULL"
        counts: dict[str, int | None] = dict.fromkeys(SERVICES)
        for row in await conn.fetch(there, list(SERVICES), table):
            name = row["s"]
            counts[name] = await conn.fetchval(f"SELECT count(*) FROM {name}.{table} WHERE {where}")  # noqa: S608  (our own words)
        return counts
    finally:
        conn.terminate()
