"""The copy that is shown, made when somebody opens it, in a process without keys; never stored."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shared import telemetry
from shared.errors import Conflict

if TYPE_CHECKING:
    from services.intake.media.opening import Opened
    from services.intake.media.rules import Rules

SECONDS: Final = 30.0
"""For one copy, together with the wait for a decoder."""

AT_ONCE: Final = 2
"""Decoders of a process at the same time."""

_PROGRAM: Final = Path(__file__).with_name("strip.py")
_SOUNDS: Final = {
    "ogg": "audio/ogg",
    "amr": "audio/amr",
    "mpeg": "audio/mpeg",
    "wav": "audio/wav",
    "aac": "audio/aac",
    "mp4": "audio/mp4",
    "webm": "audio/webm",
}


class Copies:
    """Makes copies, a few at a time."""

    def __init__(self) -> None:
        """Hold the room of the decoders."""
        self._room = asyncio.Semaphore(AT_ONCE)

    async def of(self, opened: Opened, rules: Rules) -> tuple[bytes, str]:
        """Return what is shown of an opened attachment, and its media type.

        Sound and an original are as they came.

        Raises:
            Conflict: no copy can be made of this picture.

        """
        if opened.shown == "original":
            return opened.raw, "application/octet-stream"
        if opened.shown == "sound":
            return opened.raw, _SOUNDS[opened.attachment.format]
        sizes = [rules.side, rules.max_pixels]
        if opened.shown == "blurred":
            sizes = [rules.blurred_side, rules.max_pixels, rules.blurred_points]
        try:
            async with asyncio.timeout(SECONDS), self._room:
                copy = await _run(opened.raw, sizes)
        except TimeoutError:
            copy = b""
        telemetry.ATTACHMENTS.labels(opened.shown if copy else "no_copy").inc()
        if not copy:
            raise Conflict("no copy can be made of it: two persons can have the original")
        return copy, "image/jpeg"


async def _run(raw: bytes, sizes: list[int]) -> bytes:
    """Let a decoder of its own make the copy; empty when it could not."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-B", str(_PROGRAM), *map(str, sizes)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
    )
    try:
        copy, _ = await child.communicate(raw)
        return copy if child.returncode == 0 else b""
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
