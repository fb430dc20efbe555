"""The peers of the history's bench: processes that are told what to do line by line.

Tessera's POSIX log is built from `tests/bench/tessera` by Go, pymerkle runs in a virtual
environment that is made for it and thrown away.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parent
MINUTES = 300.0
"""Seconds within which a peer is built, or ended."""


class PeerMissing(Exception):  # noqa: N818  (a state of the machine)
    """A peer cannot be built here: measure without it, and say so."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that answers each line with one of JSON."""

    process: subprocess.Popen[str]
    log: Path

    def ask(self, line: str) -> dict[str, Any]:
        """Return the answer to a line; an empty one waits for the first.

        Raises:
            RuntimeError: it ended.

        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if line:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            message = f"a peer ended: {self.log.read_text('utf-8', 'replace')[-600:]}"
            raise RuntimeError(message)
        found: dict[str, Any] = json.loads(answer)
        return found


@contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[Peer]:
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=log.parent,
        )
    peer = Peer(process, log)
    try:
        peer.ask("")
        yield peer
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def find_go() -> str:
    """Return the Go command.

    Raises:
        PeerMissing: there is none.

    """
    found = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin")
    if found is None:
        raise PeerMissing("Go is missing")
    return found


def _build(command: Sequence[str], where: Path, what: str) -> None:
    done = subprocess.run(
        command, cwd=where, capture_output=True, text=True, check=False, timeout=MINUTES
    )
    if done.returncode:
        message = f"{what} cannot be built here: {done.stderr.strip()[-300:]}"
        raise PeerMissing(message)


@contextmanager
def tessera(folder: Path, events: Path, public: bytes) -> Iterator[Peer]:
    """Run Tessera's POSIX logs in a folder.

    Raises:
        PeerMissing: Go or its modules are missing.

    """
    program = folder / "tessera"
    _build([find_go(), "build", "-o", str(program), "."], HERE / "tessera", "Tessera")
    place = folder / "tessera-logs"
    place.mkdir()
    words = ["--folder", str(place), "--events", str(events), "--public", public.hex()]
    with _running([str(program), *words], folder / "tessera.log") as peer:
        yield peer


def build_fsck(folder: Path) -> Path:
    """Build the `fsck` of Tessera.

    Raises:
        PeerMissing: Go or its modules are missing.

    """
    program = folder / "fsck"
    package = "github.com/transparency-dev/tessera/cmd/fsck"
    command = [find_go(), "build", "-o", str(program), package]
    _build(command, HERE.parent / "independent", "Tessera's fsck")
    return program


@contextmanager
def pymerkle(folder: Path, size: int) -> Iterator[Peer]:
    """Run pymerkle with so many entries.

    Raises:
        PeerMissing: it cannot be installed.

    """
    uv, place = str(Path(sys.executable).with_name("uv")), folder / "pymerkle"
    if not Path(uv).exists():
        raise PeerMissing("uv is missing beside this Python: make set-up")
    _build([uv, "venv", "--python", sys.executable, str(place)], folder, "pymerkle's environment")
    python = str(place / "bin" / "python")
    words = ["--require-hashes", "-r", str(HERE / "pymerkle.txt")]
    _build([uv, "pip", "install", "--python", python, *words], folder, "pymerkle")
    command = [python, str(HERE / "pymerkle_peer.py"), str(folder), str(size)]
    with _running(command, folder / "pymerkle.log") as peer:
        yield peer
