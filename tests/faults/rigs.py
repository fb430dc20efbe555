"""The stacks that faults strike: one broker or three, a proxy before PostgreSQL, small disks."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deploy.local.ports import Ports
from deploy.local.postgres import EmbeddedPostgres
from tests.support.cut import Cut
from tests.support.stack import Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

RIGS = {
    "one": "whole stack",
    "three": "whole stack, three brokers",
    "wire": "whole stack, a proxy before PostgreSQL",
    "disks": "whole stack, small disks",
}

START = 400.0
"""Seconds that a start may take on a busy machine."""

SPARE = 192
"""MiB that a small disk has beside what a fresh stack needs."""


@dataclass(slots=True)
class Stood:
    stack: Stack
    database: Cut | None = None
    disks: dict[str, Path] = field(default_factory=dict)


@asynccontextmanager
async def standing(rig: str, home: Path, env: dict[str, str]) -> AsyncIterator[Stood]:
    """Start a stack as a rig wants it; the loop runs on, for what it talks to is in here."""
    async with AsyncExitStack() as open_:
        stood = Stood(Stack(home, env=dict(env)))
        if rig == "wire":
            stood.database = await open_.enter_async_context(_wire(home, stood.stack))
        if rig == "disks":
            stood.disks = await open_.enter_async_context(_small_disks(stood.stack))
        words = ("up", "--detach", *(("--brokers", "3") if rig == "three" else ()))
        open_.push_async_callback(asyncio.to_thread, stood.stack.pashe, "down")
        await asyncio.to_thread(stood.stack.pashe, *words, timeout=START)
        yield stood


@asynccontextmanager
async def _wire(home: Path, stack: Stack) -> AsyncIterator[Cut]:
    """Run a PostgreSQL of our own, which the stack reaches by a proxy only."""
    ports = Ports()
    folder = home.with_name("postgres")
    folder.mkdir()
    server = EmbeddedPostgres(folder / "data", ports.reserve(), "invented")
    log = folder / "postgres.log"
    await server.prepare(log)
    await server.start(log)
    try:
        async with Cut("127.0.0.1", server.port) as cut:
            stack.env["PASHE_POSTGRES_URL"] = server.url().replace(
                f":{server.port}/", f":{cut.port}/"
            )
            yield cut
    finally:
        await server.stop()
        ports.close()


@asynccontextmanager
async def _small_disks(stack: Stack) -> AsyncIterator[dict[str, Path]]:
    """Give PostgreSQL and Kafka a small disk each (tmpfs, so it needs root)."""
    await asyncio.to_thread(stack.pashe, "up", "--detach", timeout=START)
    await asyncio.to_thread(stack.pashe, "down")
    disks = {name: stack.home / name for name in ("postgres", "kafka")}
    mounted: list[Path] = []
    try:
        for place in disks.values():
            await asyncio.to_thread(_shrink, place)
            mounted.append(place)
        yield disks
    finally:
        for place in mounted:
            await asyncio.to_thread(_run, "umount", "--lazy", str(place))


def _shrink(place: Path) -> None:
    """Put what a folder holds onto a disk that has little more room than that."""
    was = place.with_name(f"{place.name}.was")
    place.rename(was)
    place.mkdir()
    said = subprocess.run(["du", "-sm", str(was)], capture_output=True, text=True, check=True)
    size = int(said.stdout.split()[0]) + SPARE
    _run("mount", "-t", "tmpfs", "-o", f"size={size}m", "pashe-faults", str(place))
    _run("cp", "-a", f"{was}/.", str(place))
    status = was.stat()
    shutil.chown(place, status.st_uid, status.st_gid)
    place.chmod(status.st_mode & 0o777)
    shutil.rmtree(was)


def _run(*words: str) -> None:
    subprocess.run(words, check=True)
