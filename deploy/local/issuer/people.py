"""How people enrol by a link, and sign in with password and one-time code.

Guessing is slowed down, and never locks the owner out: a browser in which the owner signed in
before is counted apart from all others, each address by itself, and whatever is guessed from
everywhere together waits a few seconds at most.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pyotp

from deploy.local.issuer.secrecy import (
    LONGEST,
    SHORTEST,
    Passwords,
    Secrecy,
    find_step,
    new_recovery_codes,
    plain_code,
)
from deploy.local.issuer.store import Account, SignedIn, Store

if TYPE_CHECKING:
    from datetime import datetime

LINK: Final = timedelta(hours=24)
"""How long an enrolment link is good."""

BROWSER: Final = timedelta(hours=8)
"""How long a browser is signed in here: a shift."""

DEVICE: Final = timedelta(days=180)
"""How long a browser is known as one of its owner's."""

SLOWEST: Final = 60
SLOWEST_ALL: Final = 4
"""Seconds between wrong guesses at most: from one address, from all together."""

WITH_CODE: Final = ("pwd", "otp")
WITH_RECOVERY: Final = ("pwd", "mfa")


class Wait(Exception):  # noqa: N818  (what the person is asked to do)
    """Too many wrong guesses; `seconds` until the next one."""

    def __init__(self, seconds: float) -> None:
        """Take how long."""
        super().__init__()
        self.seconds = int(seconds + 1)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody typed, and from where."""

    login: str
    password: str
    code: str
    device: str
    address: str


@dataclass(slots=True)
class People:
    """The use cases of people's accounts."""

    store: Store
    secrecy: Secrecy
    passwords: Passwords

    async def invite(self, account: Account) -> str:
        """Return the secret of a one-time link by which an account's person enrols (again)."""
        known = await self.store.add_account(account)
        link, totp = secrets.token_urlsafe(32), pyotp.random_base32()
        sealed = self.secrecy.seal(totp.encode(), known.id)
        await self.store.add_link(link, known.id, sealed, LINK)
        return link

    async def invited(self, link: str) -> tuple[Account, str] | None:
        """Return whose link it is and the secret for their phone, while the link is good."""
        found = await self.store.find_link(link)
        if found is None:
            return None
        account, sealed = found
        return account, self.secrecy.unseal(sealed, account.id).decode()

    async def enrol(
        self, link: str, password: str, again: str, code: str, at: datetime
    ) -> list[str] | str:
        """Enrol; return recovery codes, or the word for what is not right.

        Words: `gone` (the link), `password`, `same`, `code`. Raises `Busy`.
        """
        found = await self.invited(link)
        if found is None:
            return "gone"
        account, totp = found
        if not SHORTEST <= len(password) <= LONGEST or account.login in password.lower():
            return "password"
        if password != again:
            return "same"
        step = find_step(totp, plain_code(code), at)
        if step is None:
            return "code"
        codes = new_recovery_codes()
        marks = [self.secrecy.mark("recovery", plain_code(one)) for one in codes]
        done = await self.store.enrol(
            link,
            password=await self.passwords.hash(password),
            totp=self.secrecy.seal(totp.encode(), account.id),
            step=step,
            recovery=marks,
        )
        return codes if done else "gone"

    async def sign_in(self, tried: Attempt, at: datetime) -> SignedIn | None:
        """Return who signed in, or None: nobody is told whether name, password or code was wrong.

        Raises:
            Wait: too many wrong guesses.
            Busy: too many passwords are being checked now.

        """
        login = tried.login.strip().lower()[:64]
        keys = await self._count(login, tried)
        found = await self.store.find_login(login)
        password = tried.password if len(tried.password) <= LONGEST else ""
        right = await self.passwords.check(found[1] if found else None, password)
        if not right or found is None:
            return None
        account, _, sealed = found
        amr = await self._check_code(account, sealed, plain_code(tried.code), at)
        if amr is None:
            return None
        await self.store.guessed(keys)
        return SignedIn(account, secrets.token_urlsafe(16), int(at.timestamp()), amr)

    async def _count(self, login: str, tried: Attempt) -> list[str]:
        """Count a guess. Raises `Wait`."""
        if tried.device and await self.store.is_device(tried.device, login):
            keys = [(f"device {login} {tried.device}", SLOWEST)]
        else:
            keys = [(f"from {login} {tried.address}", SLOWEST), (f"all {login}", SLOWEST_ALL)]
        for key, slowest in keys:
            if wait := await self.store.guess(key, slowest):
                raise Wait(wait)
        return [key for key, _ in keys]

    async def _check_code(
        self, account: Account, sealed: bytes, code: str, at: datetime
    ) -> tuple[str, ...] | None:
        step = find_step(self.secrecy.unseal(sealed, account.id).decode(), code, at)
        if step is not None:
            return WITH_CODE if await self.store.use_step(account.id, step) else None
        return WITH_RECOVERY if await self.store.use_recovery(account.id, code) else None
