"""Keys and passwords: made on the first start, never beside a database that exists already.

A new key beside old data would leave what was sealed under the old one unreadable, and would hide
that it is lost (DECISIONS 23).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.local.errors import StackError
from deploy.local.home import write_private

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SERVICES: Final = ("intake", "referral", "notification", "audit")
"""The services, in the order in which they are shown."""

ROLES: Final = ("owner", "flow", "web")
"""The database roles of a service: `<service>_<role>`."""

SUPERUSER: Final = "postgres"

KAFKA_ADMIN: Final = "admin"
"""Kafka's one superuser for people and tools: topics, ACLs, `status`, tests."""

KAFKA_BROKER: Final = "broker"
"""As whom brokers and controllers speak to one another."""

ACCOUNTS: Final = "accounts"
"""The small issuer: its database role, its folder of keys, its path below the origin."""

_SECRET: Final = {
    "pashe": ("tokens.key",),
    ACCOUNTS: ("secrets.key",),
    "intake": ("signing.key", "kek.key", "pepper.key", "index.key", "seal.key"),
    "referral": ("signing.key", "seal.key"),
    "notification": ("signing.key", "seal.key"),
    "audit": ("signing.key", "log.key"),
}

_SHORT_LIVED: Final = (("intake", "sessions.key"), (ACCOUNTS, "desk.secret"))
"""Keys of what lasts half an hour: a lost one is made anew, and people sign in again."""

_CALLERS: Final = {"intake": ("notification",)}
"""Which services may call which by HTTP: one synchronous call in all (DECISIONS 18)."""


def make_keys(folder: Path, *, beside_data: bool) -> None:
    """Make what is missing of the keys in `folder/<service>/…`, each 64 hex characters, 0600.

    Args:
        folder: the keys folder; made when missing.
        beside_data: a database exists already, so that a missing key is an error.

    Raises:
        StackError: a key is missing beside a database; the message names it.

    """
    paths = [folder / owner / name for owner, names in _SECRET.items() for name in names]
    missing = [path for path in paths if not path.is_file()]
    if missing and beside_data:
        names = ", ".join(str(path.relative_to(folder)) for path in missing)
        message = (
            f"there is a database, but its keys are missing ({names} in {folder}): put the keys "
            "back; or give up the data with `pashe up --fresh`"
        )
        raise StackError(message)
    folder.mkdir(mode=0o700, exist_ok=True)
    for owner in _SECRET:
        (folder / owner).mkdir(mode=0o700, exist_ok=True)
    short = [folder / owner / name for owner, name in _SHORT_LIVED]
    for path in missing + [path for path in short if not path.is_file()]:
        write_private(path, secrets.token_hex(32).encode())
    _write_public(folder)


def _write_public(folder: Path) -> None:
    tokens = _public_of(folder / "pashe" / "tokens.key").encode()
    sessions = _public_of(folder / "intake" / "sessions.key").encode()
    for service in SERVICES:
        write_private(folder / service / "tokens.pub", tokens)
        write_private(folder / service / "sessions.pub", sessions)
    desk = (folder / ACCOUNTS / "desk.secret").read_bytes()
    write_private(folder / "intake" / "desk.secret", desk)
    signers = {service: _public_of(folder / service / "signing.key") for service in SERVICES}
    write_private(folder / "audit" / "signers.json", msgspec.json.encode(signers))
    for service, callers in _CALLERS.items():
        known = {caller: signers[caller] for caller in callers}
        write_private(folder / service / "callers.json", msgspec.json.encode(known))


def _public_of(path: Path) -> str:
    try:
        seed = bytes.fromhex(path.read_text("ascii"))
        return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw().hex()
    except ValueError as error:
        message = f"the key file {path} is not 64 hex characters"
        raise StackError(message) from error


def make_passwords(path: Path, *, beside_data: bool) -> dict[str, str]:
    """Return the password of each database role, made on the first start and kept, 0600.

    Raises:
        StackError: the file is missing beside a database, or not readable.

    """
    if beside_data and not path.is_file():
        message = f"there is a database, but {path} is missing: put it back"
        raise StackError(message)
    names = [SUPERUSER, ACCOUNTS, *(f"{name}_{role}" for name in SERVICES for role in ROLES)]
    return _keep_passwords(path, names)


def make_kafka_passwords(path: Path, *, beside_data: bool) -> dict[str, str]:
    """Return the password of each of Kafka's users, made on the first start and kept, 0600.

    Kafka takes its users when its folder is formatted, so that a folder that was formatted before
    this file was made knows none.

    Raises:
        StackError: the file is missing beside a formatted folder, or not readable.

    """
    if beside_data and not path.is_file():
        message = (
            "this stack's Kafka was made by an earlier version, whose clients did not sign in: "
            f"start afresh with `pashe up --fresh`, which erases its data (or, if it had a {path}, "
            "put that back)"
        )
        raise StackError(message)
    return _keep_passwords(path, [KAFKA_ADMIN, KAFKA_BROKER, *SERVICES])


def _keep_passwords(path: Path, names: Sequence[str]) -> dict[str, str]:
    if path.is_file():
        try:
            found = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        except msgspec.DecodeError as error:
            message = f"{path} is not readable as JSON"
            raise StackError(message) from error
        if missing := sorted(set(names) - found.keys()):
            message = f"{path} lacks the password of {', '.join(missing)}"
            raise StackError(message)
        return found
    passwords = {name: secrets.token_urlsafe(24) for name in names}
    write_private(path, msgspec.json.encode(passwords))
    return passwords
