"""What a witness answers to add-checkpoint, and what it remembers: one file for each log."""

from __future__ import annotations

import base64
import binascii
import fcntl
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from services.audit import checkpoint, merkle
from services.audit.checkpoint import MAX_NOTE, Checkpoint, Cosigner, NoteInvalid
from services.audit.keeping import keep
from services.audit.merkle import EMPTY_ROOT, ProofInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from services.audit.checkpoint import VerifierKey

MAX_PROOF: Final = 63
"""Lines of a consistency proof."""

MAX_REQUEST: Final = MAX_NOTE + 4096
"""Bytes of a request that are read."""

SIZE_TYPE: Final = "text/x.tlog.size"
"""Type of the answer that says which size is remembered."""

_KEY: Final = "witness.key"


class WitnessBroken(Exception):  # noqa: N818  (it says what is wrong with the state)
    """What the witness remembers cannot be believed: it cosigns nothing until a person looked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of HTTP."""

    status: int
    body: str = ""
    media_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """A request: the size that the log thinks is remembered, the proof from there, the note."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes


def parse_request(raw: bytes) -> Request:
    """Read the body of add-checkpoint.

    Raises:
        NoteInvalid: it is none.

    """
    head, divider, note = raw.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    digits = first.removeprefix(b"old ")
    if not divider or first == digits or not digits.isdigit() or digits != b"%d" % int(digits[:20]):
        raise NoteInvalid("the first line is not the old size")
    if len(lines) > MAX_PROOF:
        raise NoteInvalid("the proof has too many lines")
    try:
        proof = tuple(base64.b64decode(line, validate=True) for line in lines)
    except binascii.Error:
        raise NoteInvalid("the proof is not base64") from None
    if any(len(step) != merkle.HASH_SIZE for step in proof):
        raise NoteInvalid("the proof does not consist of hashes")
    return Request(int(digits), proof, note)


def name_of(origin: str) -> str:
    """Return the name under which a log's checkpoint is shown: SHA-256 of its origin in hex."""
    return sha256(origin.encode()).hexdigest()


class Witness:
    """Cosigns checkpoints of known logs that only grow. Safe in several threads and processes."""

    def __init__(self, signer: Cosigner, logs: Iterable[VerifierKey], folder: Path) -> None:
        """Take its key, the logs that it knows, and the folder for what it remembers."""
        self.vkey = signer.vkey
        self._signer = signer
        self._folder = folder
        self._logs: dict[str, list[VerifierKey]] = {}
        for key in logs:
            self._logs.setdefault(key.name, []).append(key)

    def add(self, raw: bytes, seconds: int) -> Answer:
        """Answer a request that came at this POSIX time.

        Once it has cosigned, the checkpoint is on disk: whatever happens, nothing smaller or other
        is cosigned any more.

        Raises:
            WitnessBroken: what is remembered of this log cannot be believed.
            OSError: the folder cannot be read or written; nothing was cosigned.

        """
        try:
            asked = parse_request(raw)
            told = checkpoint.parse_checkpoint(checkpoint.parse_note(asked.note).text)
        except NoteInvalid as error:
            return Answer(HTTPStatus.BAD_REQUEST, f"{error}\n")
        if told.origin not in self._logs:
            return Answer(HTTPStatus.NOT_FOUND, "the log is not known here\n")
        try:
            checkpoint.verify_note(asked.note, self._logs[told.origin])
        except NoteInvalid as error:
            return Answer(HTTPStatus.FORBIDDEN, f"{error}\n")
        if asked.old > told.size:
            return Answer(HTTPStatus.BAD_REQUEST, "the old size is larger than the checkpoint\n")
        with self._locked():
            return self._advance(asked, told, seconds)

    def _advance(self, asked: Request, told: Checkpoint, seconds: int) -> Answer:
        known = self._known(told.origin)
        if asked.old != known.size:
            return Answer(HTTPStatus.CONFLICT, f"{known.size}\n", SIZE_TYPE)
        try:
            merkle.check_consistency(known.size, told.size, known.root, told.root, asked.proof)
        except ProofInvalid as error:
            return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, f"{error}\n")
        line = self._signer.cosign(told.text, seconds)
        keep(self._path(told.origin), f"{told.text}\n{line}".encode())
        return Answer(HTTPStatus.OK, line)

    def find(self, name: str) -> bytes | None:
        """Return the last cosigned checkpoint of the log with this `name_of`, or None."""
        for origin in self._logs:
            path = self._path(origin)
            if name_of(origin) == name and path.exists():
                return path.read_bytes()
        return None

    # --- what is remembered ----------------------------------------------------------------------

    def _path(self, origin: str) -> Path:
        return self._folder / f"{name_of(origin)}.checkpoint"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _known(self, origin: str) -> Checkpoint:
        try:
            raw = self._path(origin).read_bytes()
        except FileNotFoundError:
            return Checkpoint(origin, 0, EMPTY_ROOT)
        try:
            note, _ = checkpoint.verify_note(raw, [self.vkey])
            found = checkpoint.parse_checkpoint(note.text)
        except NoteInvalid:
            found = None
        if found is None or found.origin != origin:
            message = f"{self._path(origin).name} is no checkpoint that this witness cosigned"
            raise WitnessBroken(message)
        return found


def open_witness(folder: Path, name: str, logs: Iterable[VerifierKey]) -> Witness:
    """Make a witness on a folder; its key is made at the first start, never beside a state.

    Raises:
        WitnessBroken: the key is missing beside what was cosigned with it, or is none.
        NoteInvalid: the name cannot be used.
        OSError: the folder cannot be used.

    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / _KEY
    if not path.exists():
        if any(folder.glob("*.checkpoint")):
            message = f"{_KEY} is missing beside what was cosigned with it: put it back"
            raise WitnessBroken(message)
        keep(path, secrets.token_hex(32).encode())
    try:
        signer = Cosigner(name, bytes.fromhex(path.read_text("ascii")))
    except ValueError:
        message = f"{_KEY} does not hold a key"
        raise WitnessBroken(message) from None
    return Witness(signer, logs, folder)
