"""Kafka's topics and who may use them, made from `deploy/topics.toml`.

Running it again changes only what differs.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it has no __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from deploy.local.acls import await_grants, grants_of, provision_grants
from deploy.local.errors import StackError
from deploy.local.topics_file import FILE, load_topics
from shared.errors import SettingsError
from shared.kafka import find_refusal
from shared.settings import read_kafka_login

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from deploy.local.topics_file import Topic
    from shared.kafka import KafkaLogin

TIMEOUT: Final = 20
"""Seconds for one request to the brokers."""


def provision_topics(admin: AdminClient, replication: int, path: Path = FILE) -> list[str]:
    """Make missing topics and set what differs; return the names that were made. Blocks.

    Args:
        admin: a client of the cluster.
        replication: copies of each partition of a new topic.
        path: the file.

    Raises:
        StackError: Kafka refused, or a topic has another number of partitions than the file says:
            that is never changed, since each subject would move to another partition.

    """
    wanted = load_topics(path).topics
    return make_topics(admin, replication, wanted)


def make_topics(admin: AdminClient, replication: int, wanted: Mapping[str, Topic]) -> list[str]:
    """Make missing topics and set what differs; see `provision_topics`."""
    try:
        there = admin.list_topics(timeout=TIMEOUT).topics
        for name, topic in wanted.items():
            if name in there and len(there[name].partitions) != topic.partitions:
                message = (
                    f"topic {name} has {len(there[name].partitions)} partitions, "
                    f"topics.toml says {topic.partitions}: partitions are fixed for life"
                )
                raise StackError(message)
        new = [
            NewTopic(
                name,
                num_partitions=topic.partitions,
                replication_factor=replication,
                config=topic.settings(replication),
            )
            for name, topic in wanted.items()
            if name not in there
        ]
        if new:
            for made in admin.create_topics(new, operation_timeout=TIMEOUT).values():
                made.result(TIMEOUT)
        _correct(admin, {n: t.settings(replication) for n, t in wanted.items() if n in there})
    except KafkaException as error:
        message = f"the topics could not be made: {error.args[0].str()}"
        raise StackError(message) from error
    return [topic.topic for topic in new]


def _correct(admin: AdminClient, wanted: Mapping[str, Mapping[str, str]]) -> None:
    """Set retention and cleanup of topics that differ from the file."""
    if not wanted:
        return
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in wanted]
    changes = []
    for resource, found in admin.describe_configs(asked).items():
        values = found.result(TIMEOUT)
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in wanted[resource.name].items()
            if key != "min.insync.replicas" and values[key].value != value
        ]
        if entries:
            changes.append(
                ConfigResource(ResourceType.TOPIC, resource.name, incremental_configs=entries)
            )
    if changes:
        for changed in admin.incremental_alter_configs(changes).values():
            changed.result(TIMEOUT)


async def provision(
    kafka: KafkaLogin, replication: int, services: Iterable[KafkaLogin] = ()
) -> list[str]:
    """Make topics and, where everyone signs in, ACLs; with a client that lives only as long.

    Args:
        kafka: the administrator.
        replication: copies of each partition of a new topic.
        services: whose rights are waited for, until every broker knows them.

    Raises:
        StackError: Kafka refused.

    """

    def work() -> list[str]:
        admin = AdminClient(kafka.native())
        made = provision_topics(admin, replication)
        if kafka.username:
            provision_grants(admin, grants_of(load_topics()))
        return made

    if why := await find_refusal(kafka):
        raise StackError(why)
    made = await asyncio.to_thread(work)
    await await_grants(services, grants_of(load_topics()))
    return made


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004  (two words)
        sys.exit(
            "usage: [KAFKA_USERNAME=… KAFKA_PASSWORD=…] "
            "python -m deploy.local.topics BOOTSTRAP REPLICATION"
        )
    try:
        admin = read_kafka_login(sys.argv[1], os.environ)
        names = asyncio.run(provision(admin, int(sys.argv[2])))
    except (StackError, SettingsError) as problem:
        sys.exit(f"pashe: {problem}")
    sys.stdout.write("".join(f"made {name}\n" for name in names))
