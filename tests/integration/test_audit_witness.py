"""The log asks witnesses on machines of their own; they serve over HTTP and never go back."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from deploy.local.ports import Ports
from services.audit.checkpoint import (
    NoteInvalid,
    NoteSigner,
    VerifierKey,
    open_checkpoint,
    parse_vkey,
    verify_note,
)
from services.audit.witness.asking import Asking
from services.audit.witness.policy import KnownWitness
from services.audit.witness.rules import name_of
from shared import telemetry
from tests.integration.test_audit import ORIGIN, Log, ground, log
from tests.support.processes import Child
from tests.support.wait import eventually
from tests.unit.test_witness import SIGNER, Tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["ground", "log"]

PREFIX = "/audit/witness"
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  (it spares the disk)


@dataclass(frozen=True, slots=True)
class Serving:
    """A witness as a process, and its address and key."""

    child: Child
    url: str
    key: VerifierKey

    @property
    def known(self) -> KnownWitness:
        return KnownWitness("w", self.key, self.url)


@contextlib.asynccontextmanager
async def serving(folder: Path, *logs: VerifierKey) -> AsyncIterator[Serving]:
    ports = Ports()
    port, said = ports.reserve(), folder.with_suffix(f".{secrets.token_hex(3)}.log")
    words = ["--folder", str(folder), "--name", "w.example/1", "--port", str(port)]
    words += [word for key in logs for word in ("--log", str(key))]
    with Child("services.audit.witness", {}, said, *words) as child:
        base = f"http://127.0.0.1:{port}{PREFIX}"

        async def there() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                async with httpx.AsyncClient() as client:
                    return (await client.get(f"{base}/x/checkpoint")).status_code == 422
            return False

        await eventually(there, 60, "the witness")
        key = parse_vkey(said.read_text().splitlines()[1])
        yield Serving(child, base, key)
    ports.close()


@contextlib.asynccontextmanager
async def asking(log: Log, *witnesses: KnownWitness) -> AsyncIterator[None]:
    task = asyncio.create_task(Asking(log.flow, witnesses).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def grow(log: Log, n: int) -> None:
    ledger = await log.begin()
    await ledger.append("k", [log.maker.event(f"case {n} {i}", 1) for i in range(n)])
    await ledger.sign()


def contradicts(witness: Serving) -> bool:
    gauge = telemetry.WITNESS_REFUSES.labels(witness.key.name)
    return bool(gauge._value.get())


async def test_each_checkpoint_shows_the_cosignature_and_a_dead_witness_stops_nothing(
    log: Log, tmp_path: Path
) -> None:
    vkey = NoteSigner(ORIGIN, log.seed).vkey
    dead = KnownWitness("dead", NoteSigner("dead.example/w", bytes(32)).vkey, "http://127.0.0.1:9")

    async def cosigned(by: VerifierKey, size: int) -> bool:
        note = (await log.proofs.checkpoint()).encode()
        with contextlib.suppress(NoteInvalid):
            return by in verify_note(note, [by])[1] and open_checkpoint(note, vkey).size == size
        return False

    async with serving(tmp_path / "w", vkey) as witness:
        await grow(log, 3)
        async with asking(log, dead, witness.known):
            await eventually(lambda: cosigned(witness.key, 3), 30, "a cosignature")
            proof = await log.proofs.inclusion(1, None)
            assert witness.key in verify_note(proof["checkpoint"].encode(), [witness.key])[1]
            await grow(log, 300)
            await eventually(lambda: cosigned(witness.key, 303), 30, "the next")
            witness.child.send(signal.SIGKILL)
            await grow(log, 5)
            note = await log.proofs.checkpoint()
            assert open_checkpoint(note.encode(), vkey).size == 308
    async with serving(tmp_path / "w", vkey) as again:
        assert again.key == witness.key
        async with asking(log, again.known):  # it asks from nothing, and is told what is remembered
            await eventually(lambda: cosigned(again.key, 308), 30, "the one after the kill")
        async with httpx.AsyncClient() as client:
            shown = await client.get(f"{again.url}/{name_of(ORIGIN)}/checkpoint")
        assert open_checkpoint(shown.content, vkey).size == 308


@pytest.mark.parametrize("n", [4, 12, 20])
async def test_a_witness_that_saw_another_history_is_an_alarm(
    log: Log, tmp_path: Path, n: int
) -> None:
    signer = NoteSigner(ORIGIN, log.seed)
    other = Tree(12, signer=signer)
    async with serving(tmp_path / "w", signer.vkey) as witness:
        async with httpx.AsyncClient() as client:
            answer = await client.post(
                f"{witness.url}/add-checkpoint", content=other.request(0, 12)
            )
            assert answer.status_code == 200
        await grow(log, n)
        async with asking(log, witness.known):
            await eventually(lambda: contradicts(witness), 30, "the alarm")
        assert (await log.proofs.checkpoint()).count("\u2014") == 1
        assert await log.fetch("SELECT * FROM cosigned") == []


async def test_what_is_no_request_gets_its_status_over_http(tmp_path: Path) -> None:
    tree = Tree(9)
    async with serving(tmp_path / "w", SIGNER.vkey) as witness, httpx.AsyncClient() as client:
        where = f"{witness.url}/add-checkpoint"
        assert (await client.post(where, content=tree.request(0, 5))).status_code == 200
        told = await client.post(where, content=tree.request(3, 6))
        assert (told.status_code, told.text) == (409, "5\n")
        assert told.headers["content-type"].startswith("text/x.tlog.size")
        assert (await client.post(where, content=b"x" * 100_000)).status_code == 413
        assert (await client.post(where, content=b"\xff\n\n\xff")).status_code == 400
        assert (await client.get(f"{witness.url}/{'0' * 64}/checkpoint")).status_code == 404


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_ten_thousand_races_over_http_never_roll_it_back() -> None:
    """Two processes of one witness are brought N and N + K at once, from what it remembers."""
    rounds, size, wins = 10_000, 0, [0, 0]
    tree = Tree(3 * rounds)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        where = Path(folder) / "w"
        async with serving(where, SIGNER.vkey) as one, serving(where, SIGNER.vkey) as two:
            assert one.key == two.key
            async with httpx.AsyncClient(timeout=60) as client:
                for _ in range(rounds):
                    sizes = (size + 1, size + 2 + secrets.randbelow(2))
                    sent = [
                        client.post(f"{w.url}/add-checkpoint", content=tree.request(size, n))
                        for w, n in zip((one, two), sizes, strict=True)
                    ]
                    answers = await asyncio.gather(*sent)
                    assert sorted(a.status_code for a in answers) == [200, 409]
                    winner = [a.status_code for a in answers].index(200)
                    wins[winner] += 1
                    size = sizes[winner]
                    assert answers[1 - winner].text == f"{size}\n"
                shown = await client.get(f"{one.url}/{name_of(SIGNER.vkey.name)}/checkpoint")
                assert open_checkpoint(shown.content, SIGNER.vkey).size == size
    assert min(wins) > 0
    print(f"\n{rounds} races; the smaller won {wins[0]}, the larger {wins[1]}; no rollback")
