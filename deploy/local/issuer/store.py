"""The issuer's rows; all of its SQL but the keys'. Times are the database's own clock or given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    import asyncpg

    from deploy.local.issuer.secrecy import Secrecy

TABLES: Final = Path(__file__).with_name("tables.sql")

FREE_GUESSES: Final = 3
"""Wrong guesses before each next one has to wait."""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody's account; `id` is the pseudonym by which the history names them."""

    id: str
    login: str
    role: str
    org: str | None
    places: tuple[str, ...]
    member_of: tuple[dict[str, Any], ...]

    def claims(self) -> dict[str, Any]:
        """Return what a token says of them."""
        return {
            "sub": self.id,
            "role": self.role,
            "org": self.org,
            "places": list(self.places),
            "member_of": list(self.member_of),
        }


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An account with how and when its person proved to be it."""

    account: Account
    sid: str
    auth_time: int
    amr: tuple[str, ...]


COLUMNS: Final = "a.id, a.login, a.role, a.org, a.places, a.member_of"
"""What an account is made of."""


def account_of(row: asyncpg.Record) -> Account:
    """Return the account of a row with those columns."""
    member_of = tuple(json.loads(row["member_of"]))
    places = tuple(row["places"])
    return Account(row["id"], row["login"], row["role"], row["org"], places, member_of)


class Store:
    """Rows of accounts, links, browsers, codes, clients; each method is one transaction."""

    def __init__(self, pool: asyncpg.Pool[Any], secrecy: Secrecy) -> None:
        """Take connections that work in the issuer's schema."""
        self.pool = pool
        self._mark = secrecy.mark

    async def make_tables(self) -> None:
        """Make what is missing."""
        async with self.pool.acquire() as conn, conn.transaction():
            await conn.execute("SELECT pg_advisory_xact_lock(hashtext('pashe.accounts'))")
            await conn.execute(TABLES.read_text("utf-8"))

    async def forget_old(self) -> None:
        """Delete what is over."""
        async with self.pool.acquire() as conn:
            for table in ("browsers", "devices", "codes", "assertions", "form_keys"):
                await conn.execute(f"DELETE FROM {table} WHERE expires_at < now()")  # noqa: S608
            await conn.execute("DELETE FROM guesses WHERE next_at < now() - interval '1 day'")

    async def add_account(self, account: Account) -> Account:
        """Make an account, or return the one of this login; its role and the rest are as given."""
        row = await self.pool.fetchrow(
            "INSERT INTO accounts AS a (id, login, role, org, places, member_of)"  # noqa: S608
            " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (login) DO UPDATE SET role = $3,"
            f" org = $4, places = $5, member_of = $6 RETURNING {COLUMNS}",
            account.id,
            account.login,
            account.role,
            account.org,
            list(account.places),
            json.dumps(account.member_of),
        )
        return account_of(row)

    async def find_account(self, *, subject: str, login: str) -> tuple[Account, bool] | None:
        """Return the account of a subject, or else of a login, and whether somebody enrolled."""
        row = await self.pool.fetchrow(
            f"SELECT {COLUMNS}, a.enrolled_at IS NOT NULL AS enrolled FROM accounts a"  # noqa: S608
            " WHERE CASE WHEN $1 <> '' THEN a.id = $1 ELSE a.login = $2 END",
            subject,
            login,
        )
        return (account_of(row), bool(row["enrolled"])) if row else None

    async def add_link(self, link: str, account: str, totp: bytes, lasts: timedelta) -> None:
        """Remember an enrolment link; earlier ones of the account are void."""
        async with self.pool.acquire() as conn, conn.transaction():
            await conn.execute("DELETE FROM links WHERE account = $1", account)
            await conn.execute(
                "INSERT INTO links VALUES ($1, $2, $3, now() + $4)",
                self._mark("link", link),
                account,
                totp,
                lasts,
            )

    async def find_link(self, link: str) -> tuple[Account, bytes] | None:
        """Return whose link it is, with their sealed secret of one-time codes, while it is good."""
        row = await self.pool.fetchrow(
            f"SELECT {COLUMNS}, l.totp FROM links l JOIN accounts a ON a.id = l.account"  # noqa: S608
            " WHERE l.mark = $1 AND l.used_at IS NULL AND l.expires_at > now()",
            self._mark("link", link),
        )
        return (account_of(row), row["totp"]) if row else None

    async def enrol(
        self, link: str, *, password: str, totp: bytes, step: int, recovery: Sequence[bytes]
    ) -> bool:
        """Use a link, once; whatever browser knew the account before knows it no longer."""
        async with self.pool.acquire() as conn, conn.transaction():
            account = await conn.fetchval(
                "UPDATE links SET used_at = now() WHERE mark = $1 AND used_at IS NULL"
                " AND expires_at > now() RETURNING account",
                self._mark("link", link),
            )
            if account is None:
                return False
            await conn.execute(
                "UPDATE accounts SET password = $2, totp = $3, totp_used = $4, recovery = $5,"
                " enrolled_at = now() WHERE id = $1",
                account,
                password,
                totp,
                step,
                list(recovery),
            )
            await conn.execute("DELETE FROM browsers WHERE account = $1", account)
            await conn.execute("DELETE FROM devices WHERE account = $1", account)
        return True

    async def find_login(self, login: str) -> tuple[Account, str, bytes] | None:
        """Return an enrolled account with its password's hash and its sealed secret."""
        row = await self.pool.fetchrow(
            f"SELECT {COLUMNS}, a.password, a.totp FROM accounts a"  # noqa: S608
            " WHERE a.login = $1 AND a.enrolled_at IS NOT NULL",
            login,
        )
        return (account_of(row), row["password"], row["totp"]) if row else None

    async def use_step(self, account: str, step: int) -> bool:
        """Use a one-time code's time step: each, and each earlier one, once."""
        done = await self.pool.execute(
            "UPDATE accounts SET totp_used = $2 WHERE id = $1 AND totp_used < $2", account, step
        )
        return str(done) == "UPDATE 1"

    async def use_recovery(self, account: str, code: str) -> bool:
        """Use a recovery code, once."""
        done = await self.pool.execute(
            "UPDATE accounts SET recovery = array_remove(recovery, $2)"
            " WHERE id = $1 AND $2 = ANY(recovery)",
            account,
            self._mark("recovery", code),
        )
        return str(done) == "UPDATE 1"

    async def guess(self, key: str, longest: int) -> float:
        """Count a guess; return 0, or the seconds to wait before one may be made.

        After some wrong ones each waits twice as long as the one before, at most `longest` seconds;
        an hour of quiet, or a right one (`guessed`), starts anew.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            taken = await conn.fetchval(
                "INSERT INTO guesses AS g VALUES ($1, 1, now()) ON CONFLICT (mark) DO UPDATE SET"
                " failures = CASE WHEN g.next_at < now() - interval '1 hour' THEN 1"
                "   ELSE g.failures + 1 END,"
                " next_at = now() + make_interval(secs => CASE"
                "   WHEN g.next_at < now() - interval '1 hour' THEN 0 ELSE"
                "   least($3, power(2, least(greatest(g.failures + 1 - $2, 0), 20)) - 1) END)"
                " WHERE g.next_at <= now() RETURNING 1",
                self._mark("guess", key),
                FREE_GUESSES,
                float(longest),
            )
            if taken:
                return 0.0
            wait = await conn.fetchval(
                "SELECT extract(epoch FROM next_at - now()) FROM guesses WHERE mark = $1",
                self._mark("guess", key),
            )
        return max(float(wait or 0), 1.0)

    async def guessed(self, keys: Sequence[str]) -> None:
        """Forget the wrong guesses before a right one."""
        await self.pool.execute(
            "DELETE FROM guesses WHERE mark = ANY($1)", [self._mark("guess", key) for key in keys]
        )

    async def add_browser(self, cookie: str, who: SignedIn, lasts: timedelta) -> None:
        """Remember that somebody is signed in here in one browser."""
        await self.pool.execute(
            "INSERT INTO browsers VALUES ($1, $2, $3, $4, $5, now() + $6)",
            self._mark("browser", cookie),
            who.account.id,
            who.sid,
            who.auth_time,
            list(who.amr),
            lasts,
        )

    async def find_browser(self, cookie: str) -> SignedIn | None:
        """Return who is signed in here in a browser."""
        row = await self.pool.fetchrow(
            f"SELECT {COLUMNS}, b.sid, b.auth_time, b.amr FROM browsers b"  # noqa: S608
            " JOIN accounts a ON a.id = b.account WHERE b.mark = $1 AND b.expires_at > now()",
            self._mark("browser", cookie),
        )
        if row is None:
            return None
        return SignedIn(account_of(row), row["sid"], row["auth_time"], tuple(row["amr"]))

    async def drop_browser(self, cookie: str) -> None:
        """Forget who is signed in here in a browser."""
        await self.pool.execute(
            "DELETE FROM browsers WHERE mark = $1", self._mark("browser", cookie)
        )

    async def add_device(self, cookie: str, account: str, lasts: timedelta) -> None:
        """Remember a browser in which an account's own person signed in before."""
        await self.pool.execute(
            "INSERT INTO devices VALUES ($1, $2, now() + $3)",
            self._mark("device", cookie),
            account,
            lasts,
        )

    async def is_device(self, cookie: str, login: str) -> bool:
        """Say whether an account's own person signed in in this browser before."""
        return bool(
            await self.pool.fetchval(
                "SELECT 1 FROM devices d JOIN accounts a ON a.id = d.account"
                " WHERE d.mark = $1 AND a.login = $2 AND d.expires_at > now()",
                self._mark("device", cookie),
                login,
            )
        )

    async def add_form_key(self, key: str, browser: str, lasts: timedelta) -> None:
        """Remember the key of a form that was shown in a browser."""
        await self.pool.execute(
            "INSERT INTO form_keys VALUES ($1, $2, now() + $3)",
            self._mark("form", key),
            self._mark("browser", browser),
            lasts,
        )

    async def use_form_key(self, key: str, browser: str) -> bool:
        """Use a form's key: once, and in the browser that was shown it."""
        done = await self.pool.execute(
            "DELETE FROM form_keys WHERE mark = $1 AND browser = $2 AND expires_at > now()",
            self._mark("form", key),
            self._mark("browser", browser),
        )
        return str(done) == "DELETE 1"
