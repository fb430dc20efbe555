"""How each service is told where everything is: the environment of its process."""

from __future__ import annotations

import hmac
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Final

from deploy.local.database import service_urls
from deploy.local.errors import StackError
from deploy.local.home import HOST
from deploy.local.keys import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from shared.kafka import KafkaLogin

_OURS: Final = ("PASHE_", "DATABASE_", "KAFKA_", "HTTP_HOST", "HTTP_PORT", "KEYS_DIR", "REPLICA")
"""Prefixes of variables that a service gets from us alone."""


def chosen_services(env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the services to run: all, or those that PASHE_SERVICES names (`none`: the platform).

    Raises:
        StackError: it names one that does not exist.

    """
    given = (os.environ if env is None else env).get("PASHE_SERVICES", "")
    names = [word.strip() for word in given.split(",") if word.strip()]
    if not names:
        return SERVICES
    wrong = sorted(set(names) - {*SERVICES, "none"})
    if wrong:
        message = f"PASHE_SERVICES names what is no service: {', '.join(wrong)}"
        raise StackError(message)
    return tuple(name for name in SERVICES if name in names)


def trial_token(keys: Path) -> str:
    """Return the token that a telephone gateway of this stack alone signs with."""
    file = keys / "pashe" / "tokens.key"
    if not file.is_file():
        return ""
    seed = bytes.fromhex(file.read_text("ascii").strip())
    return hmac.new(seed, b"a telephone gateway of this stack", "sha256").hexdigest()


def has_module(name: str) -> bool:
    """Say whether a module can be found, without running it."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def service_env(
    service: str,
    *,
    keys: Path,
    admin: str,
    passwords: Mapping[str, str],
    kafka: KafkaLogin,
    ports: Mapping[str, int],
    origin: str,
    base: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the environment of a service's process; it never knows who owns its tables.

    Args:
        service: its name.
        keys: the folder with a folder of keys for each service.
        admin: any address of the services' database.
        passwords: by database role.
        kafka: where Kafka is, and as whom this service signs in.
        ports: the HTTP port of each service.
        origin: the public address, without a slash at its end.
        base: what is inherited (this process's environment); ours is taken out of it first.

    """
    source = os.environ if base is None else base
    inherited = {k: v for k, v in source.items() if not k.startswith(_OURS)}
    databases = service_urls(admin, service, passwords)
    del databases["DATABASE_OWNER_URL"]
    urls = {f"{name.upper()}_URL": f"http://{HOST}:{port}" for name, port in ports.items()}
    return {
        "NOTIFICATION_ALLOW_LOOPBACK": "1",
        "SMS_OUTBOX_DIR": str(keys.parent / "sms"),
        "TWILIO_AUTH_TOKEN": trial_token(keys),
        "VOICE_PROMPTS": str(keys.parent / "prompts"),
        "ERASURES_FILE": str(keys.parent / "erasures" / "erasures.jsonl"),
        **inherited,
        **databases,
        **urls,
        "KAFKA_BOOTSTRAP": kafka.bootstrap,
        "KAFKA_USERNAME": kafka.username,
        "KAFKA_PASSWORD": kafka.password,
        "HTTP_HOST": HOST,
        "HTTP_PORT": str(ports[service]),
        "REPLICA": "1",
        "KEYS_DIR": str(keys / service),
        "PASHE_PUBLIC_URL": origin,
        "PASHE_SCRIPT_TOKENS": source.get("PASHE_SCRIPT_TOKENS", ""),
        "PYTHONUNBUFFERED": "1",
    }


def service_command(service: str) -> list[str]:
    """Return the command line that runs a service in the foreground."""
    return [sys.executable, "-m", f"services.{service}.main"]


def migrate_command(names: Iterable[str]) -> list[str]:
    """Return the command line that migrates the services' schemas, one after another."""
    return [sys.executable, "-m", "shared.migrate", *names]


def migrate_env(names: Iterable[str], admin: str, passwords: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of that command: the address of each schema's owner."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
    owner = "DATABASE_OWNER_URL"
    urls = {name: service_urls(admin, name, passwords)[owner] for name in names}
    return inherited | {f"{owner}_{name.upper()}": url for name, url in urls.items()}
