"""The supervisor: starts the parts in order, keeps them running, answers `status`, ends them.

Order: PostgreSQL beside Kafka, then the database and the topics, the migrations, the services, the
proxy; the same backwards at the end. Once up, a part that ends is started again and nothing else is
touched: the services live through a restart of Kafka or PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from deploy.local import control, figures, keys, parts, ports, services, topics
from deploy.local.database import DATABASE, prepare_database, with_database
from deploy.local.errors import StackError
from deploy.local.home import (
    HOST,
    ROOT,
    Home,
    State,
    erase_home,
    find_home,
    make_home,
    save_state,
    take_lock,
    write_private,
)
from deploy.local.jars import cache_folder, fetch_jars
from deploy.local.kafka import EmbeddedKafka, count_brokers, reserve_brokers
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.process import mark_of, run_once
from deploy.local.telling import Teller, log_event

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


@dataclass(slots=True)
class Supervisor:
    """One stack, from its start to its end."""

    home: Home
    teller: Teller
    brokers: int
    profile: str | None
    port: int
    held: ports.Ports = field(default_factory=ports.Ports)
    parts: list[Part] = field(default_factory=list)
    keepers: list[asyncio.Task[None]] = field(default_factory=list)
    phase: str = "starting"
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    kafka: EmbeddedKafka | None = None
    admin_url: str | None = None
    passwords: dict[str, str] = field(default_factory=dict)
    service_ports: dict[str, int] = field(default_factory=dict)
    listener: socket.socket | None = None
    state: State = field(init=False)

    async def run(self) -> int:
        """Run the stack until it is told to end; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ended.set)
        starting = asyncio.create_task(self._start())
        ended = asyncio.create_task(self.ended.wait())
        code = 0
        try:
            await asyncio.wait({starting, ended}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await ended
            else:
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
        except BaseExceptionGroup as group:
            code = self._failed(_first(group))
        except Exception as error:  # noqa: BLE001  (whatever it is, nothing stays running)
            code = self._failed(error)
        finally:
            await self._stop()
        return code

    def _failed(self, error: BaseException) -> int:
        tail: Sequence[str] = ()
        if isinstance(error, StackError):
            text, tail = str(error), error.tail
        elif isinstance(error, OSError) and error.strerror:
            text = f"{error.strerror}: {error.filename or self.home.path}"
        else:
            text = f"{type(error).__name__}: {error}"
        log_event("start-failed", {"why": text})
        self.teller.tell("failed", text=text, tail=list(tail))
        return 1

    # Starting

    async def _start(self) -> None:
        free = shutil.disk_usage(self.home.path).free
        if free < FREE_AT_LEAST:
            message = (
                f"only {free // 2**20} MB are free for {self.home.path}: "
                f"at least {FREE_AT_LEAST // 2**20} MB are needed"
            )
            raise StackError(message)
        self.listener = ports.listen(HOST, self.port)
        chosen = services.chosen_services()
        self.service_ports = {name: self.held.reserve() for name in keys.SERVICES}
        origin = f"http://{HOST}:{self.port}"
        own = mark_of(os.getpid())
        if own is None:
            message = "/proc is not mounted: processes cannot be followed"
            raise StackError(message)
        place = control.socket_place(self.home)
        self.state = State(supervisor=own, origin=origin, socket=str(place))
        self.state.ports = {**self.service_ports, "proxy": self.port}
        server = await control.serve(place, self._answer)
        save_state(self.home, self.state)
        try:
            await self._start_platform(chosen)
            await self._start_services(chosen)
            await self._start_proxy(self.listener)
            await self._load_directory(chosen)
        except BaseException:
            server.close()
            raise
        self.phase = "up"
        log_event("up", {"origin": origin})
        self.teller.tell("ready", origin=origin)
        self.teller.close()

    async def _start_platform(self, chosen: Sequence[str]) -> None:
        external = os.environ.get("PASHE_POSTGRES_URL")
        there = self.home.postgres.exists()
        known = self.home.passwords.is_file()
        keys.make_keys(self.home.keys, beside_data=there)
        self.passwords = keys.make_passwords(self.home.passwords, beside_data=there)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._start_kafka())
            group.create_task(self._start_database(external, chosen, known=known))

    async def _start_kafka(self) -> None:
        count = self.brokers or count_brokers(self.home.kafka) or 1
        brokers = reserve_brokers(self.home.kafka, self.held, count)
        with self.teller.step("jars", "Kafka's jars"):
            cache = cache_folder(self.home.path / "cache")

            def told(there: int, total: int) -> None:
                self.teller.tell("amount", step="jars", done=there, total=total)

            jars = await asyncio.to_thread(fetch_jars, cache, told)
        self.kafka = kafka = EmbeddedKafka(self.home.kafka, jars, brokers)
        self.state.bootstrap = kafka.bootstrap
        with self.teller.step("kafka", "Kafka" if count == 1 else f"Kafka, {count} brokers"):
            await kafka.prepare(self.home.log("kafka"))
            await self._start_parts([parts.broker_part(self.home, kafka, b) for b in brokers])
        with self.teller.step("topics", "Topics"):
            await topics.provision(kafka.admin, kafka.replication)

    async def _start_database(
        self, external: str | None, chosen: Sequence[str], *, known: bool
    ) -> None:
        if external:
            admin = external
        else:
            server = EmbeddedPostgres(
                self.home.postgres, self.held.reserve(), self.passwords[keys.SUPERUSER]
            )
            with self.teller.step("postgres", "PostgreSQL"):
                await server.prepare(self.home.log("postgres"))
                self.state.postgres_port = server.port
                await self._start_parts([parts.postgres_part(self.home, server)])
            admin = server.url()
        with self.teller.step("database", "Roles and schemas"):
            self.admin_url = await prepare_database(
                admin, self.passwords, may_exist=known or not external
            )
        await self._migrate([name for name in chosen if services.has_module("shared.migrate")])

    async def _migrate(self, names: Sequence[str]) -> None:
        async def one(name: str) -> None:
            if services.has_module(f"services.{name}.migrations"):
                await run_once(
                    f"migrating the database of {name}",
                    services.migrate_command(name),
                    self.home.log("migrate"),
                    within=MIGRATE_WITHIN,
                    env=self._env(name, migrate=True),
                    cwd=ROOT,
                )

        with self.teller.step("migrate", "Migrations"):
            await asyncio.gather(*(one(name) for name in names))

    async def _start_services(self, chosen: Sequence[str]) -> None:
        there = [name for name in chosen if services.has_module(f"services.{name}.main")]
        for name in sorted(set(chosen) - set(there)):
            self.teller.tell("note", text=f"{name} is not part of this installation")
        if there:
            with self.teller.step("services", "Services: " + ", ".join(there)):
                ports_ = self.service_ports
                await self._start_parts(
                    [parts.service_part(self.home, n, ports_[n], self._env(n)) for n in there]
                )

    async def _start_proxy(self, listener: socket.socket) -> None:
        with self.teller.step("proxy", "The origin"):
            await self._start_parts([parts.proxy_part(self.home, listener, self.service_ports)])

    async def _load_directory(self, chosen: Sequence[str]) -> None:
        """Load the directory of the profile, once; again only when another profile is asked for."""
        loaded = self.home.profile.read_text() if self.home.profile.is_file() else None
        profile = self.profile or loaded or "demonstration"
        if profile == loaded or "referral" not in chosen or not services.has_module(DIRECTORY):
            return
        with self.teller.step("directory", f"The directory ({profile})"):
            await run_once(
                "loading the directory",
                [sys.executable, "-m", DIRECTORY, "load", "--profile", profile],
                self.home.log("directory"),
                within=LOAD_WITHIN,
                env=self._env("referral"),
                cwd=ROOT,
            )
        write_private(self.home.profile, profile.encode())

    def _env(self, service: str, *, migrate: bool = False) -> dict[str, str]:
        return services.service_env(
            service,
            keys=self.home.keys,
            admin=with_database(self.admin_url or "", DATABASE),
            passwords=self.passwords,
            bootstrap=self.state.bootstrap,
            ports=self.service_ports,
            origin=self.state.origin,
            migrate=migrate,
        )

    async def _start_parts(self, new: Sequence[Part]) -> None:
        """Start parts beside each other, wait until all are ready, and keep them from then on."""
        self.parts += new
        for part in new:
            part.spawn()
        self._write_down()
        async with asyncio.TaskGroup() as group:
            for part in new:
                group.create_task(part.wait_until_ready())
        self.keepers += [asyncio.create_task(part.keep(self._changed)) for part in new]

    def _changed(self, event: str, fields: dict[str, Any]) -> None:
        log_event(event, fields)
        with contextlib.suppress(OSError):  # a full disk must not end the keeping
            self._write_down()

    def _write_down(self) -> None:
        self.state.parts = {p.name: p.mark for p in self.parts if p.mark is not None}
        save_state(self.home, self.state)

    # Answering

    async def _answer(self, word: str) -> dict[str, Any]:
        if word == "stop":
            self.ended.set()
            return {"phase": "stopping"}
        if word == "status":
            return await self.status()
        return {"phase": self.phase}

    async def status(self) -> dict[str, Any]:
        """Return what `status --json` prints; takes little more than a second at most."""
        admin = self.kafka.admin if self.kafka and self.phase == "up" else None
        shown, lag, outbox, parked = await asyncio.gather(
            asyncio.gather(*(part.status() for part in self.parts)),
            figures.find_lag(admin),
            figures.find_outbox(self.admin_url),
            figures.find_parked(self.admin_url),
        )
        return {
            "origin": self.state.origin,
            "phase": self.phase,
            "supervisor": os.getpid(),
            "parts": shown,
            "lag": lag,
            "outbox": outbox,
            "parked": parked,
        }

    # Ending

    async def _stop(self) -> None:
        self.phase = "stopping"
        if self.listener is not None:
            self.listener.close()
        for keeper in self.keepers:
            keeper.cancel()
        await asyncio.gather(*self.keepers, return_exceptions=True)
        for layer in sorted({part.layer for part in self.parts}, reverse=True):
            await asyncio.gather(*(part.stop() for part in self.parts if part.layer == layer))
        if hasattr(self, "state"):
            control.remove_socket(self.home, self.state.socket)
            self.home.state.unlink(missing_ok=True)
        self.held.close()
        log_event("ended", {})


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first real error of a group; a StackError before any other."""
    flat = [_first(e) if isinstance(e, BaseExceptionGroup) else e for e in group.exceptions]
    return next((error for error in flat if isinstance(error, StackError)), flat[0])


def origin_port() -> int:
    """Return the origin's port: PASHE_PORT, or 8000.

    Raises:
        StackError: it is not a port.

    """
    word = os.environ.get("PASHE_PORT") or "8000"
    if not word.isdigit() or not 0 < int(word) <= 65535:  # noqa: PLR2004  (16 bits)
        message = f"PASHE_PORT is not a port: {word}"
        raise StackError(message)
    return int(word)


def main() -> None:
    """Run one stack; the command line starts this as a process of its own."""
    parser = argparse.ArgumentParser(prog="pashe-supervisor")
    parser.add_argument("--tell", type=int)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--brokers", type=int, default=0)
    parser.add_argument("--profile")
    given = parser.parse_args()
    teller = Teller(given.tell)
    home = find_home()
    code = 1
    try:
        make_home(home)
        lock = take_lock(home)
        if lock is None:
            teller.tell("already")
            code = 0
        else:
            os.umask(0o077)
            left = control.reap_leftovers(home)
            if left:
                log_event("reaped", {"parts": left})
                teller.tell("note", text=f"ended what an earlier run left: {', '.join(left)}")
            if given.fresh:
                erase_home(home)
            stack = Supervisor(home, teller, given.brokers, given.profile, origin_port())
            code = asyncio.run(stack.run())
    except StackError as error:
        teller.tell("failed", text=str(error), tail=list(error.tail))
    except OSError as error:
        teller.tell("failed", text=f"{error.strerror}: {error.filename}", tail=[])
    teller.close()
    sys.stderr.flush()
    os._exit(code)  # a download that hangs in a thread must not hold the end


if __name__ == "__main__":
    main()
