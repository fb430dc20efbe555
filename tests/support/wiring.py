"""What each service's `main` wires: the topics it owns and reads, and its consumer groups.

As a program it prints that as JSON. A process of its own, since wiring sets up logs and traces.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.local.keys import SERVICES, make_keys
from deploy.local.services import service_env
from shared.kafka import KafkaLogin
from tests.support.platform import PASSWORDS
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from fastapi import FastAPI

    from shared.runtime import Service


def find_wiring() -> dict[str, dict[str, Any]]:
    """Return `owns`, `reads` and `groups` by service."""
    return ask("tests.support.wiring")


def ask(program: str) -> dict[str, Any]:
    """Run a program of the tests in a process of its own, and return the JSON it prints."""
    done = subprocess.run(
        [sys.executable, "-m", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def wire(service: str, keys: Path, **settings: str) -> tuple[Service, FastAPI]:
    """Build what a service's `main` runs, with addresses at which nobody is."""
    env = service_env(
        service,
        keys=keys,
        admin="postgresql://nobody@127.0.0.1:1/none",
        passwords=PASSWORDS,
        kafka=KafkaLogin("127.0.0.1:1"),
        ports=dict.fromkeys(SERVICES, 1),
        origin="http://127.0.0.1:1",
    )
    os.environ.update(env | settings)
    built: tuple[Service, FastAPI] = importlib.import_module(f"services.{service}.main").build()
    return built


def main() -> None:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys"
        make_keys(keys, beside_data=False)
        for service in SERVICES:
            wired, _ = wire(service, keys)
            found[service] = {
                "owns": sorted(wired.owns),
                "reads": sorted({topic for one in wired.consumers for topic in one.topics}),
                "groups": sorted(one.name for one in wired.consumers),
            }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
