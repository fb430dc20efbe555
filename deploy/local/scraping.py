"""`pashe prometheus`: Debian's Prometheus on the stack that is up, with every alert, on loopback.

Elsewhere a Prometheus finds the services by itself; here their ports are free ones.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
import yaml

from deploy.local.errors import StackError
from deploy.local.home import Home, find_home, find_state
from deploy.local.keys import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterable

RULES: Final = Path(__file__).parents[1] / "prometheus" / "rules"
EVERY: Final = 5
"""Seconds between two scrapes: as often as the services read their figures."""


def write_config(home: Home, rules: Iterable[Path], every: int = EVERY) -> Path:
    """Write the configuration for the stack of a home; return its path.

    Raises:
        StackError: the stack is not up.

    """
    state = find_state(home)
    if state is None:
        message = "the stack is not up: start it with `pashe up`"
        raise StackError(message)
    targets = [
        {"targets": [f"127.0.0.1:{state.ports[name]}"], "labels": {"service": name}}
        for name in SERVICES
    ]
    folder = home.path / "prometheus"
    folder.mkdir(mode=0o700, exist_ok=True)
    config = folder / "prometheus.yml"
    told = {
        "global": {"scrape_interval": f"{every}s", "evaluation_interval": f"{every}s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {"job_name": "pashe", "scrape_timeout": f"{every}s", "static_configs": targets}
        ],
    }
    config.write_text(yaml.safe_dump(told, sort_keys=False), "utf-8")
    return config


def words_for(program: str, config: Path, port: int) -> list[str]:
    """Return how to start Prometheus."""
    return [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={config.parent / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]


def run_prometheus(
    *, port: Annotated[int, typer.Option(help="On loopback", min=1024, max=65535)] = 9090
) -> None:
    """Watch the stack that is up with Debian's Prometheus and every alert, until Ctrl-C."""
    program = shutil.which("prometheus")
    if program is None:
        message = "prometheus is missing: make prometheus (apt-get install prometheus)"
        raise StackError(message)
    config = write_config(find_home(), sorted(RULES.glob("*.yaml")))
    typer.echo(f"http://127.0.0.1:{port}/alerts")
    os.execv(program, words_for(program, config, port))  # noqa: S606  (it takes our place)
