"""One stack: what it consists of, the order in which it starts, and the way back.

PostgreSQL beside Kafka, then the database and the topics, the migrations, the services, the proxy;
the same backwards at the end. Once up, a part that ends is started again and nothing else is
touched: the services live through a restart of Kafka or PostgreSQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy.local import accounts, control, keys, parts, ports, services, topics
from deploy.local.database import DATABASE, prepare_database, with_database
from deploy.local.errors import StackError
from deploy.local.home import HOST, ROOT, Home, State, save_state, write_private
from deploy.local.jars import cache_folder, fetch_jars
from deploy.local.kafka import EmbeddedKafka, count_brokers, reserve_brokers
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.process import mark_of, run_once
from deploy.local.telling import Teller, log_event
from shared.kafka import KafkaLogin

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from deploy.local.part import Part

FREE_AT_LEAST: Final = 256 * 1024 * 1024
"""Bytes that must be free where the state folder is."""

MIGRATE_WITHIN: Final = 120.0
LOAD_WITHIN: Final = 120.0
"""Seconds."""

DIRECTORY: Final = "services.referral.directory"

DEMONSTRATION_CLOCKS: Final = Path(__file__).parent / "demo" / "clocks.toml"
"""In the demonstration profile seconds stand for minutes where there is danger now."""


@dataclass(slots=True)
class Stack:
    """One stack, from its start to its end; `brokers` is 0 for as many as there were."""

    home: Home
    teller: Teller
    brokers: int
    profile: str | None
    port: int
    held: ports.Ports = field(default_factory=ports.Ports)
    parts: list[Part] = field(default_factory=list)
    keepers: list[asyncio.Task[None]] = field(default_factory=list)
    kafka: EmbeddedKafka | None = None
    admin_url: str | None = None
    passwords: dict[str, str] = field(default_factory=dict)
    kafka_passwords: dict[str, str] = field(default_factory=dict)
    service_ports: dict[str, int] = field(default_factory=dict)
    accounts_port: int = 0
    issuers: Path | None = None
    listener: socket.socket | None = None
    state: State | None = None

    def prepare(self) -> tuple[State, socket.socket]:
        """Take the origin's port and the services', and write down who we are.

        Raises:
            StackError: the port is taken, or the disk is nearly full.

        """
        free = shutil.disk_usage(self.home.path).free
        if free < FREE_AT_LEAST:
            message = (
                f"only {free // 2**20} MB are free for {self.home.path}: "
                f"at least {FREE_AT_LEAST // 2**20} MB are needed"
            )
            raise StackError(message)
        own = mark_of(os.getpid())
        if own is None:
            message = "/proc is not mounted: processes cannot be followed"
            raise StackError(message)
        self.listener = listener = ports.listen(HOST, self.port)
        self.service_ports = {name: self.held.reserve() for name in keys.SERVICES}
        self.accounts_port = self.held.reserve()
        self.state = State(
            supervisor=own,
            origin=f"http://{HOST}:{self.port}",
            socket=str(control.socket_place(self.home)),
            ports={**self.service_ports, keys.ACCOUNTS: self.accounts_port, "proxy": self.port},
        )
        save_state(self.home, self.state)
        return self.state, listener

    async def start(self, state: State, listener: socket.socket) -> None:
        """Start everything, in order, until it is all ready.

        Raises:
            StackError, ExceptionGroup of it: a part did not start; the caller stops the rest.

        """
        chosen = services.chosen_services()
        await self._start_platform(state, chosen)
        await self._start_services(state, chosen)
        with self.teller.step("proxy", "The origin"):
            there = {**self.service_ports, keys.ACCOUNTS: self.accounts_port}
            proxy = parts.proxy_part(self.home, listener, there)
            await self._start_parts(state, [proxy])
        await self._load_directory(state, chosen)

    async def stop(self) -> None:
        """End everything that was started, the edge first, and forget the state."""
        if self.listener is not None:
            self.listener.close()
        for keeper in self.keepers:
            keeper.cancel()
        await asyncio.gather(*self.keepers, return_exceptions=True)
        for layer in sorted({part.layer for part in self.parts}, reverse=True):
            await asyncio.gather(*(part.stop() for part in self.parts if part.layer == layer))
        if self.state is not None:
            control.remove_socket(self.home, self.state.socket)
            self.home.state.unlink(missing_ok=True)
        self.held.close()

    async def _start_platform(self, state: State, chosen: Sequence[str]) -> None:
        external = os.environ.get("PASHE_POSTGRES_URL")
        there = self.home.postgres.exists()
        known = self.home.passwords.is_file()
        keys.make_keys(self.home.keys, beside_data=there)
        self.passwords = keys.make_passwords(self.home.passwords, beside_data=there)
        self.kafka_passwords = keys.make_kafka_passwords(
            self.home.kafka_passwords, beside_data=count_brokers(self.home.kafka) > 0
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._start_kafka(state))
            group.create_task(self._start_database(state, external, chosen, known=known))

    async def _start_kafka(self, state: State) -> None:
        count = self.brokers or count_brokers(self.home.kafka) or 1
        brokers = reserve_brokers(self.home.kafka, self.held, count)
        with self.teller.step("jars", "Kafka's jars"):
            cache = cache_folder(self.home.path / "cache")

            def told(there: int, total: int) -> None:
                self.teller.tell("amount", step="jars", done=there, total=total)

            jars = await asyncio.to_thread(fetch_jars, cache, told)
        self.kafka = kafka = EmbeddedKafka(self.home.kafka, jars, brokers, self.kafka_passwords)
        state.bootstrap = kafka.bootstrap
        with self.teller.step("kafka", "Kafka" if count == 1 else f"Kafka, {count} brokers"):
            await kafka.prepare()
            await self._start_parts(
                state, [parts.broker_part(self.home, kafka, b) for b in brokers]
            )
        with self.teller.step("topics", "Topics and who may do what with them"):
            signed = [kafka.login(name) for name in keys.SERVICES]
            await topics.provision(kafka.admin, kafka.replication, signed)

    async def _start_database(
        self, state: State, external: str | None, chosen: Sequence[str], *, known: bool
    ) -> None:
        if external:
            admin = external
        else:
            server = EmbeddedPostgres(
                self.home.postgres, self.held.reserve(), self.passwords[keys.SUPERUSER]
            )
            with self.teller.step("postgres", "PostgreSQL"):
                await server.prepare(self.home.log("postgres"))
                state.postgres_port = server.port
                await self._start_parts(state, [parts.postgres_part(self.home, server)])
            admin = server.url()
        with self.teller.step("database", "Roles and schemas"):
            self.admin_url = await prepare_database(
                admin, self.passwords, may_exist=known or not external
            )
        await self._migrate(chosen)

    async def _migrate(self, names: Sequence[str]) -> None:
        there = [name for name in names if services.has_module(f"services.{name}.migrations")]
        if not there:
            return
        admin = with_database(self.admin_url or "", DATABASE)
        with self.teller.step("migrate", "Migrations"):
            await run_once(
                "migrating the database",
                services.migrate_command(there),
                self.home.log("migrate"),
                within=MIGRATE_WITHIN,
                env=services.migrate_env(there, admin, self.passwords),
                cwd=ROOT,
            )

    async def _start_services(self, state: State, chosen: Sequence[str]) -> None:
        there = [name for name in chosen if services.has_module(f"services.{name}.main")]
        for name in sorted(set(chosen) - set(there)):
            self.teller.tell("note", text=f"{name} is not part of this installation")
        if there:
            with self.teller.step("services", "Services: " + ", ".join(there)):
                issuer = self._issuer(state)
                ports_ = self.service_ports
                running = [
                    parts.service_part(self.home, n, ports_[n], self._env(state, n)) for n in there
                ]
                await self._start_parts(state, [*running, *issuer])

    def _issuer(self, state: State) -> list[Part]:
        """Return the small issuer, unless others are believed in its place."""
        self.issuers = accounts.other_issuers()
        if self.issuers is not None:
            return []
        self.issuers = accounts.write_issuers(self.home, state.origin)
        admin = with_database(self.admin_url or "", DATABASE)
        password = self.passwords[keys.ACCOUNTS]
        env = accounts.issuer_env(self.home, admin, password, state.origin, self.accounts_port)
        return [parts.accounts_part(self.home, self.accounts_port, env)]

    async def _load_directory(self, state: State, chosen: Sequence[str]) -> None:
        """Load the directory of the profile, once; again only when another profile is asked for."""
        loaded, profile = self._loaded(), self._profile()
        if profile == loaded or "referral" not in chosen or not services.has_module(DIRECTORY):
            return
        with self.teller.step("directory", f"The directory ({profile})"):
            await run_once(
                "loading the directory",
                [sys.executable, "-m", DIRECTORY, "load", "--profile", profile],
                self.home.log("directory"),
                within=LOAD_WITHIN,
                env=self._env(state, "referral"),
                cwd=ROOT,
            )
        write_private(self.home.profile, profile.encode())

    def _loaded(self) -> str | None:
        """Return the profile whose directory is loaded."""
        return self.home.profile.read_text() if self.home.profile.is_file() else None

    def _profile(self) -> str:
        return self.profile or self._loaded() or "demonstration"

    def _env(self, state: State, service: str) -> dict[str, str]:
        env = services.service_env(
            service,
            keys=self.home.keys,
            admin=with_database(self.admin_url or "", DATABASE),
            passwords=self.passwords,
            kafka=KafkaLogin(state.bootstrap, service, self.kafka_passwords[service]),
            ports=self.service_ports,
            origin=state.origin,
        )
        if self.issuers is not None:
            env["PASHE_ISSUERS"] = str(self.issuers)
        if self._profile() == "demonstration":
            env.setdefault("REFERRAL_CLOCKS", str(DEMONSTRATION_CLOCKS))
        return env

    async def _start_parts(self, state: State, new: Sequence[Part]) -> None:
        """Start parts beside each other, wait until all are ready, and keep them from then on."""
        self.parts += new
        for part in new:
            part.spawn()
        self._write_down(state)
        async with asyncio.TaskGroup() as group:
            for part in new:
                group.create_task(part.wait_until_ready())
        self.keepers += [
            asyncio.create_task(part.keep(partial(self._changed, state))) for part in new
        ]

    def _changed(self, state: State, event: str, fields: dict[str, Any]) -> None:
        log_event(event, fields)
        with contextlib.suppress(OSError):  # a full disk must not end the keeping
            self._write_down(state)

    def _write_down(self, state: State) -> None:
        state.parts = {p.name: p.mark for p in self.parts if p.mark is not None}
        save_state(self.home, state)
