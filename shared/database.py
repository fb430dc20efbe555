"""PostgreSQL: engines with every time-out set, one transaction helper, and what a failure means.

Facts behind it: DECISIONS 12 (whose fault), 20 (roles), 21 (connections); KAFKA-FACTS 25.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.access_rules import Scope
from shared.errors import Problem, RecordInvalid, SettingsError, Unavailable
from shared.lean import LeanEngine, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONNECT_TIMEOUT: Final = 3.0
"""Seconds to open a connection."""

COMMAND_TIMEOUT: Final = 10.0
"""Seconds that one statement may take before the client gives up."""

LONGEST_TRANSACTION: Final = "120s"
"""After this the server ends a transaction with its session, whatever the client is at.

One that freezes between preparing a statement and sending it is not idle for PostgreSQL, nor is a
statement running: it would keep its locks until its line is found dead, hours later.
"""

SERVES: Final = "serves code from revision "
"""Begins the comment on `alembic_version`."""

_SCHEMA: Final = text(
    "SELECT version_num, obj_description('alembic_version'::regclass, 'pg_class') AS told"
    " FROM alembic_version"
)

_TLS_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

STATEMENTS: Final = 300
"""Prepared statements that a connection keeps; a service has more than asyncpg's usual 100."""


def make_engine(url: str, *, size: int, name: str, wait: float = CONNECT_TIMEOUT) -> AsyncEngine:
    """Make an engine of at most `size` connections; nothing connects before the first use.

    `wait` is the seconds to wait for a free connection. The URL may end with libpq's
    `?sslmode=verify-full&sslrootcert=FILE`, as it does for connections outside of an engine.

    Raises:
        SettingsError: `sslmode` is none of libpq's, or the file is not readable.

    """
    bare, tls = split_tls(url)
    engine = create_async_engine(
        bare.replace("postgresql://", "postgresql+asyncpg://", 1),
        pool_size=size,
        max_overflow=0,
        pool_timeout=wait,
        pool_recycle=1800,
        pool_reset_on_return=None,  # a lean connection ends what it began
        pool_use_lifo=True,  # the connection used last is the one whose plans and caches are warm
        hide_parameters=True,
        connect_args={
            **({} if tls is None else {"ssl": tls}),
            "timeout": CONNECT_TIMEOUT,
            "command_timeout": COMMAND_TIMEOUT,
            "server_settings": {
                "application_name": name,
                "timezone": "UTC",
                "lock_timeout": "5s",
                "idle_in_transaction_session_timeout": "10s",
                "transaction_timeout": LONGEST_TRANSACTION,
                # A plan that was made while its tables were small is kept: it must not read them
                # from end to end when they have grown. On old servers that looks costly to the JIT.
                "enable_seqscan": "off",
                "jit": "off",
            },
            "statement_cache_size": STATEMENTS,
        },
    )
    return LeanEngine(engine.sync_engine)


_REACH: Final = text(
    "SELECT set_config('pashe.organisation', :o, true),"
    " set_config('pashe.names', CAST(CAST(:n AS text[]) AS text), true),"
    " set_config('pashe.places', coalesce(CAST(CAST(:p AS text[]) AS text), ''), true)"
)


def split_tls(url: str) -> tuple[str, str | ssl.SSLContext | None]:
    """Return a URL without its TLS parameters, and what asyncpg takes for them; None for none.

    Raises:
        SettingsError: see `make_engine`; the message never holds the URL.

    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    mode, authority = query.pop("sslmode", ""), query.pop("sslrootcert", "")
    bare = urlunsplit(parts._replace(query=urlencode(query)))
    if not mode and not authority:
        return bare, None
    if mode not in _TLS_MODES:
        raise SettingsError("sslmode of the database's address is none of libpq's")
    if mode == "require" and authority:  # as libpq has it
        mode = "verify-ca"
    if not mode.startswith("verify"):
        return bare, mode
    try:
        context = ssl.create_default_context(cafile=authority or None)
    except OSError:
        raise SettingsError("sslrootcert of the database's address is not readable") from None
    context.check_hostname = mode == "verify-full"
    return bare, context


@asynccontextmanager
async def transaction(
    engine: AsyncEngine, scope: Scope | str = ""
) -> AsyncIterator[AsyncConnection]:
    """Run one transaction; `scope` feeds the row-level policies of `<svc>_web`.

    A caller's reach (`access_rules.scope_of`), or an organisation alone: a provider id, `*` for
    the service's own reads of all rows, or empty for none. It ends with the transaction.
    """
    async with engine.begin() as conn:
        if scope:
            await set_reach(conn, Scope(scope) if isinstance(scope, str) else scope)
        yield conn


async def set_reach(conn: AsyncConnection, scope: Scope) -> None:
    """Set what the row-level policies compare with, until the transaction ends."""
    places = None if scope.places is None else list(scope.places)
    await conn.execute(_REACH, {"o": scope.organisation, "n": list(scope.names), "p": places})


class Blame(Enum):
    """Whose fault a failure is (DECISIONS 12)."""

    RECORD = "record"
    WORLD = "world"
    RETRY = "retry"
    UNKNOWN = "unknown"


_RECORD_CLASSES = ("22", "23")
_WORLD_CLASSES = ("08", "53", "55", "57", "58", "XX", "25", "28", "3D", "42")
_RETRY_STATES = ("40P01", "40001")


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of a database error, or None when it is not one."""
    cause: Any = getattr(error, "orig", None) or error
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state if isinstance(state, str) else None


def blame(error: BaseException) -> Blame:
    """Say whether the record, the world or an unknown bug is at fault.

    Class 42 (a missing table or right) and 25 count as the world: the schema is being migrated,
    and no record is the worse for it.
    """
    if isinstance(error, Problem | RecordInvalid):
        return Blame.WORLD if isinstance(error, Unavailable) else Blame.RECORD
    state = sqlstate_of(error)
    if state is not None:
        if state in _RETRY_STATES:
            return Blame.RETRY
        if state[:2] in _RECORD_CLASSES:
            return Blame.RECORD
        if state[:2] in _WORLD_CLASSES:
            return Blame.WORLD
    if isinstance(
        error,
        OSError
        | TimeoutError
        | asyncio.TimeoutError
        | PoolTimeoutError
        | InterfaceError
        | asyncpg.InterfaceError
        | asyncpg.PostgresConnectionError,
    ):
        return Blame.WORLD
    if isinstance(error, DBAPIError):
        cause = error.orig
        if error.connection_invalidated or (
            isinstance(cause, BaseException) and "connection" in str(cause).lower()
        ):
            return Blame.WORLD
        inner = getattr(cause, "__cause__", None)
        if isinstance(inner, OSError | TimeoutError | asyncpg.InterfaceError):
            return Blame.WORLD
    return Blame.UNKNOWN


async def check_role(engine: AsyncEngine, schema: str) -> None:
    """Refuse a role that is superuser, bypasses row-level security or owns tables (DECISIONS 20).

    Or that may become one that does.

    Raises:
        SettingsError: the role is too strong; the message names it.

    """
    async with engine.connect() as conn:
        row = (
            await conn.execute(
                text(
                    "SELECT current_user AS name, bool_or(rolsuper OR rolbypassrls) AS strong,"
                    " bool_or(EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n"
                    "   ON n.oid = c.relnamespace WHERE n.nspname = :schema"
                    "   AND c.relowner = r.oid)) AS owns"
                    " FROM pg_roles r WHERE pg_has_role(current_user, r.oid, 'MEMBER')"
                ),
                {"schema": schema},
            )
        ).one()
    if row.strong or row.owns:
        message = (
            f"database role {row.name} must be neither superuser, BYPASSRLS nor owner of tables"
        )
        raise SettingsError(message)


@dataclass(frozen=True, slots=True)
class Schema:
    """At which revision a schema is, and the oldest one whose code still runs on it."""

    version: str
    serves: str


async def find_schema(engine: AsyncEngine) -> Schema | None:
    """Return what the schema is, or None before the first migration.

    Which code it still serves stands as a comment on Alembic's table: only its owner writes one.
    """
    async with engine.connect() as conn:
        found = await conn.scalar(text("SELECT to_regclass('alembic_version') IS NOT NULL"))
        if not found:
            return None
        row = (await conn.execute(_SCHEMA)).one_or_none()
        if row is None:
            return None
        version = str(row.version_num)
        return Schema(version, (row.told or "").removeprefix(SERVES) or version)
