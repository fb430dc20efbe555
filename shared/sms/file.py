"""The file outbox: each message is one JSON line, for a stack that has no gateway of its own.

It stands for the telephone network, so the file holds numbers and texts: it is readable by its
owner only, and whoever runs the stack empties it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from shared.clock import now, rfc3339
from shared.sms.gateway import Asks, Fate, Outcome, Refused, Sent, Unknown
from shared.sms.segments import count_segments

if TYPE_CHECKING:
    from pathlib import Path

    from shared.clock import Clock
    from shared.sms.gateway import Question

FILE: Final = "sms.jsonl"
"""The file's name in its folder."""


class FileOutbox:
    """Appends messages to `sms.jsonl`; any number of processes may write to one folder."""

    name: Final = "file"
    asks: Final = Asks.KEY
    exchange: Final = timedelta(seconds=15)

    def __init__(self, folder: Path, clock: Clock = now) -> None:
        """Take the folder, which is made (0700) with the first message, and the clock."""
        self._folder = folder
        self._clock = clock

    async def send(self, number: str, text: str, key: str) -> Outcome:
        """Append one line `{"at", "key", "number", "text", "parts"}` and see it on the disk."""
        line = msgspec.json.encode(
            {
                "at": rfc3339(self._clock()),
                "key": key,
                "number": number,
                "text": text,
                "parts": count_segments(text).parts,
            }
        )
        return await asyncio.to_thread(self._append, line + b"\n")

    async def ask(self, question: Question) -> Fate | None:
        """Look whether the message stands in the file."""
        return await asyncio.to_thread(self._find, question.key)

    async def close(self) -> None:
        """Do nothing: no file is kept open."""

    def _find(self, key: str) -> Fate | None:
        """Look for a whole line with this key."""
        sought = f'"key":"{key}"'.encode()
        with contextlib.suppress(OSError), (self._folder / FILE).open("rb") as lines:
            if any(sought in line and line.endswith(b"}\n") for line in lines):
                return Fate.SENT
        return None

    def _append(self, line: bytes) -> Outcome:
        """Write in one call at the end of the file: appends of a local file never mix."""
        written = 0
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(
                self._folder / FILE,
                os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC,
                0o600,
            )
            try:
                written = os.write(file, line)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError:
            return Unknown("half-written") if written else Refused("connection", again=True)
        return Sent() if written == len(line) else Unknown("half-written")
