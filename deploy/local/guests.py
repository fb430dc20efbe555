"""`pashe kafka`: users of Kafka that are no service, a partner or a provider, with one topic each.

A partner writes its own topic and reads nothing; a provider reads its own and writes nothing. What
each kind may do is the row of its family in `deploy/topics.toml`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from enum import StrEnum
from typing import Annotated, Final

import typer
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it has no __all__
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from deploy.local.acls import await_grants, grants_of_guest, set_grants
from deploy.local.errors import StackError
from deploy.local.home import find_home, find_state
from deploy.local.keys import KAFKA_ADMIN
from deploy.local.topics import make_topics
from deploy.local.topics_file import load_topics
from shared.kafka import KafkaLogin, find_refusal

TIMEOUT: Final = 20
"""Seconds for one request to the brokers, and for what they must all know."""

ITERATIONS: Final = 8192
"""Rounds of the hash that a broker keeps of a password (RFC 5802)."""

app = typer.Typer(no_args_is_help=True, help="Partners and providers that use Kafka themselves.")


class Kind(StrEnum):
    """What kind of user."""

    partner = "partner"
    """Writes reports to its own topic."""

    provider = "provider"
    """Reads its own referrals."""


async def admit(kafka: KafkaLogin, replication: int, kind: str, key: str) -> tuple[str, KafkaLogin]:
    """Make the topic, the user and its rights; return the topic and how the user signs in.

    For a user that is there already the password is another from then on.

    Raises:
        StackError: Kafka refused, or the key is no key.

    """
    topic, kept, grants = grants_of_guest(load_topics(), kind, key)
    login = KafkaLogin(kafka.bootstrap, f"{kind}.{key}", secrets.token_urlsafe(32))

    def work() -> None:
        admin = AdminClient(kafka.native())
        make_topics(admin, replication, {topic: kept})
        set_grants(admin, [login.username], grants)
        how = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
        _alter(admin, UserScramCredentialUpsertion(login.username, how, login.password.encode()))

    if why := await find_refusal(kafka):
        raise StackError(why)
    await asyncio.to_thread(work)
    try:
        async with asyncio.timeout(TIMEOUT):
            while await find_refusal(login):  # noqa: ASYNC110  (no broker tells)
                await asyncio.sleep(0.05)
    except (KafkaError, OSError) as error:
        message = f"the new user did not reach every broker: {type(error).__name__}"
        raise StackError(message) from error
    await await_grants([login], grants)
    return topic, login


async def dismiss(kafka: KafkaLogin, kind: str, key: str) -> None:
    """Take a user's rights and its password away; what lies in its topic stays until it is old.

    Raises:
        StackError: Kafka refused, or there is no such user.

    """
    _, _, grants = grants_of_guest(load_topics(), kind, key)
    user = next(iter(grants)).service

    def work() -> None:
        admin = AdminClient(kafka.native())
        set_grants(admin, [user], frozenset())
        _alter(admin, UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_512))

    if why := await find_refusal(kafka):
        raise StackError(why)
    await asyncio.to_thread(work)


def _alter(
    admin: AdminClient, change: UserScramCredentialUpsertion | UserScramCredentialDeletion
) -> None:
    try:
        done = admin.alter_user_scram_credentials([change], request_timeout=TIMEOUT)
        for one in done.values():
            one.result(TIMEOUT)
    except KafkaException as error:
        message = f"Kafka does not change this user: {error.args[0].str()}"
        raise StackError(message) from error


def _running() -> tuple[KafkaLogin, int]:
    """Return the administrator of the running stack's Kafka, and how many copies a topic has."""
    home = find_home()
    state = find_state(home)
    if state is None or not state.bootstrap:
        message = "the stack is not up: start it with `pashe up`"
        raise StackError(message)
    passwords = json.loads(home.kafka_passwords.read_text())
    admin = KafkaLogin(state.bootstrap, KAFKA_ADMIN, passwords[KAFKA_ADMIN])
    return admin, min(3, len(state.bootstrap.split(",")))


@app.command("grant")
def grant(
    kind: Annotated[Kind, typer.Argument(help="What kind of user")],
    key: Annotated[str, typer.Argument(help="Its key (a provider's as in the directory)")],
) -> None:
    """Give a partner or provider its topic, user and rights; again: a new password.

    The password is printed this once and kept nowhere.
    """
    admin, copies = _running()
    topic, login = asyncio.run(admit(admin, copies, kind.value, key))
    told = {
        "bootstrap": login.bootstrap,
        "topic": topic,
        "username": login.username,
        "password": login.password,
    }
    typer.echo(json.dumps(told, indent=2))


@app.command("revoke")
def revoke(
    kind: Annotated[Kind, typer.Argument(help="What kind of user")],
    key: Annotated[str, typer.Argument(help="Its key")],
) -> None:
    """Take the user and its rights away; what lies in its topic stays until it is old."""
    admin, _ = _running()
    asyncio.run(dismiss(admin, kind.value, key))
    typer.echo(f"{kind.value}.{key} may do nothing in Kafka any more.")
