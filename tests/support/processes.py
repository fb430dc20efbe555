"""Small child processes for tests: started, signalled by pid, never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[2]


class Child:
    """One Python child; its output goes to `log`. A context manager that kills it at the end."""

    def __init__(self, module: str, env: dict[str, str], log: Path, *arguments: str) -> None:
        self._log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.running():
            self.send(signal.SIGCONT)
            self.send(signal.SIGKILL)
        self._process.wait(10)

    @property
    def pid(self) -> int:
        return self._process.pid

    def running(self) -> bool:
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended gets none."""
        self._process.send_signal(number)

    async def ended(self, within: float) -> int:
        """Wait for the end; return the exit code (negative: the signal).

        Raises:
            AssertionError: it still runs; the end of its output says why.

        """
        try:
            return await asyncio.to_thread(self._process.wait, within)
        except subprocess.TimeoutExpired:
            message = f"still runs after {within} s; it said:\n{self.said()}"
            raise AssertionError(message) from None

    def said(self) -> str:
        """Return the end of its output."""
        return self._log.read_text("utf-8", "replace")[-3000:]
