"""What a broker is told: its listeners, who may enter by them, and how it keeps its topics.

With users, clients and brokers sign in by SCRAM at one listener. Controllers cannot: the SCRAM
users stand in the log that they are about to read. Among themselves they use one password (PLAIN).
Nobody is let in without a sign-in, and nobody may do what no ACL allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.local.keys import KAFKA_ADMIN, KAFKA_BROKER
from shared.kafka import MECHANISM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required"
_PLAIN: Final = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_AUTHORIZER: Final = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker, which is a controller too."""

    node: int
    host: str
    port: int
    controller_port: int
    folder: Path

    @property
    def name(self) -> str:
        """Its name as a part of the stack."""
        return "kafka" if self.host == "127.0.0.1" else f"kafka-{self.node}"


def copies_of(brokers: Sequence[Broker]) -> int:
    """Return the copies of each partition: three where there are three brokers."""
    return min(3, len(brokers))


def write_settings(
    broker: Broker, brokers: Sequence[Broker], passwords: Mapping[str, str] | None
) -> str:
    """Return the text of a broker's `server.properties`; it holds passwords if there are any.

    Args:
        broker: whose.
        brokers: all of the cluster.
        passwords: by user; None lets everyone do everything (tests of mechanisms).

    """
    copies = copies_of(brokers)
    quorum = 2 if copies == 3 else 1  # noqa: PLR2004  (two of three)
    values: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": broker.node,
        # Voters by setting, not in the log: the ports change from start to start.
        "controller.quorum.voters": ",".join(
            f"{b.node}@{b.host}:{b.controller_port}" for b in brokers
        ),
        "listeners": (
            f"CLIENTS://{broker.host}:{broker.port},"
            f"CONTROLLER://{broker.host}:{broker.controller_port}"
        ),
        "advertised.listeners": f"CLIENTS://{broker.host}:{broker.port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "CLIENTS",
        **(_open() if passwords is None else _closed(passwords)),
        "log.dirs": broker.folder / "data",
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.recovery.threads.per.data.dir": 2,
        "auto.create.topics.enable": "false",
        "default.replication.factor": copies,
        "min.insync.replicas": quorum,
        "unclean.leader.election.enable": "false",
        "offsets.topic.num.partitions": 3,
        "offsets.topic.replication.factor": copies,
        # As long as the streams are kept: a group that slept must not start anew.
        "offsets.retention.minutes": 100 * 24 * 60,
        "transaction.state.log.num.partitions": 3,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": quorum,
        "share.coordinator.state.topic.num.partitions": 3,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": quorum,
        "group.initial.rebalance.delay.ms": 0,
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 500,
        # 128 MB of heap by default; this holds the keys of a small machine's topics.
        "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
        "log.segment.bytes": 128 * 1024 * 1024,
        "log.index.size.max.bytes": 1024 * 1024,
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def _open() -> dict[str, object]:
    return {"listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT"}


def _closed(passwords: Mapping[str, str]) -> dict[str, object]:
    own = f'username="{KAFKA_BROKER}" password="{passwords[KAFKA_BROKER]}"'
    known = f'user_{KAFKA_BROKER}="{passwords[KAFKA_BROKER]}"'
    return {
        "listener.security.protocol.map": "CLIENTS:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.clients.sasl.enabled.mechanisms": MECHANISM,
        f"listener.name.clients.{MECHANISM.lower()}.sasl.jaas.config": f"{_SCRAM} {own};",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": f"{_PLAIN} {own} {known};",
        "authorizer.class.name": _AUTHORIZER,
        "super.users": f"User:{KAFKA_ADMIN};User:{KAFKA_BROKER}",
        "allow.everyone.if.no.acl.found": "false",
    }


def write_users(passwords: Mapping[str, str]) -> str:
    """Return the users as a file of arguments (`@file`) of Kafka's storage tool, one a line.

    A file, since every user of a machine can read the arguments of a process.
    """
    return "".join(
        f"--add-scram\n{MECHANISM}=[name={name},password={password}]\n"
        for name, password in passwords.items()
    )
