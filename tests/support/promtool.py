"""Debian's promtool and Prometheus: where they are missing a test says what to install.

In CI a missing one fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yaml"))
TRIALS = sorted((ROOT / "deploy/prometheus/tests").glob("*.yaml"))


def need(name: str) -> str:
    """Return the path of `promtool` or `prometheus`."""
    found = shutil.which(name)
    if found is not None:
        return found
    message = f"{name} is missing: make prometheus (apt-get install prometheus)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def promtool(*words: str | Path) -> str:
    """Run promtool; return what it printed, and fail with it."""
    done = subprocess.run(
        [need("promtool"), *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
