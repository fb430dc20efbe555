"""What each process of the chart serves: prints `{unit: [path, …]}` as JSON.

A process of its own, since wiring sets up logs and traces.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy.local.keys import SERVICES, make_keys
from deploy.local.services import service_env
from services.intake.channels import CASES, NAMES
from shared.kafka import KafkaLogin
from tests.support.platform import PASSWORDS
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

COMMON: Final = ("/live", "/ready", "/metrics", "/openapi.json")
"""Ends of paths that every process has."""

SERVING: Final = {
    "intake-cases": ("INTAKE_CHANNELS", CASES),
    **{f"intake-{name}": ("INTAKE_CHANNELS", name) for name in NAMES},
    "referral-cases": ("REFERRAL_RULES", "cases"),
    "notification-webhook": ("NOTIFICATION_NOTIFIERS", "webhook"),
    "audit": ("", ""),
}
"""The processes that the gateway knows, and the variable that makes each what it is."""


def find_routes() -> dict[str, list[str]]:
    """Return the paths of each process, without those that all have."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.unit_routes"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def _paths(routes: Iterable[Any], before: str = "") -> Iterator[str]:
    """Yield the path of each route, and of those below an included router."""
    for route in routes:
        if path := getattr(route, "path", ""):
            yield before + path
        elif below := getattr(route, "original_router", None):
            yield from _paths(below.routes, before + route.include_context.prefix)


def main() -> None:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys"
        make_keys(keys, beside_data=False)
        for unit, (variable, value) in SERVING.items():
            service = unit.partition("-")[0]
            env = service_env(
                service,
                keys=keys,
                admin="postgresql://nobody@127.0.0.1:1/none",
                passwords=PASSWORDS,
                kafka=KafkaLogin("127.0.0.1:1"),
                ports=dict.fromkeys(SERVICES, 1),
                origin="http://127.0.0.1:1",
            )
            os.environ.update(env | ({variable: value} if variable else {}))
            _, app = importlib.import_module(f"services.{service}.main").build()
            paths = set(_paths(app.routes))
            found[unit] = sorted(path for path in paths if not path.endswith(COMMON))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
