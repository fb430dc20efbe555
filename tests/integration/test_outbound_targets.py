"""Three hundred URLs that lead inside: not one connection, at the subscription or at a send.

A real listener hears on every address of the machine; what the sender would connect to is written
down as well, since a listener hears nothing of an address that is elsewhere.
"""

from __future__ import annotations

import asyncio
import socket
import tomllib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from services.notification.outbound import Outbound
from services.notification.targets import TargetRefused
from tests.support.stack import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiohttp import AddrInfoType

DATA: Final = Path(__file__).resolve().parents[1] / "data" / "targets.toml"
ROWS: Final[list[tuple[str, list[str], list[str], str]]] = [
    tuple(row) for row in tomllib.loads(DATA.read_text("utf-8"))["rows"]
]
AT: Final = datetime(2026, 11, 28, tzinfo=UTC)
GLOBAL: Final = "93.184.215.14"


@dataclass(slots=True)
class Listener:
    """Hears on every address of the machine; keeps who came, and answers as told."""

    port: int
    answer: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    came: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came.append(str(writer.get_extra_info("sockname")[0]))
        said = await reader.read(65_536)
        while said.startswith(b"POST") and not said.endswith(b"{}"):
            said += await reader.read(65_536)
        writer.write(self.answer)
        writer.close()


@asynccontextmanager
async def listening(answer: bytes | None = None) -> AsyncIterator[Listener]:
    listener = Listener(free_port())
    if answer is not None:
        listener.answer = answer
    four = await asyncio.start_server(listener.serve, "0.0.0.0", listener.port)
    six = await asyncio.start_server(
        listener.serve, sock=_six(listener.port), family=socket.AF_INET6
    )
    try:
        yield listener
    finally:
        four.close()
        six.close()


def _six(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind(("::", port))
    return made


@dataclass(slots=True)
class Names:
    """A name server: what it says now, and whether it was asked."""

    says: Sequence[str] = ()
    asked: int = 0

    async def resolve(self, _host: str, _port: int) -> Sequence[str]:
        self.asked += 1
        if not self.says:
            raise socket.gaierror
        return self.says


@dataclass(slots=True)
class Wire:
    """The real network, but for addresses elsewhere: those are written down and not gone to."""

    tried: list[str] = field(default_factory=list)

    def open(self, place: AddrInfoType) -> socket.socket:
        address = str(place[4][0])
        self.tried.append(address)
        if ip_address(address).is_global:
            raise OSError
        return socket.socket(place[0], place[1], place[2])


def make(names: Names, *, allow_loopback: bool = False) -> tuple[Outbound, Wire]:
    outbound = Outbound(
        timeout=timedelta(seconds=5),
        connections=4,
        allow_loopback=allow_loopback,
        resolve=names.resolve,
    )
    wire = Wire()
    outbound._guard.open = wire.open
    return outbound, wire


async def refusal(outbound: Outbound, url: str) -> str:
    try:
        await outbound.check(url)
    except TargetRefused as refused:
        return refused.rule
    return ""


async def test_no_url_of_the_corpus_leads_to_a_connection_inside() -> None:
    assert len(ROWS) >= 200
    assert all(reason for *_, reason in ROWS)
    taken, sent = [], []
    names = Names()
    outbound, wire = make(names)
    async with listening() as listener:
        for row in ROWS:
            url, answers, later, _ = row
            url = url.replace("{port}", str(listener.port))
            names.says = answers
            if bool(await refusal(outbound, url)) == bool(later):
                taken.append(row)
            names.says = later or answers
            for _ in range(2):
                answer = await outbound.post(url, {}, b"{}", AT)
                if answer.trouble != "target-refused" or answer.status is not None:
                    sent.append((row, answer.trouble))
        assert listener.came == []
        for address in ("127.0.0.1", "127.1.2.3", "::1"):  # it does hear
            assert await asyncio.to_thread(_knock, address, listener.port)
        assert len(listener.came) == 3
    await outbound.close()
    assert taken == []
    assert sent == []
    assert wire.tried == []


def _knock(address: str, port: int) -> bool:
    with socket.create_connection((address, port), timeout=5) as client:
        client.sendall(b"x")
        return client.recv(8) == b"HTTP/1.1"


async def test_loopback_for_trials_opens_nothing_else() -> None:
    names = Names()
    outbound, wire = make(names, allow_loopback=True)
    async with listening() as listener:
        for url, answers, later, _ in ROWS:
            names.says = later or answers
            await outbound.post(url.replace("{port}", str(listener.port)), {}, b"{}", AT)
    await outbound.close()
    assert {host for host in wire.tried if not ip_address(host).is_loopback} == set()


async def test_a_name_is_looked_up_at_each_connection_and_only_what_was_checked_is_used() -> None:
    names = Names([GLOBAL, "2606:4700::1111"])
    outbound, wire = make(names)
    url = "https://hooks.ngo.org/hook"
    assert await refusal(outbound, url) == ""
    assert (names.asked, wire.tried) == (1, [])
    answer = await outbound.post(url, {}, b"{}", AT)
    assert answer.trouble == "connection"
    assert names.asked == 2  # once for the one connection: no second look-up can differ
    assert wire.tried == [GLOBAL, "2606:4700::1111"]
    names.says = ["127.0.0.1"]
    assert (await outbound.post(url, {}, b"{}", AT)).trouble == "target-refused"
    assert len(wire.tried) == 2
    await outbound.close()


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 306, 307, 308])
async def test_a_redirect_is_an_answer_and_no_way(status: int) -> None:
    async with listening() as inside:
        there = f"http://127.0.0.1:{inside.port}/"
        places = f"location: {there}\r\nrefresh: 0;url={there}\r\n"
        said = f"HTTP/1.1 {status} Go\r\n{places}content-length: 0\r\n\r\n".encode()
        async with listening(said) as outside:
            outbound, wire = make(Names(), allow_loopback=True)
            url = f"http://127.0.0.1:{outside.port}/hook"
            answer = await outbound.post(url, {}, b"{}", AT)
            await outbound.close()
            assert answer.status == status
            assert wire.tried == ["127.0.0.1"]
            assert len(outside.came) == 1
        assert inside.came == []


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as proxy, listening() as receiver:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        outbound, _ = make(Names([GLOBAL]), allow_loopback=True)
        answer = await outbound.post(f"http://127.0.0.1:{receiver.port}/hook", {}, b"{}", AT)
        assert answer.status == 200
        assert (await outbound.post("https://hooks.ngo.org/", {}, b"{}", AT)).status is None
        await outbound.close()
        assert len(receiver.came) == 1
        assert proxy.came == []
