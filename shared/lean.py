"""SQLAlchemy's connection with a short way to the driver for plain statements.

Every statement here is `text()` with named values, and a report takes many. SQLAlchemy's own
way (compile, greenlet, cursor, result) costs several times the CPU of asyncpg's call. So a
`LeanConnection` gives such a statement to asyncpg itself; pool, transactions and everything else
stay SQLAlchemy's. What comes back is used like SQLAlchemy's result; errors are asyncpg's own.

asyncpg asks two abstract base classes of each element of each array whether it is an array itself,
which took more than encoding them all. Here it asks for the containers that there are.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import asyncpg
from asyncpg.protocol import protocol
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.exc import MultipleResultsFound, NoResultFound
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from sqlalchemy import CursorResult

_DIALECT: Final = asyncpg_dialect.dialect()  # type: ignore[no-untyped-call]

_VIEWS: Final[tuple[type, ...]] = (type({}.keys()), type({}.values()))
_CONTAINERS: Final[tuple[type, ...]] = (list, tuple, set, frozenset, *_VIEWS)
vars(protocol).update(IterableABC=_CONTAINERS, SizedABC=_CONTAINERS)

KNOWN: Final = 2000
"""Statements whose form is remembered; all of a service are some hundreds."""


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
    """How PostgreSQL reads a statement: its text, its values by name, whether it gives rows."""

    sql: str
    names: tuple[str, ...]
    gives_rows: bool


_forms: dict[str, Form] = {}


class LeanConnection(AsyncConnection):
    """A connection that gives plain statements to asyncpg itself."""

    async def execute(
        self,
        statement: Any,  # noqa: ANN401  (SQLAlchemy's own signature is as wide)
        parameters: Any = None,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> CursorResult[Any]:
        """Execute a statement; a `text()` with at most one set of values goes the short way.

        Raises:
            asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError: as asyncpg does.

        """
        if type(statement) is not TextClause or isinstance(parameters, list | tuple):
            return await super().execute(statement, parameters, **options)
        return cast("CursorResult[Any]", await self._short(statement, parameters or {}))

    async def _short(self, statement: TextClause, values: Mapping[str, Any]) -> Rows:
        sync = self._proxied
        if not sync.in_transaction():
            sync.begin()
        adapter: Any = sync.connection.dbapi_connection
        driver: asyncpg.Connection[Any] = adapter.driver_connection
        try:
            if not adapter._started and not adapter.autocommit:  # noqa: SLF001  (begun when needed)
                begun = driver.transaction(isolation=adapter.isolation_level)
                await begun.start()
                adapter._transaction, adapter._started = begun, True  # noqa: SLF001  (it ends it)
            form = _forms.get(statement.text) or await _look_at(statement, driver)
            arguments = [values[name] for name in form.names]
            if form.gives_rows:
                rows = await driver.fetch(form.sql, *arguments, record_class=Row)
                return Rows(rows, len(rows))
            return Rows((), _count(await driver.execute(form.sql, *arguments)))
        except BaseException as error:
            begun_or_not = not adapter._started and not adapter.autocommit  # noqa: SLF001
            if begun_or_not or driver.is_closed() or is_unsure(error):
                await self.invalidate()
            raise


async def _look_at(statement: TextClause, driver: asyncpg.Connection[Any]) -> Form:
    """Ask SQLAlchemy for a statement's SQL and PostgreSQL whether it gives rows; remember it."""
    compiled: Any = statement.compile(dialect=_DIALECT)
    prepared = await driver.prepare(compiled.string)
    names = tuple(compiled.positiontup or ())
    form = Form(compiled.string, names, bool(prepared.get_attributes()))
    if len(_forms) < KNOWN:
        _forms[statement.text] = form
    return form


@asynccontextmanager
async def direct(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Lend a connection for `fetch`, each of which is a transaction of its own.

    One that failed is thrown away, as the pool cannot know.
    """
    async with engine.connect() as conn:
        try:
            yield conn
        except BaseException:
            await conn.invalidate()
            raise


async def fetch(conn: AsyncConnection, sql: str, *values: object) -> Sequence[Any]:
    """Give a statement with values by number to asyncpg, inside the transaction if one has begun.

    Raises:
        asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError: as asyncpg does.

    """
    found: Sequence[Any] = await (await driver_of(conn)).fetch(sql, *values)
    return found


async def driver_of(conn: AsyncConnection) -> asyncpg.Connection[Any]:
    """Return asyncpg's connection below; one that was lost while it lay idle is replaced."""
    driver: Any = (await conn.get_raw_connection()).driver_connection
    if driver.is_closed():
        await conn.invalidate()
        driver = (await conn.get_raw_connection()).driver_connection
    return driver


def is_unsure(error: BaseException) -> bool:
    """Say whether after this nobody knows what a connection is doing: it must be closed.

    Whoever stops waiting for an answer (a time-out, a cancel) does not know whether the server
    began a transaction, ended it, or still will. asyncpg takes the next one on that connection for
    a savepoint inside the first, and nothing of it is ever committed though every call says so.
    """
    return isinstance(error, TimeoutError) or not isinstance(error, Exception)


def _count(status: str) -> int:
    """Return how many rows a status such as `UPDATE 3` tells of; 0 if it tells of none."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


def make_lean(engine: AsyncEngine) -> AsyncEngine:
    """Return an engine whose connections are lean."""
    return LeanEngine(engine.sync_engine)


class LeanEngine(AsyncEngine):
    """An engine of lean connections."""

    _connection_cls = LeanConnection
