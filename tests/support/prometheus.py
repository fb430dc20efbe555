"""Debian's Prometheus on a running stack, with the alerts of the project in shorter windows."""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from deploy.local.home import Home
from deploy.local.scraping import words_for, write_config
from tests.support.promtool import RULES, need
from tests.support.stack import free_port
from tests.support.wait import eventually_now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.stack import Stack

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
QUICKER = 6
"""By how much spans of time are shorter here; every other sign of the rules is as it is."""

LEAST = 12
"""Seconds that a range must have to hold two scrapes."""

STALE = 30
"""Seconds of age that a figure may have on a busy machine."""


def quicken(text: str) -> str:
    """Return rules with each `for: 5m`, `[5m]` and age in seconds divided."""

    def shorter(found: re.Match[str]) -> str:
        seconds = int(found[2]) * UNITS[found[3]] // QUICKER
        least = LEAST if found[1] == "[" else 1
        return f"{found[1]}{max(seconds, least)}s"

    def younger(found: re.Match[str]) -> str:
        return f"{found[1]}{max(int(found[2]) // QUICKER, STALE)}"

    text = re.sub(r"(for: |\[)(\d+)([smhd])", shorter, text)
    return re.sub(r"(_seconds(?:\{[^}]*\})?\)?\s+> )(\d+)", younger, text)


class Prometheus:
    """A running Prometheus."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **query: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=query, timeout=10)
        assert answer.status_code == 200, answer.text  # what it does not take it says
        return answer.json()["data"]

    def ask(self, query: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self.get("query", query=query)["result"]
        return result

    def firing(self) -> dict[str, str]:
        """Return the severity of each alert that fires now, by its name."""
        return {
            one["labels"]["alertname"]: one["labels"]["severity"]
            for one in self.get("alerts")["alerts"]
            if one["state"] == "firing"
        }

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False


@contextmanager
def watching(stack: Stack, folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus on a stack until the block ends."""
    program = need("prometheus")
    rules = []
    for path in RULES:
        quick = folder / path.name
        quick.write_text(quicken(path.read_text("utf-8")), "utf-8")
        rules.append(quick)
    config = write_config(Home(stack.home), rules, every=2)
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(words_for(program, config, port), stdout=log, stderr=log)
        try:
            found = Prometheus(port)
            eventually_now(found.is_ready, 30, "Prometheus")
            yield found
        finally:
            process.terminate()
            process.wait(20)
