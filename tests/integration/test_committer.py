"""Group commit on a real PostgreSQL: every answer is true, whatever becomes of the group."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from services.intake.committer import LOOK_UP, MAX_QUEUE, Committer, Later
from services.intake.preparing import prepare
from services.intake.report import ReportIn
from services.intake.submissions import SubmissionStore
from shared.database import make_engine
from shared.errors import IdempotencyConflict, InvalidBody, Unavailable
from shared.idempotency import Key
from tests.support.cut import Cut
from tests.support.room import Room, open_room
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.intake.submissions import Prepared

TOLD = {"channel": "web", "narrative": "Invented.", "persons": [{"ref": "a", "name": "Example"}]}


@dataclass(slots=True)
class Counter:
    """A committer on one connection that can be cut."""

    room: Room
    cut: Cut
    committer: Committer

    def prepare(self, key: Key | None = None) -> Prepared:
        report = ReportIn.model_validate(TOLD)
        room = self.room
        return prepare(
            report, channel="web", caller=None, vault=room.vault, secrets=room.secrets, key=key
        )

    async def together(self, *group: Prepared | Later) -> list[bytes | BaseException]:
        """Commit submissions as one group."""
        waiting = [asyncio.create_task(self.committer.commit(one)) for one in group]
        await asyncio.sleep(0)  # all of them are in the queue before the committer turns
        running = asyncio.create_task(self.committer.run())
        try:
            return await asyncio.gather(*waiting, return_exceptions=True)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def stored(self, *group: Prepared) -> list[bool]:
        found = {
            row.submission_id
            for row in await self.room.rows("SELECT submission_id FROM submissions")
        }
        return [one.submission_id in found for one in group]


@pytest.fixture
async def counter(postgres_admin_dsn: str) -> AsyncIterator[Counter]:
    async with open_counter(postgres_admin_dsn) as opened:
        yield opened


@asynccontextmanager
async def open_counter(postgres_admin_dsn: str) -> AsyncIterator[Counter]:
    async with open_room(postgres_admin_dsn) as room:
        url = urlsplit(room.database.urls("intake")["DATABASE_URL"])
        async with Cut(str(url.hostname), int(url.port or 5432)) as cut:
            there = url._replace(netloc=url.netloc.rpartition(":")[0] + f":{cut.port}").geturl()
            engine = make_engine(there, size=2, name="counter")
            try:
                store = SubmissionStore(engine, room.outbox)
                yield Counter(room, cut, Committer(store, lambda: None))
            finally:
                await engine.dispose()


def key_of(value: str, body: bytes = b"{}") -> Key:
    return Key.of(value, scope="anonymous", body=body)


async def test_a_group_is_stored_with_all_that_belongs_to_it(counter: Counter) -> None:
    group = [counter.prepare() for _ in range(5)]
    assert await counter.together(*group) == [one.answer for one in group]
    counts = await counter.room.rows(
        "SELECT (SELECT count(*) FROM submissions) AS submissions,"
        " (SELECT count(*) FROM cases) AS cases, (SELECT count(*) FROM subjects) AS subjects,"
        " (SELECT count(*) FROM sealed) AS sealed, (SELECT count(*) FROM outbox) AS events"
    )
    fields = sum(len(subject.fields) for one in group for subject in one.subjects)
    assert tuple(counts[0]) == (5, 5, 10, fields, 5)
    events = await counter.room.rows("SELECT key, value FROM outbox ORDER BY id")
    subjects = [p.draft.subject for p in group if p.draft]
    assert [bytes(event.key).decode() for event in events] == subjects
    assert {json.loads(event.value)["sequence"] for event in events} == {f"{1:020d}"}


async def test_one_key_in_a_group_is_one_submission(counter: Counter) -> None:
    value = str(uuid4())
    first, again = counter.prepare(key_of(value)), counter.prepare(key_of(value))
    other = counter.prepare(key_of(value, b"another body"))
    answers = await counter.together(first, again, other)
    assert answers[:2] == [first.answer, first.answer]
    assert isinstance(answers[2], IdempotencyConflict)
    assert await counter.stored(first, again, other) == [True, False, False]
    later = counter.prepare(key_of(value))
    assert await counter.together(later, counter.prepare()) != [later.answer, None]
    assert await counter.stored(later) == [False]
    assert len(await counter.room.rows("SELECT 1 FROM outbox")) == 2


async def test_a_row_that_the_database_refuses_fails_nobody_else(counter: Counter) -> None:
    good = [counter.prepare(), counter.prepare()]
    bad = replace(counter.prepare(), message_id="no text of PostgreSQL: \x00")
    answers = await counter.together(good[0], bad, good[1])
    assert [answers[0], answers[2]] == [good[0].answer, good[1].answer]
    assert isinstance(answers[1], Exception)
    assert await counter.stored(good[0], bad, good[1]) == [True, False, True]


async def test_what_was_stored_is_answered_though_the_connection_was_lost(
    counter: Counter,
) -> None:
    before, lost = counter.prepare(), counter.prepare()
    assert await counter.together(before) == [before.answer]  # the statement is prepared
    counter.cut.swallow_commits(1, lost.submission_id.bytes)
    assert await counter.together(lost) == [lost.answer]
    assert counter.cut.swallowed == 1
    assert await counter.stored(lost) == [True]


async def test_who_left_before_the_outcome_was_known_costs_nobody_else_an_answer(
    counter: Counter,
) -> None:
    before, left, lost = counter.prepare(), counter.prepare(), counter.prepare()
    assert await counter.together(before) == [before.answer]
    counter.cut.swallow_commits(1, lost.submission_id.bytes)
    leaving, staying = (asyncio.create_task(counter.committer.commit(one)) for one in (left, lost))
    await asyncio.sleep(0)
    leaving.cancel()
    running = asyncio.create_task(counter.committer.run())
    try:
        assert await staying == lost.answer
    finally:
        running.cancel()
        await asyncio.gather(leaving, running, return_exceptions=True)
    assert counter.cut.swallowed == 1
    assert await counter.stored(left, lost) == [True, True]


async def test_what_is_made_ready_with_its_commit_is_made_once_where_it_was_asked_for(
    counter: Counter,
) -> None:
    asked: ContextVar[str] = ContextVar("asked")
    made: list[tuple[str, Prepared]] = []

    def make() -> Prepared:
        made.append((asked.get(), counter.prepare()))
        return made[-1][1]

    def fail() -> Prepared:
        raise InvalidBody("invented")

    group: list[Prepared | Later] = [counter.prepare()]
    for name in ("a", "b"):
        asked.set(name)
        group.append(Later(make, 1000))
    group.append(Later(fail, 1000))
    group.append(replace(counter.prepare(), message_id="no text of PostgreSQL: \x00"))
    first, *answers, refused, bad = await counter.together(*group)  # each is tried by itself
    assert first == group[0].answer  # type: ignore[union-attr]
    assert [name for name, _ in made] == ["a", "b"]
    assert answers == [one.answer for _, one in made]
    assert isinstance(refused, InvalidBody)
    assert isinstance(bad, Exception)
    assert await counter.together(Later(fail, 1000)) != [None]
    assert await counter.stored(*(one for _, one in made)) == [True, True]


async def test_what_was_not_stored_is_refused_as_soon_as_that_is_sure(counter: Counter) -> None:
    room, lost = counter.room, counter.prepare()
    async with room.engine.begin() as conn:
        await conn.exec_driver_sql("LOCK TABLE sealed IN SHARE MODE")

        async def end() -> bool:
            ended = await room.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'counter' AND wait_event_type = 'Lock'"
            )
            return bool(ended)

        ending = asyncio.create_task(eventually(end, 4, "a statement that waits"))
        begun = time.monotonic()
        (answer,) = await counter.together(lost)
        await ending
    assert isinstance(answer, Unavailable)
    assert time.monotonic() - begun < 4 + LOOK_UP
    assert await counter.stored(lost) == [False]


async def test_a_connection_that_was_lost_while_idle_costs_nobody_an_answer(
    counter: Counter,
) -> None:
    before, after = counter.prepare(), counter.prepare()
    assert await counter.together(before) == [before.answer]
    counter.cut.cut()

    async def ended() -> bool:
        return not await counter.room.rows(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'counter'"
        )

    await eventually(ended, 10, "the end of the connection")
    assert await counter.together(after) == [after.answer]


async def test_a_database_that_stands_still_sheds_what_is_too_much_and_keeps_what_was_taken(
    counter: Counter,
) -> None:
    """Backpressure: so many wait and no more; who is refused is so before the body is read."""
    taken = [counter.prepare() for _ in range(20)]
    filler = [replace(counter.prepare(), size=0) for _ in range(MAX_QUEUE - len(taken))]
    conn = await asyncpg.connect(counter.room.database.urls("intake")["DATABASE_OWNER_URL"])
    try:
        held = conn.transaction()
        await held.start()
        await conn.execute("LOCK TABLE intake.submissions IN ACCESS EXCLUSIVE MODE")
        waiting = [asyncio.create_task(counter.committer.commit(one)) for one in taken]
        rest = [asyncio.create_task(counter.committer.commit(one)) for one in filler]
        await asyncio.sleep(0)  # all of them are in the queue
        with pytest.raises(Unavailable):
            counter.committer.check_room()
        for one in rest:
            one.cancel()
        running = asyncio.create_task(counter.committer.run())
        await held.rollback()
        try:
            assert await asyncio.gather(*waiting) == [one.answer for one in taken]
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        counter.committer.check_room()
        assert all(await counter.stored(*taken))
    finally:
        await conn.close()
