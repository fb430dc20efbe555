"""What each process of the chart serves: prints `{unit: [path, …]}` as JSON.

A process of its own, since wiring sets up logs and traces.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy.local.keys import make_keys
from services.intake.channels import CASES, NAMES
from tests.support.wiring import ask, wire

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
    found: dict[str, list[str]] = ask("tests.support.unit_routes")
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
            settings = {variable: value} if variable else {}
            _, app = wire(unit.partition("-")[0], keys, **settings)
            paths = set(_paths(app.routes))
            found[unit] = sorted(path for path in paths if not path.endswith(COMMON))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
