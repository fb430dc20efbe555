"""A report over each channel, as its gateway or page sends it, and senders of it.

A channel that joins `NAMES` adds its own request here; without one, only that it answers is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from tests.bench.figures import percentile
from tests.bench.wire import WireError, ask, request

if TYPE_CHECKING:
    from collections.abc import Callable

FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
PEOPLE: Final = ("01700000011", "01700000012", "01700000013")
RETRY: Final = 0.2
"""Seconds after which a gateway tries again what was not taken."""


def _web(mark: str) -> bytes:
    body = {"channel": "web", "narrative": "An invented report."}
    headers = {"content-type": "application/json", "idempotency-key": mark.ljust(24, "0")}
    return request("POST", "/intake/v1/reports", headers, json.dumps(body).encode())


def _sms(mark: str) -> bytes:
    number = PEOPLE[len(mark) % len(PEOPLE)]
    form = urlencode({"from": number, "text": "amar bon k niye geche", "id": mark}).encode()
    return request("POST", "/intake/channels/sms/external", FORM, form)


REQUESTS: Final[dict[str, Callable[[str], bytes]]] = {"web": _web, "sms": _sms}
"""A whole request of a report by channel; its argument makes it this one and no other."""


def request_of(channel: str, mark: str) -> bytes:
    made = REQUESTS.get(channel)
    return made(mark) if made else request("GET", "/ready", {})


@dataclass(slots=True)
class Seen:
    """What the senders of one channel saw: seconds to each answer, and tries that failed."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    def __str__(self) -> str:
        p50, p99 = (1000 * percentile(self.seconds, part) for part in (0.5, 0.99))
        counts = f"{len(self.seconds):6} taken, {self.failed:5} tries failed"
        return f"{counts}, p50 {p50:6.0f} ms, p99 {p99:6.0f} ms"


async def say(url: str, channel: str, mark: str, seen: Seen) -> None:
    """Send one report until it is taken, as a gateway does; measure the try that was."""
    while True:
        started = time.monotonic()
        with contextlib.suppress(OSError, WireError, TimeoutError):
            if (await ask(url, request_of(channel, mark))).status < 300:
                seen.seconds.append(time.monotonic() - started)
                return
        seen.failed += 1
        await asyncio.sleep(RETRY)


async def keep_saying(
    url: str, channel: str, marks: str, every: float, seconds: float, seen: Seen
) -> int:
    """Send a report each `every` seconds, whatever becomes of those before; return how many."""
    clock = asyncio.get_running_loop().time
    start = clock()
    count = round(seconds / every)
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await asyncio.sleep(start + number * every - clock())
            group.create_task(say(url, channel, f"{marks}-{number}", seen))
    return count
