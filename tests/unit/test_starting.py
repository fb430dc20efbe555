"""What a start does once instead of often: signing in at Kafka, migrating every schema."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka.conn import ScramAuthenticator

from deploy.local.keys import ROLES, SERVICES
from deploy.local.services import migrate_command, migrate_env, service_env
from shared import kafka
from shared.kafka import KafkaLogin
from shared.migrate import upgrade_each


def salted(password: str, salt: bytes) -> bytes:
    loop = asyncio.new_event_loop()
    try:
        one = ScramAuthenticator(
            loop=loop,
            sasl_plain_password=password,
            sasl_plain_username="intake",
            sasl_mechanism=kafka.MECHANISM,
        )
        one.create_salted_password(salt, 4096)
        return bytes(one._salted_password)
    finally:
        loop.close()


def test_a_password_is_salted_once_for_all_connections_and_again_for_another_salt() -> None:
    before = kafka._salted.cache_info()
    first, second = salted("a word", b"salt"), salted("a word", b"salt")
    other, another = salted("a word", b"more salt"), salted("another word", b"salt")
    after = kafka._salted.cache_info()
    assert first == second == hashlib.pbkdf2_hmac("sha512", b"a word", b"salt", 4096)
    assert len({first, other, another}) == 3
    assert (after.hits - before.hits, after.misses - before.misses) == (1, 3)


def test_a_migration_learns_each_owner_and_a_service_none() -> None:
    passwords = {f"{name}_{role}": f"{name} {role}" for name in SERVICES for role in ROLES}
    at = "postgresql://127.0.0.1:5/pashe"
    told = migrate_env(SERVICES, at, passwords)
    for name in SERVICES:
        assert f"//{name}_owner:" in told[f"DATABASE_OWNER_URL_{name.upper()}"]
        served = service_env(
            name,
            keys=Path("/nowhere"),
            admin=at,
            passwords=passwords,
            kafka=KafkaLogin("127.0.0.1:9"),
            ports=dict.fromkeys(SERVICES, 1),
            origin="http://127.0.0.1:2",
            base=told,
        )
        assert "_owner:" not in "".join(served.values())
    assert migrate_command(["audit"])[-2:] == ["shared.migrate", "audit"]


def test_a_migration_without_an_owner_says_how_it_is_called() -> None:
    one = {"DATABASE_OWNER_URL": "postgresql://intake_owner@127.0.0.1:9/pashe"}
    for words, env in (([], one), (["intake"], {}), (["intake", "audit"], one)):
        done = subprocess.run(
            [sys.executable, "-m", "shared.migrate", *words],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("usage: DATABASE_OWNER_URL=")


async def test_a_migration_that_fails_says_whose_it_was() -> None:
    nowhere = "postgresql://audit_owner:a@127.0.0.1:9/pashe"
    with pytest.raises(OSError, match="9") as failed:
        await upgrade_each({"audit": nowhere})
    assert failed.value.__notes__ == ["while migrating audit"]
