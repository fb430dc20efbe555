"""Settings: environment variables read once, at the edge, into a frozen value."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shared.errors import SettingsError
from shared.kafka import KafkaLogin

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Settings:
    """What every service process is told; addresses are URLs or host:port, times are seconds.

    `pool` and `web_pool` bound its database connections; 0 means what the service finds right.
    """

    service: str
    database_url: str
    database_web_url: str
    kafka: KafkaLogin
    http_host: str
    http_port: int
    replica: str
    keys_dir: Path
    public_url: str
    urls: Mapping[str, str]
    only: frozenset[str]
    otlp_endpoint: str
    trace_ratio: float
    log_level: str
    allow_loopback: bool
    issuers: Path | None = None
    script_tokens: bool = True
    pool: int = 0
    web_pool: int = 0


_ONLY = {
    "intake": "INTAKE_CHANNELS",
    "referral": "REFERRAL_RULES",
    "notification": "NOTIFICATION_NOTIFIERS",
}


def load_settings(service: str, env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of one service process.

    Raises:
        SettingsError: a variable is missing or wrong; the message names it, never its value.

    """
    source = os.environ if env is None else env

    def need(name: str) -> str:
        value = source.get(name, "")
        if not value:
            message = f"{name} is not set"
            raise SettingsError(message)
        return value

    def number(name: str, default: str, kind: type[int | float]) -> float:
        try:
            return kind(source.get(name) or default)
        except ValueError:
            message = f"{name} is not a number"
            raise SettingsError(message) from None

    keys = Path(need("KEYS_DIR"))
    if not keys.is_dir():
        message = "KEYS_DIR is not a folder"
        raise SettingsError(message)
    only = source.get(_ONLY.get(service, ""), "")
    flow = need("DATABASE_URL")
    return Settings(
        service=service,
        database_url=flow,
        database_web_url=source.get("DATABASE_WEB_URL") or flow,
        kafka=read_kafka_login(need("KAFKA_BOOTSTRAP"), source),
        http_host=source.get("HTTP_HOST") or "127.0.0.1",
        http_port=int(number("HTTP_PORT", "0", int)),
        replica=source.get("REPLICA") or "1",
        keys_dir=keys,
        public_url=(source.get("PASHE_PUBLIC_URL") or "http://127.0.0.1:8000").rstrip("/"),
        urls={
            name: source.get(f"{name.upper()}_URL", "").rstrip("/")
            for name in ("intake", "referral", "notification", "audit")
        },
        only=frozenset(word.strip() for word in only.split(",") if word.strip()),
        otlp_endpoint=source.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/"),
        trace_ratio=number("OTEL_TRACES_SAMPLER_ARG", "1.0", float),
        log_level=source.get("LOG_LEVEL") or "INFO",
        allow_loopback=source.get("NOTIFICATION_ALLOW_LOOPBACK") == "1",
        issuers=Path(source["PASHE_ISSUERS"]) if source.get("PASHE_ISSUERS") else None,
        script_tokens=source.get("PASHE_SCRIPT_TOKENS", "") != "off",
        pool=int(number("DATABASE_POOL", "0", int)),
        web_pool=int(number("DATABASE_WEB_POOL", "0", int)),
    )


def read_kafka_login(bootstrap: str, source: Mapping[str, str]) -> KafkaLogin:
    """Read as whom and how to speak to Kafka.

    `KAFKA_USERNAME` and `KAFKA_PASSWORD` are both set or neither (a Kafka that asks nobody).
    `KAFKA_SECURITY` is one of Kafka's four protocols, by default without TLS; `KAFKA_CA_FILE` names
    the authority of the brokers' certificates (PEM) if the machine does not know it.

    Raises:
        SettingsError: they contradict one another; the message names them, never their values.

    """
    username, password = source.get("KAFKA_USERNAME", ""), source.get("KAFKA_PASSWORD", "")
    if bool(username) != bool(password):
        missing = "KAFKA_PASSWORD" if username else "KAFKA_USERNAME"
        message = f"{missing} is not set: a Kafka user needs a name and a password"
        raise SettingsError(message)
    protocol = (source.get("KAFKA_SECURITY") or "").upper()
    ca_file = source.get("KAFKA_CA_FILE", "")
    login = KafkaLogin(bootstrap, username, password, protocol.endswith("SSL"), ca_file)
    if protocol and protocol != login.protocol:
        message = f"KAFKA_SECURITY does not fit: with this user it is {_fitting(username)}"
        raise SettingsError(message)
    if ca_file and not login.tls:
        raise SettingsError("KAFKA_CA_FILE is set, but KAFKA_SECURITY asks for no TLS")
    if ca_file and not Path(ca_file).is_file():
        raise SettingsError("KAFKA_CA_FILE is not a file")
    return login


def _fitting(username: str) -> str:
    return "SASL_PLAINTEXT or SASL_SSL" if username else "PLAINTEXT or SSL"


def read_key(settings: Settings, name: str) -> bytes:
    """Read a 32-byte key kept as 64 hex characters in the keys folder.

    Raises:
        SettingsError: the file is missing or not 32 bytes of hex.

    """
    path = settings.keys_dir / name
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError):
        key = b""
    if len(key) != 32:  # noqa: PLR2004  (bytes of a 256-bit key)
        message = f"key file {name} is missing or is not 64 hex characters"
        raise SettingsError(message)
    return key


def read_callers(settings: Settings) -> dict[str, bytes]:
    """Read the public keys of the services that may call this one; none when there is no file.

    Raises:
        SettingsError: `callers.json` is not an object of 64 hex characters by service.

    """
    path = settings.keys_dir / "callers.json"
    if not path.is_file():
        return {}
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        return {service: bytes.fromhex(key) for service, key in found.items()}
    except (OSError, ValueError):
        message = "callers.json is not an object of public keys by service"
        raise SettingsError(message) from None
