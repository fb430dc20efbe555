"""Who may do what in Kafka: ACLs, generated from `deploy/topics.toml`.

The owner of a topic writes it, its readers read it, a service's consumer groups are called
`<service>` or `<service>.…`. Nothing else is granted: no service makes, alters or deletes a topic,
and none touches another's groups.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it has no __all__
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from deploy.local.errors import StackError
from deploy.local.keys import SERVICES
from shared.kafka import find_unseen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from deploy.local.topics_file import Topic, Topics
    from shared.kafka import KafkaLogin

TIMEOUT: Final = 20
"""Seconds for one request to the brokers."""

Operation = Literal["describe", "read", "write"]


_READS: Final[tuple[Operation, ...]] = ("read", "describe")
_KEY: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


class Grant(msgspec.Struct, frozen=True, order=True):
    """One thing that one user may do; `prefix`: with all whose names begin so.

    `service` is a service, or the user of a partner or provider.
    """

    service: str
    operation: Operation
    resource: Literal["group", "topic"]
    name: str
    prefix: bool = False


def grants_of(topics: Topics) -> frozenset[Grant]:
    """Return all that the services may do.

    In a family, an owner or reader that is no service is a kind of user (a partner, a provider):
    each of them gets a user and grants of its own when it subscribes, and none here.

    Raises:
        StackError: the owner or a reader of a topic is no service, or a family's name has no star
            at its end.

    """
    found = {*_of_groups()}
    for name, topic in topics.topics.items():
        if wrong := {topic.owner, *topic.readers} - {*SERVICES}:
            message = f"topic {name} names what is no service: {', '.join(sorted(wrong))}"
            raise StackError(message)
        found |= {*_of_topic(name, topic.owner, topic.readers, prefix=False)}
    for pattern, topic in topics.families.items():
        prefix = pattern.removesuffix("*")
        if not prefix.endswith(".") or "*" in prefix:
            message = f"family {pattern} must end with .*"
            raise StackError(message)
        found |= {*_of_topic(prefix, topic.owner, topic.readers, prefix=True)}
    return frozenset(found)


def grants_of_guest(topics: Topics, kind: str, key: str) -> tuple[str, Topic, frozenset[Grant]]:
    """Return the topic of one partner or provider, how it is kept, and all that its user may do.

    The user is called `<kind>.<key>`. One that reads has a consumer group of that name, and more
    that begin with it and a dot.

    Raises:
        StackError: no family of the file is of this kind, or the key is no key.

    """
    if not _KEY.fullmatch(key):
        message = f"{key} is no key: small letters, digits and hyphens"
        raise StackError(message)
    user = f"{kind}.{key}"
    for pattern, topic in topics.families.items() if kind not in SERVICES else ():
        name = pattern.removesuffix("*") + key
        if topic.owner == kind:
            wanted: list[tuple[Operation, Literal["group", "topic"], str, bool]] = [
                ("write", "topic", name, False),
                ("describe", "topic", name, False),
            ]
        elif kind in topic.readers:
            wanted = [(operation, *of) for operation in _READS for of in _named(name, user)]
        else:
            continue
        return name, topic, frozenset(Grant(user, *one) for one in wanted)
    message = f"there is no kind of user {kind} in topics.toml"
    raise StackError(message)


def _named(topic: str, user: str) -> list[tuple[Literal["group", "topic"], str, bool]]:
    return [("topic", topic, False), ("group", user, False), ("group", f"{user}.", True)]


def _of_groups() -> Iterator[Grant]:
    for service in SERVICES:
        for operation in _READS:
            yield Grant(service, operation, "group", service)
            yield Grant(service, operation, "group", f"{service}.", prefix=True)


def _of_topic(name: str, owner: str, readers: Iterable[str], *, prefix: bool) -> Iterator[Grant]:
    wanted: list[tuple[str, Operation]] = [(owner, "write"), (owner, "describe")]
    for reader in readers:
        wanted += [(reader, "read"), (reader, "describe")]
    for service, operation in wanted:
        if service in SERVICES:
            yield Grant(service, operation, "topic", name, prefix)


def provision_grants(admin: AdminClient, wanted: frozenset[Grant]) -> int:
    """Give the services these grants and take all others from them; return the changes. Blocks.

    ACLs of users that are no service are left as they are.

    Raises:
        StackError: Kafka refused.

    """
    return set_grants(admin, SERVICES, wanted)


def set_grants(admin: AdminClient, whose: Iterable[str], wanted: frozenset[Grant]) -> int:
    """Give these users these grants and take all others from them; return the changes. Blocks.

    Raises:
        StackError: Kafka refused.

    """
    bindings = {_bind(grant) for grant in wanted}
    users = {f"User:{name}" for name in whose}
    try:
        found = admin.describe_acls(EVERYTHING, request_timeout=TIMEOUT).result(TIMEOUT)
        there = {acl for acl in found if acl.principal in users}
        if new := list(bindings - there):
            for made in admin.create_acls(new, request_timeout=TIMEOUT).values():
                made.result(TIMEOUT)
        if old := list(there - bindings):
            for gone in admin.delete_acls([*map(_only, old)], request_timeout=TIMEOUT).values():
                gone.result(TIMEOUT)
    except KafkaException as error:
        message = f"rights in Kafka could not be set: {error.args[0].str()}"
        raise StackError(message) from error
    return len(new) + len(old)


async def await_grants(logins: Iterable[KafkaLogin], wanted: frozenset[Grant]) -> None:
    """Wait until every broker knows what these services may see; they start with full rights.

    Raises:
        StackError: it did not come within `TIMEOUT`.

    """
    try:
        async with asyncio.timeout(TIMEOUT):
            for login in logins:
                topics = {
                    grant.name
                    for grant in wanted
                    if (grant.service, grant.resource, grant.prefix)
                    == (login.username, "topic", False)
                }
                while await find_unseen(login, topics):  # noqa: ASYNC110  (no broker tells)
                    await asyncio.sleep(0.05)
    except (KafkaError, OSError) as error:
        message = f"the rights of the services did not reach every broker: {error}"
        raise StackError(message) from error


EVERYTHING: Final = AclBindingFilter(
    ResourceType.ANY,
    None,  # type: ignore[arg-type]  # its types forget that None is any
    ResourcePatternType.ANY,
    None,  # type: ignore[arg-type]
    None,  # type: ignore[arg-type]
    AclOperation.ANY,
    AclPermissionType.ANY,
)
"""Every ACL there is."""


def _bind(grant: Grant) -> AclBinding:
    return AclBinding(
        ResourceType[grant.resource.upper()],
        grant.name,
        ResourcePatternType.PREFIXED if grant.prefix else ResourcePatternType.LITERAL,
        f"User:{grant.service}",
        "*",
        AclOperation[grant.operation.upper()],
        AclPermissionType.ALLOW,
    )


def _only(acl: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        acl.restype,
        acl.name,
        acl.resource_pattern_type,
        acl.principal,
        acl.host,
        acl.operation,
        acl.permission_type,
    )
