"""The short way from a statement to asyncpg: rows, errors and transactions as SQLAlchemy's."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest
from asyncpg.protocol import protocol
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared import database, lean
from shared.database import Blame, blame, make_engine
from shared.lean import fetch, later, server_of
from tests.support.cut import Cut
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from tests.support.lab import Lab

_TWO = text("SELECT n, n * 10 AS tens FROM generate_series(1, :upto) AS n ORDER BY n")
_PUT = text(
    "INSERT INTO effects (consumer, subject, sequence, event_id, process, note)"
    " SELECT 'c', s, 1, :id, 'p', :note FROM unnest(CAST(:subjects AS text[])) AS s"
)


async def put(conn: AsyncConnection, *subjects: str, note: str | None = None) -> int:
    values = {"id": uuid4(), "note": note, "subjects": list(subjects)}
    return (await conn.execute(_PUT, values)).rowcount


async def _put_two(lab: Lab) -> None:
    async with lab.engine.begin() as conn:
        await put(conn, "before")
        await put(conn, "bad", note="refuse")


async def test_an_array_is_any_container_and_no_text(lab: Lab) -> None:
    words = text("SELECT count(*), min(w), max(w) FROM unnest(CAST(:words AS text[])) AS w")
    nested = text("SELECT array_ndims(CAST(:words AS text[]))")
    async with lab.engine.begin() as conn:
        for kind in (list, tuple, set, frozenset):
            found = await conn.execute(words, {"words": kind(["a", "bc", "d"])})
            assert tuple(found.one()) == (3, "a", "d")
        views: list[Any] = [dict.fromkeys("ad").keys(), {1: "a", 2: "d"}.values(), []]
        for view in views:
            found = await conn.execute(words, {"words": view})
            assert found.one()[0] == len(view)
        assert await conn.scalar(nested, {"words": [["a", "b"], ["c", "d"]]}) == 2
    for no_array in ("abc", b"abc", 7, {"a": 1}):
        with pytest.raises(asyncpg.DataError):
            async with lab.engine.begin() as conn:
                await conn.execute(words, {"words": no_array})


def test_no_element_of_an_array_is_asked_for_its_abstract_classes() -> None:
    asked = [vars(protocol)[name] for name in ("IterableABC", "SizedABC")]
    assert all(isinstance(each, tuple) for each in asked)


async def test_rows_are_tuples_with_names(lab: Lab) -> None:
    async with lab.engine.begin() as conn:
        rows = await conn.execute(_TWO, {"upto": 2})
        assert [(row.n, row.tens) for row in rows] == [(1, 10), (2, 20)]
        first, second = rows.all()
        assert tuple(first) == (1, 10)
        assert second[1] == 20
        assert dict(second._mapping) == {"n": 2, "tens": 20}
        with pytest.raises(AttributeError):
            _ = first.hundreds
        assert list(rows.scalars()) == [1, 2]
        assert (await conn.execute(_TWO, {"upto": 1})).scalar_one() == 1
        assert await conn.scalar(_TWO, {"upto": 0}) is None
        assert await conn.scalar(_TWO, {"upto": 1}) == 1
        with pytest.raises(MultipleResultsFound):
            rows.one()
        assert (await conn.execute(_TWO, {"upto": 0})).one_or_none() is None
        assert (await conn.execute(_TWO, {"upto": 1})).one_or_none() == (1, 10)
        with pytest.raises(NoResultFound):
            (await conn.execute(_TWO, {"upto": 0})).one()


async def test_a_statement_without_rows_tells_how_many_it_changed(lab: Lab) -> None:
    async with lab.engine.begin() as conn:
        assert await put(conn, "a", "b", "c") == 3
        gone = await conn.execute(text("DELETE FROM timers WHERE subject = :s"), {"s": "nobody"})
        assert gone.rowcount == 0


async def test_a_transaction_ends_as_it_should(lab: Lab) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await _put_two(lab)
    assert blame(refused.value) is Blame.RECORD
    async with lab.engine.begin() as conn:
        await put(conn, "kept")
    async with lab.engine.begin() as conn:
        await put(conn, "taken back")
        await conn.rollback()
    async with lab.engine.connect() as conn:
        await put(conn, "alone")
        with pytest.raises(asyncpg.CheckViolationError):
            await put(conn, "bad", note="refuse")
        await put(conn, "alone, too")
    async with lab.engine.begin() as conn:
        pass
    found = [effect.subject for effect in await lab.effects()]
    assert found == ["kept", "alone", "alone, too"]


async def test_a_commit_after_a_failure_that_somebody_hid_is_no_commit(lab: Lab) -> None:
    """PostgreSQL answers such a COMMIT with ROLLBACK, and no error."""

    async def hide() -> None:
        async with lab.engine.begin() as conn:
            await put(conn, "before")
            with contextlib.suppress(asyncpg.CheckViolationError):
                await put(conn, "bad", note="refuse")

    with pytest.raises(asyncpg.InFailedSQLTransactionError) as lost:
        await hide()
    assert blame(lost.value) is Blame.WORLD
    async with lab.engine.begin() as conn:
        await put(conn, "after")
    assert [effect.subject for effect in await lab.effects()] == ["after"]


async def test_a_list_of_values_is_a_statement_for_each(lab: Lab) -> None:
    each = [{"id": uuid4(), "note": None, "subjects": [name]} for name in ("a", "b")]
    async with lab.engine.begin() as conn:
        assert (await conn.execute(_PUT, each)).rowcount == 2
    assert [effect.subject for effect in await lab.effects()] == ["a", "b"]


async def test_rows_come_by_and_by(lab: Lab) -> None:
    async with lab.engine.begin() as conn, conn.stream(_TWO, {"upto": 500}) as rows:
        assert [row.n async for row in rows] == [*range(1, 501)]


async def test_what_was_lost_while_it_lay_idle_is_replaced(lab: Lab) -> None:
    """Nobody is told of a connection that the server ended, and that nobody used."""
    engine = make_engine(lab.url(), size=2, name="lab idle")
    async with engine.connect() as one, engine.connect() as other:
        lent: list[Any] = [await conn.get_raw_connection() for conn in (one, other)]
        drivers = [each.driver_connection for each in lent]
    pids = [driver.get_server_pid() for driver in drivers]
    await lab.fetch("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS t (pid)", pids)
    await eventually(lambda: all(driver.is_closed() for driver in drivers), what="their ends")
    async with engine.begin() as one, engine.begin() as other:
        await put(one, "one")
        await put(other, "other")
    await engine.dispose()
    assert {effect.subject for effect in await lab.effects()} == {"one", "other"}


async def test_a_connection_that_was_cut_is_not_used_again(lab: Lab) -> None:
    async with Cut(*lab.database()) as cut:
        engine = make_engine(lab.url(port=cut.port), size=1, name="lab cut")
        async with engine.begin() as conn:
            await put(conn, "one")
        cut.cut()
        with pytest.raises(Exception) as lost:  # noqa: PT011  (whose fault it is, is the question)
            async with engine.begin() as conn:
                await put(conn, "lost")
        assert blame(lost.value) is Blame.WORLD
        async with engine.begin() as conn:
            await put(conn, "two")
        await engine.dispose()
    assert [effect.subject for effect in await lab.effects()] == ["one", "two"]


async def test_a_statement_that_was_cancelled_is_ended_and_leaves_nothing_behind(lab: Lab) -> None:
    engine = make_engine(lab.url(), size=1, name="lab cancelled")

    async def sleep() -> None:
        async with engine.begin() as conn:
            await put(conn, "cancelled")
            await conn.execute(text("SELECT pg_sleep(600)"))

    task = asyncio.create_task(sleep())
    asleep = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)' AND state = 'active'"
    await eventually(lambda: lab.fetch(asleep), what="the statement")
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    async with engine.begin() as conn:
        await put(conn, "after")

    async def ended() -> bool:
        return not await lab.fetch(asleep)

    await eventually(ended, what="the server to end it")
    await engine.dispose()
    assert [effect.subject for effect in await lab.effects()] == ["after"]


async def test_who_waits_for_a_connection_waits_within_a_bound_or_gets_the_next(lab: Lab) -> None:
    engine = make_engine(lab.url(), size=1, name="lab dry", wait=2.0)
    asleep = asyncio.Event()

    async def hold() -> None:
        async with engine.begin() as conn:
            await put(conn, "held")
            asleep.set()
            await conn.execute(text("SELECT pg_sleep(600)"))

    holder = asyncio.create_task(hold())
    await asleep.wait()
    with pytest.raises(PoolTimeoutError) as raised:
        async with engine.begin():
            pass
    assert blame(raised.value) is Blame.WORLD
    waiting = asyncio.create_task(_put_one(engine))
    await asyncio.sleep(0)  # it stands in line
    holder.cancel()
    await waiting
    await engine.dispose()
    assert [effect.subject for effect in await lab.effects()] == ["one"]


async def _put_one(engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        await put(conn, "one")


@pytest.mark.parametrize("where", ["BEGIN", "a statement", "COMMIT", "ROLLBACK"])
async def test_a_connection_that_was_not_waited_for_to_the_end_is_used_no_more(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr("shared.database.COMMAND_TIMEOUT", 1.0)
    async with Cut(*lab.database()) as cut:
        engine = make_engine(lab.url(port=cut.port), size=1, name="unsure")
        async with engine.begin() as conn:  # there is a connection, its statements are prepared
            await put(conn, "first")

        async def held() -> None:
            async with engine.begin() as conn:
                if where == "BEGIN":
                    cut.hole()
                await put(conn, "held")
                if where == "a statement":
                    cut.hole()
                await put(conn, "held too")
                cut.hole()
                await (conn.rollback() if where == "ROLLBACK" else conn.commit())

        opening = asyncio.get_running_loop().call_later(2.5, cut._flows.set)
        with pytest.raises((TimeoutError, OSError, asyncpg.InterfaceError, DBAPIError)):
            await held()
        opening.cancel()
        await cut.open()
        async with engine.begin() as conn:
            await put(conn, "after")
        assert "after" in await lab.sequences("c"), "what was said to be committed is"
        async with engine.begin() as conn:
            await put(conn, "later")
        await engine.dispose()
        found = await lab.sequences("c")
    assert {"first", "after", "later"} <= found.keys()
    if where != "COMMIT":
        assert not {"held", "held too"} & found.keys(), "what failed is not committed by another"


async def test_a_cancel_outlives_a_rollback_that_fails(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.database.COMMAND_TIMEOUT", 1.0)
    monkeypatch.setattr("shared.lean.CLOSE_WITHIN", 0.5)
    begun = asyncio.Event()
    async with Cut(*lab.database()) as cut:
        engine = make_engine(lab.url(port=cut.port), size=1, name="cancelled")

        async def wait() -> None:
            async with engine.begin() as conn:
                await put(conn, "cancelled")
                cut.hole()
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await eventually(lambda: not lean._closing, what="the end of what was given up")
        await cut.open()
        async with engine.begin() as conn:
            await put(conn, "after")
        await engine.dispose()
    assert [effect.subject for effect in await lab.effects()] == ["after"]


async def test_who_is_cancelled_in_a_statement_waits_for_no_end_of_the_connection(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.lean.CLOSE_WITHIN", 3.0)
    async with Cut(*lab.database()) as cut:
        engine = make_engine(lab.url(port=cut.port), size=1, name="hole")
        begun = asyncio.Event()

        async def wait() -> None:
            async with engine.begin() as conn:
                await put(conn, "cancelled")
                cut.hole()
                begun.set()
                await put(conn, "never answered")

        task = asyncio.create_task(wait())
        await begun.wait()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert lean._closing, "the black hole held the caller until the connection was cut"
        await eventually(lambda: not lean._closing, what="the end of what was given up")
        await engine.dispose()


async def test_a_client_that_freezes_before_a_statement_keeps_no_lock(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session is not idle for PostgreSQL, and no statement runs."""
    monkeypatch.setattr(database, "LONGEST_TRANSACTION", "1s")
    engine = database.make_engine(lab.url(), size=1, name="frozen")

    async def freeze() -> None:
        async with engine.begin() as conn:
            await conn.execute(text("SELECT pg_advisory_xact_lock(77)"))
            driver: Any = (await conn.get_raw_connection()).driver_connection
            await driver.prepare("SELECT $1::integer")
            await eventually(driver.is_closed, 20, "the end of its session")

    try:
        with pytest.raises(asyncpg.InterfaceError):  # the commit comes too late
            await freeze()
    finally:
        await engine.dispose()


_FIRST = text("INSERT INTO first (n, says) SELECT n, :says FROM unnest(CAST(:n AS int[])) AS n")
_SECOND = text("INSERT INTO second (n, says) SELECT n, :says FROM unnest(CAST(:n AS int[])) AS n")
_RAISE = text("UPDATE first SET says = says || :more WHERE n = ANY(CAST(:n AS int[]))")
_BOTH = text(
    "SELECT (SELECT string_agg(says, ',' ORDER BY id) FROM first) AS first, count(*) FROM second"
)


@pytest.fixture
async def tables(lab: Lab) -> AsyncIterator[AsyncEngine]:
    """Tables whose rows are numbered in turn; the second has a reference to the first."""
    owner = await asyncpg.connect(lab.url("owner"))
    await owner.execute(
        "CREATE SEQUENCE turn;"
        " CREATE TABLE first (id bigint DEFAULT nextval('turn'), n int UNIQUE, says text);"
        " CREATE TABLE second (id bigint DEFAULT nextval('turn'), says text,"
        " n int REFERENCES first (n) CHECK (n < 100));"
        " CREATE TABLE third (id bigint DEFAULT nextval('turn'), n int, says text);"
        " GRANT ALL ON first, second, third, turn TO PUBLIC"
    )
    try:
        yield lab.engine
    finally:
        await owner.execute("DROP TABLE third, second, first; DROP SEQUENCE turn")
        await owner.close()


def _asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what is sent to the server from now on."""
    sent: list[str] = []
    ask = asyncpg.Connection.execute

    async def noting(self: Any, sql: str, *values: Any, **more: Any) -> str:
        sent.append(sql)
        return str(await ask(self, sql, *values, **more))

    monkeypatch.setattr(asyncpg.Connection, "execute", noting)
    return sent


async def test_what_is_held_goes_in_one_round_trip_before_the_commit(
    tables: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = text(
        "INSERT INTO third (n, says)"
        " VALUES (CAST(:n AS int), CAST(:n AS int) || CAST(:says AS text))"
    )
    async with tables.connect() as conn:
        assert tuple((await conn.execute(_BOTH)).one()) == (None, 0)
    sent = _asked(monkeypatch)
    async with tables.begin() as conn:
        later(conn, _FIRST, {"n": [1, 2], "says": "a"})
        later(conn, _SECOND, {"n": [2], "says": "b"})
        later(conn, third, {"n": 3, "says": "c"})
    assert len(sent) == 3  # BEGIN, all of it, COMMIT
    async with tables.connect() as conn:
        rows = await fetch(
            conn,
            "SELECT n, says FROM (SELECT id, n, says FROM first UNION SELECT id, n, says"
            " FROM second UNION SELECT id, n, says FROM third) AS every ORDER BY id",
        )
    assert [tuple(row) for row in rows] == [(1, "a"), (2, "a"), (2, "b"), (3, "3c")]


async def test_what_is_held_is_there_for_whatever_comes_next(tables: AsyncEngine) -> None:
    async with tables.begin() as conn:
        later(conn, _FIRST, {"n": [1], "says": "a"})
        later(conn, _RAISE, {"n": [1], "more": "b"})
        later(conn, _RAISE, {"n": [1], "more": "c"})
        later(conn, _SECOND, {"n": [1], "says": "d"})
        assert tuple((await conn.execute(_BOTH)).one()) == ("abc", 1)
        later(conn, _FIRST, {"n": [2], "says": "e"})
        rows = await fetch(conn, "SELECT says FROM first ORDER BY n")
        assert [row.says for row in rows] == ["abc", "e"]
    async with tables.connect() as conn:  # no transaction: it goes at the end
        later(conn, _FIRST, {"n": [3], "says": "f"})
    async with tables.connect() as conn:
        assert tuple((await conn.execute(_BOTH)).one()) == ("abc,e,f", 1)


async def test_what_is_held_and_refused_takes_the_whole_transaction_back(
    tables: AsyncEngine,
) -> None:
    pids = set()

    async def put_and_hold(number: int) -> None:
        async with tables.begin() as conn:
            pids.add(await server_of(conn))
            await conn.execute(_FIRST, {"n": [1, 100], "says": "a"})
            later(conn, _SECOND, {"n": [1, number], "says": "b"})

    for number in (100, 7):  # beyond the bound of the table; without what it refers to
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
            await put_and_hold(number)
        assert blame(refused.value) is Blame.RECORD
    async with tables.connect() as conn:
        assert tuple((await conn.execute(_BOTH)).one()) == (None, 0)
        pids.add(await server_of(conn))
    assert len(pids) == 1, "the connection is kept"


async def test_what_is_held_is_dropped_with_its_transaction(tables: AsyncEngine) -> None:
    async def hold_and_fail() -> None:
        async with tables.begin() as conn:
            later(conn, _FIRST, {"n": [1], "says": "a"})
            raise KeyError

    with pytest.raises(KeyError):
        await hold_and_fail()
    async with tables.begin() as conn:
        later(conn, _FIRST, {"n": [2], "says": "b"})
        await conn.rollback()
    async with tables.connect() as conn:
        assert tuple((await conn.execute(_BOTH)).one()) == (None, 0)


async def test_only_what_changes_one_table_can_be_held(tables: AsyncEngine) -> None:
    for statement in ("SELECT 1", "WITH x AS (SELECT 1) DELETE FROM first", "DROP TABLE first"):
        with pytest.raises(ValueError, match="held"):
            async with tables.begin() as conn:
                later(conn, text(statement), {})
