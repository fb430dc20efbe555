"""A long past for a running stack: the rows of its reports, multiplied in PostgreSQL.

What a report leaves in intake, referral and notification is copied as often as it takes
(`tests.bench.multiplying`), as the superuser and past the services, that serve meanwhile. Not
copied are: the history, that `pashe bench history` grows; what the kernel keeps for some days; the
directory. The past cases are over and were delivered, without the steps that people take.
"""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self

import asyncpg

from deploy.local.database import DATABASE, with_role
from deploy.local.home import HOST, Home, find_state, load_passwords
from deploy.local.keys import SUPERUSER
from tests.bench.catalogue import HEADS, IDS, ORDERS, SCHEMAS, growing_tables
from tests.bench.multiplying import FUNCTIONS, UUID_LIKE, statement
from tests.support.stack import StackError
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.bench.catalogue import Table
    from tests.support.stack import Stack

SPAN: Final = timedelta(days=60)
"""How far back the past reaches at most: notification forgets what is older than 100 days."""

SLICE: Final = 5_000
"""Cases that one transaction adds."""

SETTINGS: Final = {
    "session_replication_role": "replica",  # no look at foreign keys
    "synchronous_commit": "off",
    "jit": "off",
    "application_name": "bench filling",
}

_COUNT: Final = "SELECT count(*) FROM intake.cases"

_UNLIKE: Final = """
SELECT count(*) FROM referral.feeds f
LEFT JOIN notification.feed_heads h ON h.organisation = f.provider_id
WHERE f.seq IS DISTINCT FROM h.complete OR f.seq <> (SELECT count(*) FROM referral.feed_entries e
  WHERE e.provider_id = f.provider_id)
"""
"""Feeds that notification does not know whole, or that begin later than with their first entry."""

_MOVE: Final = """
WITH moved AS (
  UPDATE referral.feeds f SET seq = f.seq + w.width * $1 FROM filling.feeds w
  WHERE f.provider_id = w.provider_id RETURNING f.provider_id, f.seq - w.width * $1 AS base
)
UPDATE filling.feeds w SET base = m.base FROM moved m WHERE m.provider_id = w.provider_id
"""

_MOVE_TOLD: Final = """
WITH moved AS (
  UPDATE notification.feed_heads h SET complete = h.complete + w.width * $1,
    seen = greatest(h.seen, h.complete + w.width * $1) FROM filling.feeds w
  WHERE h.organisation = w.provider_id AND h.complete = w.base RETURNING 1
)
SELECT (SELECT count(*) FROM moved) = (SELECT count(*) FROM filling.feeds)
"""


_FOREIGN: Final = """
SELECT k.conname, k.conrelid::regclass::text AS one, k.confrelid::regclass::text AS other,
  array_agg(format('o.%I = t.%I', b.attname, a.attname)) AS same,
  array_agg(format('t.%I IS NOT NULL', a.attname)) AS given
FROM pg_constraint k CROSS JOIN unnest(k.conkey, k.confkey) AS c (mine, theirs)
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.mine
JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = c.theirs
WHERE k.contype = 'f' AND k.connamespace = ANY ($1::text[]::regnamespace[])
GROUP BY k.oid, 1, 2, 3
"""


class _Behind(Exception):  # noqa: N818
    """Notification has not heard of every entry yet."""


@asynccontextmanager
async def superuser(stack: Stack) -> AsyncIterator[asyncpg.Connection[Any]]:
    """Connect to the stack's database as the one who may do everything."""
    home = Home(stack.home)
    state = find_state(home)
    if state is None:
        raise StackError("the stack is not up")
    bare = f"postgresql://{HOST}:{state.postgres_port}/{DATABASE}"
    url = with_role(bare, SUPERUSER, load_passwords(home)[SUPERUSER])
    conn = await asyncpg.connect(url, server_settings=SETTINGS)
    try:
        yield conn
    finally:
        await conn.close()


@dataclass(slots=True)
class Filling:
    """Multiplies what was there when it began; each copy is `step` earlier than the one before."""

    conn: asyncpg.Connection[Any]
    tables: list[Table]
    each: int
    step: timedelta
    made: int = 0

    @classmethod
    async def begin(cls, conn: asyncpg.Connection[Any], most: int) -> Self:
        """Keep the rows that there are; `most` cases are to come of them."""
        await conn.execute("DROP SCHEMA IF EXISTS filling CASCADE; CREATE SCHEMA filling")
        await conn.execute(FUNCTIONS)

        async def whole() -> bool:
            return not await conn.fetchval(_UNLIKE)

        await eventually(whole, 30, "feeds that notification knows whole", every=0.5)
        tables: list[Table] = []
        async with conn.transaction(isolation="repeatable_read"):
            await conn.execute(
                "CREATE TABLE filling.feeds AS"
                " SELECT provider_id, seq AS width, 0::bigint AS base FROM referral.feeds"
            )
            for table in await growing_tables(conn):
                some = f" WHERE subject ~ '{UUID_LIKE}'" if table.name in ORDERS else ""
                await conn.execute(
                    f"CREATE TABLE {table.copy} AS SELECT * FROM {table.place}{some}"
                )
                if await conn.fetchval(f"SELECT EXISTS (SELECT FROM {table.copy})"):
                    await _look_inside(conn, table)
                    tables.append(table)
            each = await conn.fetchval("SELECT count(*) FROM filling.intake_cases")
        await conn.execute("ANALYZE filling.feeds")
        return cls(conn, tables, each, SPAN / max(1, math.ceil(most / each)))

    async def until(self, cases: int, tell: Callable[[float], None]) -> int:
        """Add copies until there are so many cases; return how many there are."""
        copies = math.ceil((cases - await self.conn.fetchval(_COUNT)) / self.each)
        begun, last = self.made, self.made + copies
        at_once = max(1, SLICE // self.each)
        while self.made < last:
            more = min(at_once, last - self.made)

            async def added(first: int = self.made + 1, count: int = more) -> bool:
                return await self._slice(first, count)

            await eventually(added, 60, "feeds that notification knows whole", every=0.5)
            self.made += more
            tell((self.made - begun) / copies)
        for place in [*(t.place for t in self.tables), *(f"{s}.{name}" for s, name in HEADS)]:
            await self.conn.execute(f"VACUUM (ANALYZE) {place}")
        await self.conn.execute("CHECKPOINT")
        return int(await self.conn.fetchval(_COUNT))

    async def _slice(self, first: int, count: int) -> bool:
        """Add copies in one transaction; False if somebody was told of a referral just now."""
        step = round(self.step.total_seconds() * 1000)
        try:
            async with self.conn.transaction():
                await self._move(count)
                for table in self.tables:
                    await self.conn.execute(statement(table), first, first + count - 1, step)
        except _Behind:
            return False
        return True

    async def _move(self, count: int) -> None:
        """Take the numbers of so many copies in every feed.

        Raises:
            _Behind: notification does not know a feed as far as it goes.

        """
        await self.conn.execute(_MOVE, count)
        if not await self.conn.fetchval(_MOVE_TOLD, count):
            raise _Behind


async def _look_inside(conn: asyncpg.Connection[Any], table: Table) -> None:
    """Find the columns of text, and the names in JSON, that hold nothing but ids."""
    tests = {(c.name, ""): c.name for c in table.columns if c.type == "text"}
    for column in table.columns:
        if column.type == "jsonb":
            tests |= {(column.name, key): f"{column.name} ->> '{key}'" for key in IDS}
    if not tests:
        return
    asked = ", ".join(f"bool_and(({value}) ~ '{UUID_LIKE}')" for value in tests.values())
    row = await conn.fetchrow(f"SELECT {asked} FROM {table.copy}")
    found = [place for place, is_id in zip(tests, row, strict=True) if is_id]
    table.ids = frozenset(name for name, key in found if not key)
    inner: dict[str, tuple[str, ...]] = {}
    for name, key in found:
        if key:
            inner[name] = (*inner.get(name, ()), key)
    table.inner = inner


async def broken(conn: asyncpg.Connection[Any]) -> list[str]:
    """Return the foreign keys that a row breaks, and `feeds` if those of two services differ."""
    found = ["feeds"] if await conn.fetchval(_UNLIKE) else []
    for key in await conn.fetch(_FOREIGN, list(SCHEMAS)):
        lost = (
            f"SELECT EXISTS (SELECT FROM {key['one']} t WHERE {' AND '.join(key['given'])}"
            f" AND NOT EXISTS (SELECT FROM {key['other']} o WHERE {' AND '.join(key['same'])}))"
        )
        if await conn.fetchval(lost):
            found.append(key["conname"])
    return found
