"""Kafka facts shared by all: partitions, the placing of keys, and as whom to speak to it."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from aiokafka.conn import (
    AIOKafkaConnection,
    CloseReason,
    ScramAuthenticator,
    collect_hosts,
    create_conn,
)
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.partitioner import murmur2
from aiokafka.protocol.metadata import MetadataRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

PARTITIONS: Final = 12
"""Partitions of every stream, fixed for life (DECISIONS 4)."""

MECHANISM: Final = "SCRAM-SHA-512"
"""The one way in that our listeners offer to clients."""

LOOK_TIMEOUT_MS: Final = 3000
"""Milliseconds for one question to one broker."""

_REFUSED: Final = (SaslAuthenticationFailed, UnsupportedSaslMechanismError, IllegalSaslStateError)
_NOBODY: Final = "Kafka asks who we are: KAFKA_USERNAME and KAFKA_PASSWORD are not set"


PROVIDER_TOPICS: Final = "provider."
"""Begins the name of each provider's own topic; it has one partition."""


def place_of(topic: str, key: bytes) -> int:
    """Return the partition of a key in a topic of ours, be it a stream or a provider's own."""
    return 0 if topic.startswith(PROVIDER_TOPICS) else partition_of(key)


def label_of(topic: str) -> str:
    """Return a topic as a label of metrics: one for all providers."""
    return f"{PROVIDER_TOPICS}*" if topic.startswith(PROVIDER_TOPICS) else topic


@lru_cache(maxsize=10_000)
def partition_of(key: bytes) -> int:
    """Return the partition of a key in a stream, as Kafka's default partitioner places it."""
    return int(murmur2(key) & 0x7FFFFFFF) % PARTITIONS


@lru_cache(maxsize=8)
def _salted(name: str, password: bytes, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac(name, password, salt, iterations)


def _salt_once(self: ScramAuthenticator, salt: bytes, iterations: int) -> None:
    """Work out what a password is with its salt once, not for each of a process's connections.

    RFC 5802 allows it (section 5.1); the salt of a user changes with the password.
    """
    self._salted_password = _salted(self._hashname, self._sasl_plain_password, salt, iterations)


ScramAuthenticator.create_salted_password = _salt_once

_send_open = AIOKafkaConnection.send


def _send(self: AIOKafkaConnection, request: Any, expect_response: Any = True) -> Any:  # noqa: ANN401, FBT002
    """Refuse to write to a transport that is closing, as to one that is closed.

    For two turns of the loop after a reset the connection does not know of it. uvloop raises a
    RuntimeError then where asyncio is silent; nothing in aiokafka expects one, and it ends the task
    that keeps a client's metadata: its producer waits for ever.

    Raises:
        KafkaConnectionError: the transport is closing.

    """
    if self._writer is not None and self._writer.is_closing():
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        message = f"Connection to {self.host}:{self.port} is closing"
        raise KafkaConnectionError(message)
    return _send_open(self, request, expect_response)


AIOKafkaConnection.send = _send


@dataclass(frozen=True, slots=True)
class KafkaLogin:
    """Where Kafka is (`host:port[,…]`) and as whom to speak to it; without a user, as nobody.

    `tls` encrypts and checks the brokers' names against `ca_file` (PEM), or against the machine's
    authorities when it is empty.
    """

    bootstrap: str
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca_file: str = ""

    @property
    def protocol(self) -> str:
        """The security protocol in Kafka's words."""
        return f"{'SASL_' if self.username else ''}{'SSL' if self.tls else 'PLAINTEXT'}"

    def context(self) -> ssl.SSLContext | None:
        """Return what checks the brokers' certificates; None without TLS."""
        return ssl.create_default_context(cafile=self.ca_file or None) if self.tls else None

    def sign_in(self) -> dict[str, Any]:
        """Return what an aiokafka client or connection is told beside the addresses."""
        words: dict[str, Any] = {}
        if self.tls:
            words |= {"security_protocol": self.protocol, "ssl_context": self.context()}
        if self.username:
            words |= {
                "security_protocol": self.protocol,
                "sasl_mechanism": MECHANISM,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return words

    def client(self) -> dict[str, Any]:
        """Return the addresses and the sign-in as keywords of an aiokafka client."""
        return {"bootstrap_servers": self.bootstrap, **self.sign_in()}

    def native(self) -> dict[str, str | int | float | bool]:
        """Return the same in librdkafka's words, for confluent-kafka."""
        words: dict[str, str | int | float | bool] = {"bootstrap.servers": self.bootstrap}
        if self.tls:
            words["security.protocol"] = self.protocol
            if self.ca_file:
                words["ssl.ca.location"] = self.ca_file
        if self.username:
            words |= {
                "security.protocol": self.protocol,
                "sasl.mechanism": MECHANISM,
                "sasl.username": self.username,
                "sasl.password": self.password,
            }
        return words


async def find_unseen(login: KafkaLogin, topics: Iterable[str]) -> frozenset[str]:
    """Return the topics that some broker does not let this user see.

    A right that was given reaches every broker only a moment later.

    Raises:
        KafkaError, OSError, TimeoutError: a broker does not answer.

    """
    unseen: set[str] = set()
    asked = MetadataRequest(sorted(topics))
    for host, port, _ in collect_hosts(login.bootstrap):
        conn = await create_conn(host, port, request_timeout_ms=LOOK_TIMEOUT_MS, **login.sign_in())
        try:
            answer: Any = await conn.send(asked)
        finally:
            conn.close()
        unseen |= {topic for error, topic, *_ in answer.topics if error}
    return frozenset(unseen)


async def find_refusal(login: KafkaLogin) -> str:
    """Say in one line that something answers but does not let us in; empty when nothing does.

    A client says of both only that it is "unable to bootstrap". The password is never said.
    """
    for host, port, _ in collect_hosts(login.bootstrap):
        try:
            conn = await create_conn(
                host, port, request_timeout_ms=LOOK_TIMEOUT_MS, **login.sign_in()
            )
        except _REFUSED:
            return f"Kafka refuses user {login.username}: KAFKA_USERNAME or KAFKA_PASSWORD is wrong"
        except (KafkaError, OSError, TimeoutError):
            continue
        except Exception:  # noqa: BLE001  (aiokafka does not expect such an answer)
            return f"what answers on port {port} does not speak as Kafka does"
        try:
            await conn.send(MetadataRequest([]))
        except (KafkaError, OSError, TimeoutError):
            return "" if login.username else _NOBODY  # cut off at the first question
        except Exception:  # noqa: BLE001  (likewise)
            return f"what answers on port {port} does not speak as Kafka does"
        finally:
            conn.close()
        return ""
    return ""
