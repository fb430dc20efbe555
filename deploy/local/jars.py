"""Kafka's published jars: fetched once, checked against the lock, shared by every stack.

They are looked up by coordinates through jgo; which server answers is jgo's affair. What counts is
the sha256 of the lock (`jars.lock.json`): a jar with another sum is never used.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.local.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOCK: Final = Path(__file__).with_name("jars.lock.json")
TRIES: Final = 3
PARALLEL: Final = 8
TIMEOUT: Final = 60
"""Seconds without a byte before a download is given up."""


class Jar(msgspec.Struct, frozen=True):
    """One file of a lock: `group:artifact:version`, sha256 in hex, bytes, `jar` or `zip`."""

    gav: str
    sha256: str
    size: int
    packaging: str = "jar"

    @property
    def name(self) -> str:
        """The file's name in the cache."""
        _, artifact, version = self.gav.split(":")
        return f"{artifact}-{version}.{self.packaging}"


def cache_folder(fallback: Path, env: Mapping[str, str] | None = None) -> Path:
    """Return the folder that stacks share: PASHE_CACHE, else the user's cache, else `fallback`.

    Raises:
        StackError: PASHE_CACHE is given and cannot be used.

    """
    source = os.environ if env is None else env
    if given := source.get("PASHE_CACHE"):
        return _usable(Path(given).expanduser().absolute(), given=True) or fallback
    base = source.get("XDG_CACHE_HOME") or ""
    home = Path(base) if Path(base).is_absolute() else Path("~/.cache").expanduser()
    return _usable(home / "pashe", given=False) or _usable(fallback, given=True) or fallback


def _usable(folder: Path, *, given: bool) -> Path | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        if given:
            message = f"the cache folder {folder} cannot be used: {error.strerror}"
            raise StackError(message) from error
        return None


def fetch_jars(cache: Path, told: Callable[[int, int], None], lock: Path = LOCK) -> list[Path]:
    """Return the jars of a lock (Kafka's), fetched when the cache lacks them; blocks.

    Args:
        cache: the folder that stacks share.
        told: called with (bytes there, bytes in all) as it goes on, from this thread.
        lock: the file that says which.

    Raises:
        StackError: a jar cannot be fetched, or has another sha256 than the lock says.

    """
    jars = msgspec.json.decode(lock.read_bytes(), type=list[Jar])
    folder = cache / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(jar.size for jar in jars)
    missing = [jar for jar in jars if not _is_right(folder / jar.name, jar)]
    there = total - sum(jar.size for jar in missing)
    told(there, total)
    if missing:
        logging.getLogger("jgo").setLevel(logging.CRITICAL)  # failures are told once, by us
        work = Path(tempfile.mkdtemp(prefix="fetch-", dir=cache))
        pool = ThreadPoolExecutor(PARALLEL)
        try:
            runs = {pool.submit(_fetch, jar, work, folder): jar for jar in missing}
            for run in as_completed(runs):
                run.result()
                there += runs[run].size
                told(there, total)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            shutil.rmtree(work, ignore_errors=True)
    return [folder / jar.name for jar in jars]


def _is_right(path: Path, jar: Jar) -> bool:
    if not path.is_file() or path.stat().st_size != jar.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256


def _fetch(jar: Jar, work: Path, folder: Path) -> None:
    from jgo.maven import MavenContext  # noqa: PLC0415  (slow to import, needed once)

    group, artifact, version = jar.gav.split(":")
    problem = ""
    for attempt in range(TRIES):
        repository = work / f"{artifact}.{attempt}"  # a new one each time: jgo keeps half a file
        context = MavenContext(
            repo_cache=repository,
            local_repos=[Path("~/.m2/repository").expanduser()],
            timeout=TIMEOUT,
        )
        try:
            project = context.project(group, artifact).at_version(version)
            found = project.artifact(packaging=jar.packaging).resolve()
        except OSError as error:  # network errors of requests are OSErrors, and so is a full disk
            problem = error.strerror or type(error).__name__
            continue
        except RuntimeError:
            problem = "not found"
            continue
        if not _is_right(found, jar):
            message = (
                f"the jar {jar.gav} came with a wrong sha256 and is not used: "
                "the download was changed or cut on its way"
            )
            raise StackError(message)
        draft = work / jar.name
        shutil.copyfile(found, draft)
        draft.replace(folder / jar.name)
        return
    message = (
        f"the jar {jar.gav} could not be fetched ({problem}): is the network there? "
        f"A copy may be put into {folder} by hand"
    )
    raise StackError(message)
