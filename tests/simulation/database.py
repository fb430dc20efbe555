"""A PostgreSQL in memory, as far as the product uses one, with the failures that one has.

It keeps rows, transactions at READ COMMITTED, row locks that wait, advisory locks, deadlocks found,
identities that are given before the commit, sessions that end with their process. Each statement of
the product is known by its beginning and has a meaning (`kernel`, `tables`); one that has none is
an error of the simulation. What a real PostgreSQL does is tested in `tests/integration`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from shared.lean import Rows
from tests.simulation.world import GoneError, here

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from datetime import datetime

    from tests.simulation.world import Process, World

Key: TypeAlias = tuple[Any, ...]
Fields: TypeAlias = dict[str, Any]
Lock: TypeAlias = tuple[str, Key]

LOCK_TIMEOUT = 5.0
IDLE_TIMEOUT = 10.0


class UnknownStatement(BaseException):
    """A statement has no meaning here: the rig is wrong, whatever the product makes of it."""


class Row(dict[str, Any]):
    """A row: its columns by name, as attributes, and in their order."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, name: str | int) -> Any:
        return list(self.values())[name] if isinstance(name, int) else super().__getitem__(name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())

    @property
    def _mapping(self) -> Row:
        return self


Meaning: TypeAlias = "Callable[[Session, Mapping[str, Any]], Awaitable[list[Row]]]"


@dataclass(eq=False)
class Database:
    """Tables, locks and sessions of one database; `find` tells what a statement does."""

    world: World
    name: str
    find: Callable[[str], Meaning | None]
    down_until: float = 0.0
    tables: dict[str, dict[Key, Fields]] = field(default_factory=lambda: defaultdict(dict))
    identities: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    holders: dict[Lock, dict[Session, bool]] = field(default_factory=lambda: defaultdict(dict))
    sessions: dict[int, Session] = field(default_factory=dict)
    hearers: list[tuple[Process, str, Callable[..., None]]] = field(default_factory=list)
    pids: int = 0

    def meaning_of(self, sql: str) -> Meaning:
        """Return what a statement does."""
        meaning = self.find(sql)
        if meaning is None:
            raise UnknownStatement(sql.strip()[:120])
        return meaning

    async def open(self) -> Session:
        """Open a session of the process that asks."""
        process = await self.world.step(f"{self.name} connects")
        self.must_be_up()
        self.pids += 1
        session = Session(self, self.pids, process)
        self.sessions[self.pids] = session
        process.at_end.append(session.end)
        return session

    def must_be_up(self) -> None:
        if asyncio.get_running_loop().time() < self.down_until:
            raise ConnectionRefusedError(111, "refused")

    def stop(self, seconds: float) -> None:
        """End every session, and refuse new ones for a while."""
        self.down_until = asyncio.get_running_loop().time() + seconds
        for session in list(self.sessions.values()):
            session.end()

    def notify(self) -> None:
        """Tell those who listen, as another process would; the dead hear nothing."""
        for process, channel, call in self.hearers:
            if not process.dead:
                call(None, 0, channel, "")


@dataclass(eq=False)
class Session:
    """One session, and its transaction while it has one."""

    database: Database
    pid: int
    process: Process
    ended: bool = False
    begun: datetime | None = None
    changed: dict[Lock, Fields | None] = field(default_factory=dict)
    locks: dict[Lock, bool] = field(default_factory=dict)
    kept: set[Lock] = field(default_factory=set)
    failed: bool = False
    last: float = 0.0
    waits: Lock | None = None
    waking: asyncio.Future[None] | None = None

    # --- What meanings use ---------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The time at which the transaction began, as PostgreSQL's now() is."""
        return self.begun or self.database.world.now()

    def get(self, table: str, *key: Any) -> Fields | None:
        """Return a row as this transaction sees it."""
        place = (table, key)
        if place in self.changed:
            return self.changed[place]
        return self.database.tables[table].get(key)

    def rows(self, table: str) -> list[Fields]:
        """Return every row of a table as this transaction sees it."""
        kept = self.database.tables[table]
        mine = {k: v for (t, k), v in self.changed.items() if t == table}
        found = [mine.get(k, v) for k, v in kept.items()]
        found += [v for k, v in mine.items() if k not in kept]
        return [row for row in found if row is not None]

    def put(self, table: str, key: Key, row: Fields | None) -> None:
        """Write a row, or delete it; it must be locked."""
        assert (table, key) in self.locks, "written without a lock"
        self.changed[table, key] = row

    def next(self, identity: str) -> int:
        """Give the next number; it is not given back."""
        self.database.identities[identity] += 1
        return self.database.identities[identity]

    async def lock(self, table: str, *key: Any, shared: bool = False) -> None:
        """Wait for a lock that is kept until the transaction ends."""
        place, loop = (table, key), asyncio.get_running_loop()
        until = loop.time() + LOCK_TIMEOUT
        while self._conflicts(place, shared=shared):
            self.waits = place
            if self._is_in_a_circle():
                self.waits = None
                raise asyncpg.DeadlockDetectedError("deadlock detected")
            self.waking = loop.create_future()
            try:
                async with asyncio.timeout_at(until):
                    await self.waking
            except TimeoutError:
                raise asyncpg.LockNotAvailableError("lock timeout") from None
            finally:
                self.waits = self.waking = None
            self.must_live()
        exclusive = not shared or not self.locks.get(place, True)
        self.locks[place] = not exclusive
        self.database.holders[place][self] = not exclusive

    def unlock(self, table: str, *key: Any) -> None:
        """Let go of a lock that was only waited for."""
        self.locks.pop((table, key))
        self._release((table, key))

    def try_keep(self, table: str, *key: Any) -> bool:
        """Take a lock that is kept until the session ends, if it is free."""
        place = (table, key)
        if self.database.holders[place]:
            return self in self.database.holders[place]
        self.database.holders[place][self] = False
        self.kept.add(place)
        return True

    def _conflicts(self, place: Lock, *, shared: bool) -> bool:
        held = self.database.holders[place]
        return any(other is not self and not (shared and theirs) for other, theirs in held.items())

    def _is_in_a_circle(self) -> bool:
        seen: set[Session] = set()
        asked = [self]
        while asked:
            place = asked.pop().waits
            if place is None:
                continue
            for holder in self.database.holders[place]:
                if holder is self and place is not self.waits:
                    return True
                if holder not in seen:
                    seen.add(holder)
                    asked.append(holder)
        return False

    # --- Its life ------------------------------------------------------------------------------

    def must_live(self) -> None:
        if self.process.dead:
            raise GoneError
        if self.ended:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed")

    async def do(self, meaning: Meaning, values: Mapping[str, Any], what: str) -> list[Row]:
        """Do one statement, with what can go wrong on the way there and back."""
        world, loop = self.database.world, asyncio.get_running_loop()
        await world.step(f"{self.database.name} {what}")
        self.must_live()
        if self.begun is not None and loop.time() - self.last > IDLE_TIMEOUT:
            self.end()
        if world.happens("cut"):
            self.end()
        self.must_live()
        if self.failed:
            raise asyncpg.InFailedSQLTransactionError("aborted")
        if self.begun is None:
            self.begun = world.now()
        try:
            self._may_fail()
            found = await meaning(self, values)
        except BaseException:
            self.failed = True
            raise
        self.last = loop.time()
        world.pass_point(self.process, f"{what} done")
        if world.happens("cut"):
            self.end()
            self.must_live()
        return found

    def _may_fail(self) -> None:
        if self.database.world.happens("refused"):
            raise asyncpg.SerializationError("could not serialize access")

    async def commit(self) -> None:
        """Make what was changed true; the answer may be lost, with it done or undone."""
        world = self.database.world
        await world.step(f"{self.database.name} commit")
        self.must_live()
        if self.failed:
            self.forget()
            raise asyncpg.InFailedSQLTransactionError("aborted")
        unknown = world.happens("commit_unknown")
        if unknown and world.dice.random() < 0.5:
            self.end()
            self.must_live()
        for (table, key), row in self.changed.items():
            if row is None:
                self.database.tables[table].pop(key, None)
            else:
                self.database.tables[table][key] = row
        self.forget()
        world.pass_point(self.process, "commit done")
        if unknown:
            self.end()
            self.must_live()

    def forget(self) -> None:
        """Undo what is not committed, and let go of the transaction's locks."""
        self.changed.clear()
        for place in self.locks:
            self._release(place)
        self.locks.clear()
        self.begun, self.failed = None, False

    def _release(self, place: Lock) -> None:
        self.database.holders[place].pop(self, None)
        for other in list(self.database.sessions.values()):
            if other.waits == place and other.waking is not None and not other.waking.done():
                other.waking.set_result(None)

    def end(self) -> None:
        """End the session, as the server or the death of its process does."""
        if self.ended:
            return
        self.ended = True
        self.forget()
        for place in self.kept:
            self._release(place)
        self.kept.clear()
        del self.database.sessions[self.pid]
        if self.waking is not None and not self.waking.done():
            self.waking.set_result(None)


class Connection:
    """A session as the product's code holds it: SQLAlchemy's connection, lean."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.info: dict[str, Any] = {}
        self.held: list[tuple[Any, Mapping[str, Any]]] = []

    def later(self, statement: Any, values: Mapping[str, Any]) -> None:
        self.held.append((statement, values))

    async def settle(self) -> None:
        held, self.held = self.held, []
        for statement, values in held:
            await self.execute(statement, values)

    async def execute(self, statement: Any, values: Mapping[str, Any] | None = None) -> Rows:
        await self.settle()
        sql = statement.text
        meaning = self.session.database.meaning_of(sql)
        found = await self.session.do(meaning, values or {}, sql.strip()[:40])
        return Rows(found, len(found))  # type: ignore[arg-type]  # they are used alike

    async def scalar(self, statement: Any, values: Mapping[str, Any] | None = None) -> Any:
        return (await self.execute(statement, values)).scalar()

    async def commit(self) -> None:
        await self.settle()
        await self.session.commit()

    async def rollback(self) -> None:
        self.held.clear()
        self.session.forget()


class Engine:
    """What opens connections to a database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        session = await self.database.open()
        try:
            yield Connection(session)
        finally:
            session.end()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Connection]:
        async with self.connect() as conn:
            yield conn
            await conn.commit()


class Driver:
    """A session as the relay holds it: asyncpg's connection, each statement alone."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def fetch(self, sql: str, *values: Any) -> list[Row]:
        meaning = self.session.database.meaning_of(sql)
        numbered = {str(n): value for n, value in enumerate(values, 1)}
        found = await self.session.do(meaning, numbered, sql.strip()[:40])
        await self.session.commit()
        return found

    async def execute(self, sql: str, *values: Any) -> str:
        return f"DONE {len(await self.fetch(sql, *values))}"

    async def add_listener(self, channel: str, call: Callable[..., None]) -> None:
        self.session.must_live()
        self.session.database.hearers.append((here(), channel, call))

    async def close(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  (asyncpg's)
        del timeout
        self.session.end()


def lines(values: Mapping[str, Any], *names: str) -> list[tuple[Any, ...]]:
    """Return columns of equal length as lines: unnest."""
    return list(zip(*(values[name] for name in names), strict=True))
