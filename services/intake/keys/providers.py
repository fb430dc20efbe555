"""Where key-encryption keys are kept: a file, the environment, or a file sealed to officers' keys.

`INTAKE_KEYS` chooses: `file` (the default), `environment`, `age`. A key management service is one
more class with these three methods.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import pyrage

from services.intake.keys.ring import fingerprint_of
from shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

SIZE: Final = 32
"""Bytes of a key-encryption key; it is kept as 64 hex characters, one key a line, oldest first."""


class KeyProvider(Protocol):
    """Keeps keys. `writable`: this process may make and destroy them; else the office does."""

    writable: bool

    def load(self) -> Sequence[bytes]:
        """Return all keys, the oldest first.

        Raises:
            SettingsError: they are missing or no keys; the message names the place, never a key.

        """
        ...

    def add(self, key: bytes) -> None:
        """Keep one more key, which is the newest from now on."""
        ...

    def destroy(self, fingerprints: Collection[bytes]) -> None:
        """Destroy keys; the newest is never among them."""
        ...


def new_key() -> bytes:
    """Return a fresh key-encryption key."""
    return secrets.token_bytes(SIZE)


def parse_keys(kept: str, place: str) -> list[bytes]:
    """Read keys of 64 hex characters, divided by white space or commas.

    Raises:
        SettingsError: there is none, or one is something else.

    """
    try:
        keys = [bytes.fromhex(word) for word in kept.replace(",", " ").split()]
    except ValueError:
        keys = []
    if not keys or any(len(key) != SIZE for key in keys):
        message = f"{place} is missing or does not hold keys of 64 hex characters"
        raise SettingsError(message)
    return keys


def _write(path: Path, content: bytes) -> None:
    """Put a file in the place of another at once, for its owner's eyes only, and overwrite that."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as new:
        new.write(content)
        new.flush()
        os.fsync(new.fileno())
    Path(new.name).chmod(0o600)
    old = path.open("r+b") if path.exists() else None
    Path(new.name).replace(path)
    if old is not None:  # its bytes have no name any more; on a journal or flash they may linger
        with old:
            old.write(secrets.token_bytes(os.fstat(old.fileno()).st_size))
            old.flush()
            os.fsync(old.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@dataclass(slots=True)
class FileKeys:
    """Keys in a file beside the service's other keys; one machine, the embedded default."""

    path: Path
    writable: bool = True

    def load(self) -> Sequence[bytes]:
        """Read the file."""
        try:
            kept = self.path.read_text("ascii")
        except (OSError, UnicodeError):
            kept = ""
        return parse_keys(kept, f"key file {self.path.name}")

    def add(self, key: bytes) -> None:
        """Write the file anew with one more line."""
        self._keep([*self.load(), key])

    def destroy(self, fingerprints: Collection[bytes]) -> None:
        """Write the file anew without some lines."""
        self._keep(_without(self.load(), fingerprints))

    def _keep(self, keys: Sequence[bytes]) -> None:
        _write(self.path, "\n".join(key.hex() for key in keys).encode())


@dataclass(slots=True)
class EnvironmentKeys:
    """Keys in a variable, from a secret of the platform; the office adds and removes them there."""

    value: str
    name: str = "KEK"
    writable: bool = False

    def load(self) -> Sequence[bytes]:
        """Read the variable."""
        return parse_keys(self.value, f"INTAKE_{self.name}")

    def add(self, key: bytes) -> None:
        """Refuse: a process cannot change the secret it was given."""
        del key
        raise SettingsError("keys in the environment are added by whoever keeps the secret")

    def destroy(self, fingerprints: Collection[bytes]) -> None:
        """Refuse, likewise."""
        del fingerprints
        raise SettingsError("keys in the environment are removed by whoever keeps the secret")


@dataclass(slots=True)
class AgeKeys:
    """Keys in a file that is encrypted to several people's age keys: each of them alone opens it.

    Losing one person loses nothing, and a copy of the disk without an identity opens nothing.
    `recipients` holds a public key (`age1…`) a line; `identity` an `AGE-SECRET-KEY-1…`, kept on
    another disk or in memory only (age-encryption.org/v1).
    """

    path: Path
    recipients: Path
    identity: Path
    writable: bool = True

    def load(self) -> Sequence[bytes]:
        """Decrypt the file."""
        try:
            identity = pyrage.x25519.Identity.from_str(_line(self.identity, "AGE-SECRET-KEY-1"))
            kept = pyrage.decrypt(self.path.read_bytes(), [identity]).decode("ascii")
        except OSError:
            message = f"{self.path.name} cannot be read"
            raise SettingsError(message) from None
        except (pyrage.DecryptError, pyrage.IdentityError, ValueError):
            message = f"{self.path.name} is not encrypted to the identity that is here"
            raise SettingsError(message) from None
        return parse_keys(kept, self.path.name)

    def add(self, key: bytes) -> None:
        """Encrypt the file anew with one more key, to everyone."""
        self.keep([*self.load(), key])

    def destroy(self, fingerprints: Collection[bytes]) -> None:
        """Encrypt the file anew without some keys."""
        self.keep(_without(self.load(), fingerprints))

    def keep(self, keys: Sequence[bytes]) -> None:
        """Encrypt keys to every recipient.

        Raises:
            SettingsError: a recipient is none, or there are fewer than two.

        """
        try:
            lines = self.recipients.read_text("utf-8").splitlines()
            names = [line.strip() for line in lines if line.strip().startswith("age1")]
            people = [pyrage.x25519.Recipient.from_str(name) for name in names]
        except (OSError, UnicodeError, pyrage.RecipientError):
            people = []
        if len({str(person) for person in people}) < 2:  # noqa: PLR2004  (one may be lost)
            message = f"{self.recipients.name} must hold the public age keys of two people or more"
            raise SettingsError(message)
        plain = "\n".join(key.hex() for key in keys).encode()
        _write(self.path, pyrage.encrypt(plain, people))


def _line(path: Path, begin: str) -> str:
    lines = path.read_text("utf-8").splitlines()
    return next((line.strip() for line in lines if line.strip().startswith(begin)), "")


def _without(keys: Sequence[bytes], fingerprints: Collection[bytes]) -> list[bytes]:
    """Return the keys but those named; the newest always stays."""
    return [key for key in keys[:-1] if fingerprint_of(key) not in fingerprints] + [keys[-1]]


def provider_from(folder: Path, env: Mapping[str, str], name: str = "kek") -> KeyProvider:
    """Choose the provider that the environment names; the keys folder is the service's own.

    `name`: `kek` for key-encryption keys, `seal` for those that partners seal reports to.

    Raises:
        SettingsError: `INTAKE_KEYS` names none.

    """
    match env.get("INTAKE_KEYS") or "file":
        case "file":
            return FileKeys(folder / f"{name}.key")
        case "environment":
            return EnvironmentKeys(env.get(f"INTAKE_{name.upper()}", ""), name.upper())
        case "age":
            identity = env.get("INTAKE_AGE_IDENTITY") or str(folder / "identity.txt")
            return AgeKeys(folder / f"{name}.age", folder / "recipients.txt", Path(identity))
        case _:
            raise SettingsError("INTAKE_KEYS is none of file, environment, age")
