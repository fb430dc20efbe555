"""Connections of SQLAlchemy's pool that are lean: transactions and statements go to asyncpg itself.

Every statement here is `text()` with named values, or has its values by number, and a report takes
many. SQLAlchemy's own way (compile, greenlets, cursor, result, a transaction in three layers) costs
several times the CPU of asyncpg's calls: 240 µs for a transaction of one statement, beside 60.
So a `LeanConnection` is asyncpg's, lent by SQLAlchemy's pool for one `async with`, and has of
SQLAlchemy's methods what the code needs. What comes back is used like SQLAlchemy's result; errors
are asyncpg's own.

A statement that gives nothing back may be held for `later`, to go in one round trip with others: at
fifty reports a second round trips are half of what a batch costs.

asyncpg asks two abstract base classes of each element of each array whether it is an array itself,
which took more than encoding them all. Here it asks for the containers that there are.
"""

# mypy: disable-error-code="override"
# SQLAlchemy's own signatures are wider.

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, cast

import asyncpg
import sqlalchemy
from asyncpg.protocol import protocol
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.exc import MultipleResultsFound, NoResultFound
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util import greenlet_spawn

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterable,
        AsyncIterator,
        Awaitable,
        Callable,
        Iterator,
        Mapping,
        Sequence,
    )

    from sqlalchemy import TextClause

_DIALECT: Final = asyncpg_dialect.dialect()  # type: ignore[no-untyped-call]

_VIEWS: Final[tuple[type, ...]] = (type({}.keys()), type({}.values()))
_CONTAINERS: Final[tuple[type, ...]] = (list, tuple, set, frozenset, *_VIEWS)
vars(protocol).update(IterableABC=_CONTAINERS, SizedABC=_CONTAINERS)

KNOWN: Final = 2000
"""Statements whose form is remembered; all of a service are some hundreds."""


CLOSE_WITHIN: Final = 2.0
"""Seconds for a connection that is given up; then it is cut."""

text: Final = lru_cache(KNOWN)(sqlalchemy.text)
"""SQLAlchemy's, once for each statement: to find the names in a long one takes it 60 µs."""


class Row(asyncpg.Record):  # type: ignore[misc]  # untyped
    """A row: a tuple whose items are attributes, too."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (a column's value)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def _mapping(self) -> Row:
        """The same by column names, as SQLAlchemy calls it."""
        return self


class Rows:
    """What a statement gave: its rows, or how many it changed."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: Sequence[Row], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def all(self) -> Sequence[Row]:
        """Return every row."""
        return self._rows

    def first(self) -> Row | None:
        """Return the first row, or None."""
        return self._rows[0] if self._rows else None

    def one(self) -> Row:
        """Return the only row.

        Raises:
            NoResultFound, MultipleResultsFound: there is none, or more.

        """
        row = self.one_or_none()
        if row is None:
            raise NoResultFound("No row was found when one was required")
        return row

    def one_or_none(self) -> Row | None:
        """Return the only row, or None.

        Raises:
            MultipleResultsFound: there are more.

        """
        if len(self._rows) > 1:
            raise MultipleResultsFound("Multiple rows were found when one was required")
        return self.first()

    def scalars(self) -> list[Any]:
        """Return the first column of every row."""
        return [row[0] for row in self._rows]

    def scalar_one(self) -> Any:  # noqa: ANN401  (a column's value)
        """Return the first column of the only row; raises as `one` does."""
        return self.one()[0]

    def scalar(self) -> Any:  # noqa: ANN401  (a column's value)
        """Return the first column of the first row, or None."""
        return self._rows[0][0] if self._rows else None


class Form(NamedTuple):
    """How PostgreSQL reads a statement: its text, its values by name, whether it gives rows.

    `changes` is the table that it changes, None for anything but a bare INSERT, UPDATE or DELETE;
    `words` are all that it says, the names of tables among them.
    """

    sql: str
    names: tuple[str, ...]
    gives_rows: bool
    changes: str | None
    words: frozenset[str]


_forms: dict[str, Form] = {}

_CHANGES: Final = re.compile(r"\s*(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)")
_WORD: Final = re.compile(r"\w+")
_NUMBER: Final = re.compile(r"\$(\d+)")


class LeanConnection(AsyncConnection):
    """A connection for one `async with`: asyncpg's own, lent by the engine's pool.

    If it `begins`, a transaction begins with the first statement and is committed at the end, or
    rolled back after an error; else each statement is a transaction of its own, in one round trip.
    Of SQLAlchemy's connection it has what stands here, nothing else.
    """

    __slots__ = ("_begins", "_begun", "_driver", "_held", "_lent", "_notes")

    def __init__(self, engine: AsyncEngine, *, begins: bool) -> None:
        """Take the engine whose pool lends the connection."""
        self.sync_engine = engine.sync_engine
        self._begins = begins
        self._begun = False
        self._lent: Any = None
        self._driver: asyncpg.Connection[Any] = None  # until it is lent
        self._held: list[tuple[TextClause, Mapping[str, Any]]] = []
        self._notes: dict[str, Any] = {}

    @property
    def info(self) -> dict[str, Any]:
        """What its users note of it until it is given back."""
        return self._notes

    async def __aenter__(self) -> Self:
        """Borrow a connection; what was lost while it lay idle is replaced.

        Raises:
            sqlalchemy.exc.TimeoutError: none became free in time.
            asyncpg.PostgresError, OSError, TimeoutError: none can be opened.

        """
        while True:
            self._lent = await greenlet_spawn(self.sync_engine.pool.connect)
            self._driver = self._lent.dbapi_connection.driver_connection
            if not self._driver.is_closed():
                return self
            self._lose()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """End the transaction and give the connection back; what fails with it is lost.

        An error stays what it was, whatever comes of the rollback: a cancel is never lost.
        """
        try:
            if error is None:
                await self._end()
            else:
                with suppress(Exception):
                    await self.rollback()
        finally:
            if self._driver.is_closed() or self._driver.is_in_transaction():
                self._lose()
            elif self._lent is not None:
                self._lent.close()
                self._lent = None

    async def get_raw_connection(self) -> Any:  # noqa: ANN401
        """Return what the pool lent; asyncpg's own is its `driver_connection`."""
        return self._lent

    async def invalidate(self, exception: BaseException | None = None) -> None:
        """Close it for good; the server rolls back whatever was begun."""
        del exception
        self._lose()

    def _lose(self) -> None:
        lent, self._lent = self._lent, None
        if lent is not None:
            lent.detach()
            closing = asyncio.ensure_future(_close(self._driver))
            _closing.add(closing)
            closing.add_done_callback(_closing.discard)

    async def _end(self) -> None:
        try:
            await self._settle()
        except BaseException:
            with suppress(Exception):
                await self.rollback()
            raise
        await self.commit()

    async def commit(self) -> None:
        """Commit what has begun, with what is held.

        Raises:
            asyncpg.InFailedSQLTransactionError: a statement had failed, so that nothing was stored.

        """
        await self._settle()
        if self._begun:
            self._begun = False
            if await self._ask(self._driver.execute, "COMMIT") != "COMMIT":
                message = "a statement had failed: the transaction was rolled back"
                raise asyncpg.InFailedSQLTransactionError(message)

    async def rollback(self) -> None:
        """Roll back what has begun, and drop what is held."""
        self._held.clear()
        if self._begun:
            self._begun = False
            await self._ask(self._driver.execute, "ROLLBACK")

    async def execute(
        self,
        statement: TextClause,
        values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> Rows:
        """Execute a statement with its values by name, or once for each of a list of them.

        Raises:
            asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError: as asyncpg does.

        """
        await self._settle()
        await self._begin()
        form = await self._form_of(statement)
        if isinstance(values, list):
            each = [_given(form, one) for one in values]
            await self._ask(self._driver.executemany, form.sql, each)
            return Rows((), len(each))
        given = _given(form, values)
        if form.gives_rows:
            rows = await self._ask(self._driver.fetch, form.sql, *given, record_class=Row)
            return Rows(rows, len(rows))
        return Rows((), _count(await self._ask(self._driver.execute, form.sql, *given)))

    async def scalar(self, statement: TextClause, values: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401
        """Return the first column of a statement's first row, or None."""
        return (await self.execute(statement, values)).scalar()

    async def scalars(self, statement: TextClause, values: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401
        """Return the first column of a statement's rows."""
        return (await self.execute(statement, values)).scalars()

    async def exec_driver_sql(self, sql: str, values: Sequence[object] = ()) -> Rows:
        """Execute a statement with its values by number."""
        rows = await self.fetch(sql, *(values or ()))
        return Rows(rows, len(rows))

    async def fetch(self, sql: str, *values: object) -> Sequence[Any]:
        """Return the rows of a statement with its values by number."""
        await self._settle()
        await self._begin()
        found: Sequence[Any] = await self._ask(self._driver.fetch, sql, *values, record_class=Row)
        return found

    @asynccontextmanager
    async def stream(
        self, statement: TextClause, values: Mapping[str, Any] | None = None
    ) -> AsyncIterator[AsyncIterable[Row]]:
        """Give a statement's rows some at a time, inside the transaction."""
        await self._settle()
        await self._begin()
        form = await self._form_of(statement)
        yield self._driver.cursor(form.sql, *_given(form, values), record_class=Row)

    def later(self, statement: TextClause, values: Mapping[str, Any]) -> None:
        """Hold an INSERT, UPDATE or DELETE whose result nobody asks for.

        What is held goes in its order, before anything else and before the end, in one round trip:
        but whatever names a table that an earlier one changes, in the next, so that each finds what
        those before it did. An error comes when they go.
        """
        self._held.append((statement, values))

    async def _settle(self) -> None:
        """Execute what is held."""
        if not self._held:
            return
        held, self._held = self._held, []
        await self._begin()
        forms = [await self._form_of(statement) for statement, _ in held]
        given = [_given(form, values) for form, (_, values) in zip(forms, held, strict=True)]
        for begin, end in _trips(forms):
            sql = _joined(*(form.sql for form in forms[begin:end]))
            await self._ask(self._driver.execute, sql, *chain.from_iterable(given[begin:end]))

    async def _form_of(self, statement: TextClause) -> Form:
        return _forms.get(statement.text) or await self._ask(_look_at, statement, self._driver)

    async def _begin(self) -> None:
        if self._begins and not self._begun:
            await self._ask(self._driver.execute, "BEGIN")
            self._begun = True

    async def _ask(self, call: Callable[..., Awaitable[Any]], *words: Any, **more: Any) -> Any:  # noqa: ANN401
        """Call asyncpg; lose the connection if nobody knows what it is doing after that.

        What was lost takes nothing more: whoever is cancelled does not wait for its end.
        """
        if self._lent is None:
            raise asyncpg.InterfaceError("the connection was given up")
        try:
            return await call(*words, **more)
        except BaseException as error:
            if is_unsure(error) or self._driver.is_closed():
                self._lose()
            raise


_closing: Final[set[asyncio.Future[None]]] = set()
"""A loop holds its tasks weakly."""


async def _close(driver: asyncpg.Connection[Any]) -> None:
    """Close a connection; the server is told to stop what nobody waits for any more.

    To cut it would leave the server at it, with its locks, until it wrote to the connection.
    """
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_WITHIN):  # asyncpg's own bound begins after the cancel
            await driver.close()


def _given(form: Form, values: Any) -> Sequence[Any]:  # noqa: ANN401  (what `execute` takes)
    return [values[name] for name in form.names] if values else ()


async def _look_at(statement: TextClause, driver: asyncpg.Connection[Any]) -> Form:
    """Ask SQLAlchemy for a statement's SQL and PostgreSQL whether it gives rows; remember it."""
    compiled: Any = statement.compile(dialect=_DIALECT)
    prepared = await driver.prepare(compiled.string)
    form = Form(
        compiled.string,
        tuple(compiled.positiontup or ()),
        bool(prepared.get_attributes()),
        changed[1] if (changed := _CHANGES.match(compiled.string)) else None,
        frozenset(_WORD.findall(compiled.string)),
    )
    if len(_forms) < KNOWN:
        _forms[statement.text] = form
    return form


def _trips(forms: Sequence[Form]) -> Iterator[tuple[int, int]]:
    """Give from where to where statements may go together: none sees what another changes.

    Raises:
        ValueError: one is no bare INSERT, UPDATE or DELETE.

    """
    begin, changed = 0, set[str]()
    for at, form in enumerate(forms):
        if form.changes is None:
            message = "only a bare INSERT, UPDATE or DELETE can be held"
            raise ValueError(message)
        if not changed.isdisjoint(form.words):
            yield begin, at
            begin, changed = at, set()
        changed.add(form.changes)
    yield begin, len(forms)


@lru_cache(KNOWN)
def _joined(first: str, *others: str) -> str:
    """Return one statement that does what several do; PostgreSQL does the last of WITH first."""
    parts, count = [], len(set(_NUMBER.findall(first)))
    for number, other in enumerate(others):
        words = _NUMBER.split(other)  # every second one is a number
        words[1::2] = [f"${int(word) + count}" for word in words[1::2]]
        count += len(set(_NUMBER.findall(other)))
        parts.append(f"held{number} AS ({''.join(words)})")
    return f"WITH {', '.join(reversed(parts))} {first}" if parts else first


def later(conn: AsyncConnection, statement: TextClause, values: Mapping[str, Any]) -> None:
    """Hold a statement for one round trip with others: see `LeanConnection.later`."""
    cast("LeanConnection", conn).later(statement, values)


async def fetch(conn: AsyncConnection, sql: str, *values: object) -> Sequence[Any]:
    """Give a statement with values by number to asyncpg; return its rows.

    Raises:
        asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError: as asyncpg does.

    """
    return await cast("LeanConnection", conn).fetch(sql, *values)


async def server_of(conn: AsyncConnection) -> int:
    """Return the server's process behind a connection."""
    driver: Any = (await conn.get_raw_connection()).driver_connection
    return int(driver.get_server_pid())


def is_unsure(error: BaseException) -> bool:
    """Say whether after this nobody knows what a connection is doing: it must be closed.

    Whoever stops waiting for an answer (a time-out, a cancel) does not know whether the server
    began a transaction, ended it, or still will: what comes next on that connection could be part
    of one that nobody knows of.
    """
    return isinstance(error, TimeoutError) or not isinstance(error, Exception)


def _count(status: str) -> int:
    """Return how many rows a status such as `UPDATE 3` tells of; 0 if it tells of none."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


class LeanEngine(AsyncEngine):
    """An engine of lean connections."""

    def connect(self) -> LeanConnection:
        """Lend a connection whose statements are each a transaction of its own."""
        return LeanConnection(self, begins=False)

    def begin(self) -> LeanConnection:
        """Lend a connection for one transaction: committed at the end, rolled back on an error."""
        return LeanConnection(self, begins=True)
