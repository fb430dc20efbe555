"""The small issuer's parts: codes of the phone, seals and marks, passwords a few at a time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from cryptography.exceptions import InvalidTag

from deploy.local.issuer.secrecy import (
    WAITING,
    Busy,
    Passwords,
    Secrecy,
    find_step,
    new_recovery_codes,
    plain_code,
)

AT = datetime(2026, 11, 28, 12, 0, 10, tzinfo=UTC)
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
STEP = int(AT.timestamp()) // 30


def test_the_published_vectors_of_rfc_6238_hold() -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for seconds, code in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        assert find_step(secret, code, datetime.fromtimestamp(seconds, UTC)) == seconds // 30


def test_a_code_holds_for_a_step_before_and_after() -> None:
    codes = {n: pyotp.TOTP(SECRET).generate_otp(STEP + n) for n in range(-3, 4)}
    found = {n: find_step(SECRET, code, AT) for n, code in codes.items()}
    assert found == {-3: None, -2: None, -1: STEP - 1, 0: STEP, 1: STEP + 1, 2: None, 3: None}
    assert find_step(SECRET, codes[0], AT + timedelta(minutes=5)) is None
    for wrong in ("", "12345", "1234567", "abcdef", "١٢٣٤٥٦"):
        assert find_step(SECRET, wrong, AT) is None


def test_a_code_is_read_as_people_write_it() -> None:
    assert plain_code("১২৩ ৪৫৬") == "123456"
    assert plain_code(" abcd-efgh-jkmn ") == "ABCDEFGHJKMN"
    codes = new_recovery_codes()
    assert len(set(codes)) == 8
    assert all(len(plain_code(code)) == 12 for code in codes)


def test_a_seal_is_of_one_thing_and_a_mark_of_one_kind() -> None:
    secrecy = Secrecy(bytes(range(32)))
    sealed = secrecy.seal(b"secret", "a")
    assert secrecy.unseal(sealed, "a") == b"secret"
    for other, about in ((secrecy, "b"), (Secrecy(bytes(32)), "a")):
        with pytest.raises(InvalidTag):
            other.unseal(sealed, about)
    assert secrecy.mark("code", "x") != secrecy.mark("link", "x")
    assert secrecy.mark("code", "x") != Secrecy(bytes(32)).mark("code", "x")


async def test_a_password_is_right_wrong_or_nobodys() -> None:
    passwords = Passwords()
    stored = await passwords.hash("an invented phrase")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.check(stored, "an invented phrase")
    assert not await passwords.check(stored, "another phrase")
    assert not await passwords.check(None, "an invented phrase")


async def test_more_passwords_than_can_wait_are_sent_away() -> None:
    passwords = Passwords()
    tries = [passwords.check(None, "x") for _ in range(WAITING + 3)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, Busy) for one in done) == 3
    assert sum(one is False for one in done) == WAITING
