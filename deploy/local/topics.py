"""Kafka's topics, made from `deploy/topics.toml`; running it again changes only what differs."""

from __future__ import annotations

import asyncio
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it has no __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from deploy.local.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE: Final = Path(__file__).resolve().parents[1] / "topics.toml"
TIMEOUT: Final = 20
"""Seconds for one request to the brokers."""

DAY: Final = 24 * 60 * 60 * 1000
"""Milliseconds."""


class Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a topic is kept; `retention_days` is None for a compacted one."""

    owner: str
    readers: tuple[str, ...]
    partitions: int
    cleanup: Literal["delete", "compact"]
    retention_days: int | None = None

    def settings(self, replication: int) -> dict[str, str]:
        """Return the topic's settings in Kafka's words."""
        keep = -1 if self.retention_days is None else self.retention_days * DAY
        quorum = 2 if replication >= 3 else 1  # noqa: PLR2004  (two of three)
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(keep),
            "min.insync.replicas": str(quorum),
        }


class Topics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: topics by name, and families of topics by pattern."""

    topics: dict[str, Topic]
    families: dict[str, Topic] = {}


def load_topics(path: Path = FILE) -> Topics:
    """Read the file.

    Raises:
        StackError: it is not TOML or has a wrong field; the message says where.

    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Topics)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        message = f"{path.name}: {error}"
        raise StackError(message) from error


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
    try:
        there = admin.list_topics(timeout=TIMEOUT).topics
        for name, topic in wanted.items():
            if name in there and len(there[name].partitions) != topic.partitions:
                message = (
                    f"topic {name} has {len(there[name].partitions)} partitions, "
                    f"{path.name} says {topic.partitions}: partitions are fixed for life"
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


async def provision(bootstrap: str, replication: int) -> list[str]:
    """Do `provision_topics` in a thread, with a client that lives only as long."""

    def work() -> list[str]:
        return provision_topics(AdminClient({"bootstrap.servers": bootstrap}), replication)

    return await asyncio.to_thread(work)


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004  (two words)
        sys.exit("usage: python -m deploy.local.topics BOOTSTRAP REPLICATION")
    try:
        names = provision_topics(AdminClient({"bootstrap.servers": sys.argv[1]}), int(sys.argv[2]))
    except StackError as problem:
        sys.exit(f"pashe: {problem}")
    sys.stdout.write("".join(f"made {name}\n" for name in names))
