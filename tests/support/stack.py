"""A whole embedded stack of its own for a test: `pashe up --detach` in a folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import ssl
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import asyncpg
import httpx
import psutil

from deploy.local.control import find_parts, find_status
from deploy.local.home import Home, find_state
from deploy.local.keys import KAFKA_ADMIN
from shared.access import make_token
from shared.access_rules import memberships_for
from shared.kafka import KafkaLogin

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from shared.membership import Membership
    from shared.vocabulary import Role

SERVICES = ("intake", "referral", "notification", "audit")
UP_TIMEOUT = 150.0
"""Seconds that a start may take on a busy machine."""

NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Whom to trust: all of it is on loopback, and to read a machine's list takes 25 ms each time."""

PASHE = (sys.executable, "-m", "deploy.local.cli")


def free_port() -> int:
    """Return a port of loopback below the ephemeral range that nothing listens on now."""
    for _ in range(200):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    message = "no free port"
    raise RuntimeError(message)


class StackError(Exception):
    """`pashe` ended with an error; the message holds what it printed."""


@dataclass(slots=True)
class Stack:
    """A running stack. `env` are further variables that its services get; `code` is another
    checkout that it runs from.
    """

    home: Path
    port: int = field(default_factory=free_port)
    env: dict[str, str] = field(default_factory=dict)
    code: Path | None = None
    _databases: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def pashe(self, *words: str, timeout: float = UP_TIMEOUT) -> str:
        """Run the command line against this stack and return what it printed."""
        environment = {
            **os.environ,
            "REFERRAL_CLOCKS": "",  # the usual ones, not those of the demonstration
            **self.env,
            "PASHE_HOME": str(self.home),
            "PASHE_PORT": str(self.port),
            "PASHE_ENDS_WITH": str(os.getpid()),
        }
        done = subprocess.run(
            [*PASHE, *words],
            env=environment,
            cwd=self.code,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            message = f"pashe {' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
            raise StackError(message)
        return done.stdout

    def __enter__(self) -> Self:
        try:
            self.pashe("up", "--detach")
        except BaseException:
            with contextlib.suppress(StackError, subprocess.TimeoutExpired):
                self.pashe("down")
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.pashe("down")

    def status(self) -> dict[str, Any]:
        """Return what `pashe status --json` prints, asked of the supervisor itself.

        Raises:
            StackError: it does not answer.

        """
        found = find_status(Home(self.home))
        if found is None:
            raise StackError("the supervisor does not answer")
        return found

    def part(self, name: str) -> dict[str, Any]:
        """Return one part of the status: name, pid, port, ready; `kafka` is the first broker."""
        found = find_parts(Home(self.home)) or {}
        # An older release knows no such question.
        parts: list[dict[str, Any]] = found.get("parts") or self.status()["parts"]
        for part in parts:
            if part["name"] == name or (name == "kafka" and part["name"].startswith(name)):
                return part
        message = f"the stack has no part {name}"
        raise StackError(message)

    def is_ready(self, name: str, old: int | None) -> bool:
        """Say whether a part is ready under another pid than `old`; cheap for services."""
        state = find_state(Home(self.home))
        if name not in SERVICES:
            part = self.part(name)
            return bool(part["ready"]) and part["pid"] != old
        if state is None or name not in state.parts or state.parts[name].pid == old:
            return False
        with contextlib.suppress(httpx.HTTPError):
            address = f"http://127.0.0.1:{state.ports[name]}/ready"
            return httpx.get(address, timeout=5, verify=NOBODY).status_code == 200
        return False

    def pid(self, name: str) -> int:
        """Return the process id of a part.

        Raises:
            StackError: it is between two lives.

        """
        found = self.part(name)["pid"]
        if found is None:
            message = f"{name} is not running just now"
            raise StackError(message)
        return int(found)

    def url(self, name: str) -> str:
        """Return the base address of a service without the proxy."""
        return f"http://127.0.0.1:{self.part(name)['port']}"

    def environment(self, service: str) -> dict[str, str]:
        """Return the variables of a running service."""
        return dict(psutil.Process(self.pid(service)).environ())

    def kafka_login(self, user: str = KAFKA_ADMIN) -> KafkaLogin:
        """Return how a user reaches the stack's Kafka; by default the one who may do everything."""
        state = find_state(Home(self.home))
        if state is None:
            raise StackError("the stack is not up")
        passwords = json.loads(Home(self.home).kafka_passwords.read_text())
        return KafkaLogin(state.bootstrap, user, passwords[user])

    async def connect(self, service: str) -> asyncpg.Connection[Any]:
        """Connect to a service's own schema, as its own role.

        The address is asked for once, for that probes every part; and again when it fails.
        """
        if known := self._databases.get(service):
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                return await asyncpg.connect(known, timeout=5)
        self._databases[service] = self.environment(service)["DATABASE_URL"]
        return await asyncpg.connect(self._databases[service], timeout=5)

    @property
    def seed(self) -> bytes:
        """The seed that signs bearer tokens."""
        return bytes.fromhex((self.home / "keys" / "pashe" / "tokens.key").read_text().strip())

    def bearer(
        self,
        role: Role,
        org: str | None = None,
        subject: str | None = None,
        places: Sequence[str] = (),
        memberships: Sequence[Membership] | None = None,
    ) -> dict[str, str]:
        """Return the header of a caller; a committee member's is a member unless told otherwise."""
        held = memberships_for(role) if memberships is None else memberships
        token = make_token(
            self.seed, role, org=org, subject=subject, places=places, memberships=held
        )
        return {"authorization": f"Bearer {token}"}

    def client(self, **more: Any) -> httpx.Client:
        """Return a client of the origin that does what a caller is told to do (`Patient`)."""
        return httpx.Client(base_url=self.origin, transport=Patient(), **more)

    def logs(self) -> list[Path]:
        return sorted((self.home / "logs").rglob("*.log*"))

    def complaints(self, since: str) -> list[str]:
        """Return what the parts logged as graver than usual from `since` (RFC 3339, UTC) on.

        What the supervisor logs has no level and is told as well.
        """
        read = [one for path in self.logs() for one in _objects_of(path)]
        told = [one for one in read if one.get("level") not in USUAL and one["time"] >= since]
        return [json.dumps(one) for one in sorted(told, key=lambda one: str(one["time"]))]


USUAL = ("INFO", "DEBUG")


def _objects_of(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text("utf-8", "replace").splitlines():
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict) and isinstance(found.get("time"), str):
                yield found


class Patient(httpx.HTTPTransport):
    """Asks again after the seconds that a 502, 503 or 504 names, twice at most, as is asked for.

    A part that cannot reach its database for a moment says so (503): it is no failure of what a
    test is about. It is told as a warning, with where and what.
    """

    AGAIN: ClassVar[int] = 2

    def __init__(self) -> None:
        super().__init__(verify=NOBODY)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        request.read()
        for _ in range(self.AGAIN):
            answer = super().handle_request(request)
            wait = answer.headers.get("retry-after", "")
            if answer.status_code not in (502, 503, 504) or not wait.isdigit():
                return answer
            said = f"{request.method} {request.url.path}: {answer.read().decode()}"
            warnings.warn(said, stacklevel=2)
            answer.close()
            time.sleep(min(int(wait), 5))
        return super().handle_request(request)


def send_signal(pid: int, number: signal.Signals) -> bool:
    """Signal one process; False if it was gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


async def gone(pid: int, bound: float = 15.0) -> bool:
    """Wait until a process ended, at most `bound` seconds."""
    until = time.monotonic() + bound
    while psutil.pid_exists(pid) and time.monotonic() < until:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        await asyncio.sleep(0.02)
    return not psutil.pid_exists(pid)
