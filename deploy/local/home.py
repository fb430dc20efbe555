"""The state folder of one stack (`.pashe`, or PASHE_HOME) and what is written down in it."""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.local.errors import StackError
from deploy.local.process import Mark

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).resolve().parents[2]
"""The folder that holds `deploy`, `services` and `shared`."""

HOST: Final = "127.0.0.1"


class State(msgspec.Struct):
    """What a running (or dead) supervisor wrote down; no secret is in it."""

    supervisor: Mark
    origin: str
    socket: str
    bootstrap: str = ""
    postgres_port: int = 0
    parts: dict[str, Mark] = {}
    ports: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Home:
    """Paths inside the state folder."""

    path: Path

    @property
    def lock(self) -> Path:
        """Locked (flock) while a supervisor lives."""
        return self.path / "lock"

    @property
    def state(self) -> Path:
        """The state as JSON, replaced as a whole."""
        return self.path / "state.json"

    @property
    def keys(self) -> Path:
        """A folder of keys for each service, and `pashe/tokens.key`."""
        return self.path / "keys"

    @property
    def logs(self) -> Path:
        """One log for each part, appended to."""
        return self.path / "logs"

    @property
    def kafka(self) -> Path:
        """A folder for each broker."""
        return self.path / "kafka"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data folder."""
        return self.path / "postgres"

    @property
    def passwords(self) -> Path:
        """Passwords of the database roles as JSON, 0600."""
        return self.path / "passwords.json"

    @property
    def kafka_passwords(self) -> Path:
        """Passwords of Kafka's users as JSON, 0600."""
        return self.path / "kafka-passwords.json"

    @property
    def issuers(self) -> Path:
        """Whose sign-ins and tokens count (TOML)."""
        return self.path / "issuers.toml"

    @property
    def profile(self) -> Path:
        """The profile whose directory was loaded."""
        return self.path / "profile"

    def log(self, name: str) -> Path:
        """Return the log of a part."""
        return self.logs / f"{name}.log"


def find_home(env: Mapping[str, str] | None = None) -> Home:
    """Return the state folder: PASHE_HOME, else `.pashe` of the checkout, else of this folder."""
    source = os.environ if env is None else env
    if given := source.get("PASHE_HOME"):
        return Home(Path(given).expanduser().absolute())
    base = ROOT if (ROOT / "pyproject.toml").is_file() else Path.cwd()
    return Home(base / ".pashe")


def make_home(home: Home) -> None:
    """Make the folder and its logs folder if they are missing, closed to others.

    Raises:
        StackError: it cannot be made or written.

    """
    try:
        if not home.path.exists():
            home.path.mkdir(mode=0o700, parents=True)
        home.logs.mkdir(mode=0o700, exist_ok=True)
        if not os.access(home.path, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        message = f"the state folder {home.path} cannot be used: {error.strerror}"
        raise StackError(message) from error


def take_lock(home: Home) -> int | None:
    """Lock the folder for this process's life; None if another supervisor holds it."""
    handle = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def write_private(path: Path, content: bytes) -> None:
    """Replace a file as a whole, mode 0600, on disk before this returns.

    Written as root it is handed to whom the folder belongs to: a container's key to its user.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    descriptor = os.open(draft, flags, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def find_state(home: Home) -> State | None:
    """Return what the last supervisor wrote, or None; it may have died since."""
    try:
        return msgspec.json.decode(home.state.read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return None


def save_state(home: Home, state: State) -> None:
    """Write the state down."""
    write_private(home.state, msgspec.json.encode(state))


def load_passwords(home: Home) -> dict[str, str]:
    """Return the database passwords by role.

    Raises:
        StackError: the file is missing or unreadable.

    """
    try:
        return msgspec.json.decode(home.passwords.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError) as error:
        message = f"{home.passwords} cannot be read: is the stack's state folder whole?"
        raise StackError(message) from error


def load_token_seed(home: Home) -> bytes:
    """Return the 32-byte Ed25519 seed that signs bearer tokens.

    Raises:
        StackError: there is none yet.

    """
    try:
        return bytes.fromhex((home.keys / "pashe" / "tokens.key").read_text("ascii"))
    except (OSError, ValueError) as error:
        message = f"there are no keys in {home.path} yet: start the stack first (pashe up)"
        raise StackError(message) from error


def erase_home(home: Home) -> None:
    """Remove everything a stack keeps but the lock; the caller holds it."""
    for entry in home.path.iterdir():
        if entry == home.lock:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    make_home(home)
