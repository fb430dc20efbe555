"""The small issuer's rows on a real PostgreSQL: keys turn, guesses wait, what works once does."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg

from deploy.local.database import with_role
from deploy.local.issuer.grants import Code, Grants
from deploy.local.issuer.keys import PUBLISHED_BEFORE, SIGNS_FOR, Keys
from deploy.local.issuer.secrecy import Secrecy
from deploy.local.issuer.store import Account, SignedIn, Store
from deploy.local.keys import ACCOUNTS
from tests.support.platform import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AT = datetime(2026, 11, 1, tzinfo=UTC)
WHO = Account("a1b2c3", "rina.example", "coordinator", None, (), ())
MINUTE = timedelta(minutes=1)
SECRECY = Secrecy(bytes(range(32)))


@asynccontextmanager
async def rows(dsn: str) -> AsyncIterator[asyncpg.Pool[Any]]:
    async with fresh_database(dsn) as database:
        url = with_role(database.admin, ACCOUNTS, "test")
        async with asyncpg.create_pool(url, min_size=0, max_size=4) as pool:
            await Store(pool, SECRECY).make_tables()
            await Store(pool, SECRECY).make_tables()
            yield pool


async def test_a_key_is_published_before_it_signs_and_after(postgres_admin_dsn: str) -> None:
    async with rows(postgres_admin_dsn) as pool:
        keys = Keys(pool, SECRECY)
        await keys.turn(AT)
        await keys.turn(AT + MINUTE)
        (first,) = keys.all
        assert keys.signing(AT).kid == first.kid  # the only one signs at once
        later = AT + SIGNS_FOR
        await asyncio.gather(keys.turn(later), Keys(pool, SECRECY).turn(later))
        await keys.turn(later)
        assert len(keys.all) == 2
        second = keys.all[1]
        assert keys.signing(later).kid == first.kid
        assert keys.signing(later + PUBLISHED_BEFORE).kid == second.kid
        shown = keys.published()["keys"]
        assert {key["kid"] for key in shown} == {first.kid, second.kid}
        assert not any("d" in key for key in shown)
        await keys.turn(later + timedelta(days=2))
        assert [key.kid for key in keys.all] == [second.kid]
        sealed = await pool.fetchval("SELECT sealed FROM signing_keys")
        assert b"PRIVATE" not in sealed


async def test_what_works_once_works_once_also_at_the_same_moment(
    postgres_admin_dsn: str,
) -> None:
    async with rows(postgres_admin_dsn) as pool:
        store, grants = Store(pool, SECRECY), Grants(pool, SECRECY)
        await store.add_account(WHO)
        await store.add_link("l", WHO.id, b"sealed", MINUTE)
        recovery = [SECRECY.mark("recovery", "AAAA")]

        async def twice(*tries: Any) -> list[bool]:
            return sorted([bool(one) for one in await asyncio.gather(*tries)])

        def enrol() -> Any:
            return store.enrol("l", password="hash", totp=b"x", step=5, recovery=recovery)

        assert await twice(enrol(), enrol()) == [False, True]
        assert await twice(store.use_step(WHO.id, 6), store.use_step(WHO.id, 6)) == [False, True]
        assert not await store.use_step(WHO.id, 4)
        assert await twice(
            store.use_recovery(WHO.id, "AAAA"), store.use_recovery(WHO.id, "AAAA")
        ) == [False, True]
        await store.add_form_key("k", "b", MINUTE)
        assert not await store.use_form_key("k", "another browser")
        assert await twice(store.use_form_key("k", "b"), store.use_form_key("k", "b")) == [
            False,
            True,
        ]
        code = Code("desk", "https://x", "openid", "n", "c", SignedIn(WHO, "s", 1, ("pwd",)))
        await grants.add_code("c", code, MINUTE)
        assert await twice(grants.take_code("c", "desk"), grants.take_code("c", "desk")) == [
            False,
            True,
        ]
        await grants.add_code("d", code, MINUTE)
        assert await grants.take_code("d", "another client") is None
        assert await grants.take_code("d", "desk") is None  # shown by another it is gone
        until = datetime.now(UTC) + MINUTE
        assert await twice(
            grants.use_assertion("a", "j", until), grants.use_assertion("a", "j", until)
        ) == [False, True]
        assert await grants.use_assertion("another", "j", until)
        await store.add_link("late", WHO.id, b"sealed", -MINUTE)
        assert await store.find_link("late") is None


async def test_a_new_enrolment_ends_what_the_account_had(postgres_admin_dsn: str) -> None:
    async with rows(postgres_admin_dsn) as pool:
        store = Store(pool, SECRECY)
        await store.add_account(WHO)
        await store.add_browser("b", SignedIn(WHO, "s", 1, ("pwd", "otp")), MINUTE)
        await store.add_device("d", WHO.id, MINUTE)
        assert (await store.find_browser("b")) is not None
        await store.add_link("first", WHO.id, b"sealed", MINUTE)
        await store.add_link("second", WHO.id, b"sealed", MINUTE)
        assert await store.find_link("first") is None
        assert await store.enrol("second", password="h", totp=b"x", step=1, recovery=[])
        assert await store.find_browser("b") is None
        assert not await store.is_device("d", WHO.login)


async def test_wrong_guesses_wait_longer_and_longer_and_a_right_one_ends_it(
    postgres_admin_dsn: str,
) -> None:
    async with rows(postgres_admin_dsn) as pool:
        store = Store(pool, SECRECY)

        async def pass_time(seconds: float) -> None:
            await pool.execute(
                "UPDATE guesses SET next_at = next_at - make_interval(secs => $1)", seconds
            )

        assert [await store.guess("k", 60) for _ in range(4)] == [0.0] * 4
        first = await store.guess("k", 60)
        assert 0 < first <= 1
        waits = []
        for _ in range(9):
            await pass_time(200)
            assert await store.guess("k", 60) == 0
            waits.append(round(await store.guess("k", 60)))
        assert waits[:4] == [3, 7, 15, 31]
        assert max(waits) <= 60
        assert await store.guess("another", 60) == 0
        await store.guessed(["k"])
        assert await store.guess("k", 60) == 0
