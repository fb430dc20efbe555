"""C2SP signed notes and checkpoints (signed-note, tlog-checkpoint), as pure functions.

A key is named by its name and a four-byte id that depends on its algorithm; verification asks a
table of algorithms, so that a second one (ML-DSA-44, a witness's cosignature) is one more row.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.audit.merkle import HASH_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ED25519: Final = 0x01
"""Algorithm byte of a plain Ed25519 signature over the note's text."""

COSIGNATURE: Final = 0x04
"""Algorithm byte of a witness's Ed25519 cosignature, which begins with its time (8 bytes)."""

MAX_SIGNATURES: Final = 64
"""Signature lines that are read; the specification asks for at least 16."""

MAX_NOTE: Final = 64 * 1024
"""Bytes of a note that are read."""

_DASH: Final = "\u2014 "


class NoteInvalid(Exception):  # noqa: N818  (it says what is wrong with the note)
    """A note, checkpoint or verifier key is malformed, or is not signed as it must be."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: origin, number of entries, root; and lines that may follow."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text that is signed, ending with a line feed."""
        root = base64.b64encode(self.root).decode()
        lines = (self.origin, str(self.size), root, *self.extensions)
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key in vkey form: `name+hex(id)+base64(algorithm ‖ public key)`."""

    name: str
    algorithm: int
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes that stand before each signature by this key."""
        return key_id(self.name, self.algorithm, self.public)

    def __str__(self) -> str:
        typed = base64.b64encode(bytes([self.algorithm]) + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{typed}"


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature of a note: who, by which key, and the bytes."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A signed note: its text, and its signatures as they stand, verified or not."""

    text: str
    signatures: tuple[SignatureLine, ...]


def key_id(name: str, algorithm: int, public: bytes) -> bytes:
    """Return SHA-256(name ‖ line feed ‖ algorithm ‖ public key), its first four bytes."""
    return sha256(name.encode() + b"\n" + bytes([algorithm]) + public).digest()[:4]


def check_name(name: str) -> str:
    """Return a key name or origin that may be used.

    Raises:
        NoteInvalid: it is empty, or holds a space, a control character or a plus sign.

    """
    if not name or "+" in name or not name.isprintable() or any(c.isspace() for c in name):
        raise NoteInvalid("a name must be without spaces and plus signs")
    return name


class Cosigner:
    """Cosigns checkpoints as a witness does: the text and the time at which it was seen."""

    def __init__(self, name: str, seed: bytes) -> None:
        """Take the name and the 32-byte seed of RFC 8032.

        Raises:
            NoteInvalid: the name cannot be used.

        """
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes_raw()
        self.vkey = VerifierKey(check_name(name), COSIGNATURE, public)

    def cosign(self, text: str, seconds: int) -> str:
        """Return the signature line over a checkpoint's text, seen at this POSIX time."""
        signed = self._key.sign(_cosigned(text.encode(), seconds))
        whole = base64.b64encode(self.vkey.id + seconds.to_bytes(8, "big") + signed).decode()
        return f"{_DASH}{self.vkey.name} {whole}\n"


class NoteSigner:
    """Signs notes with Ed25519 under a name."""

    def __init__(self, name: str, seed: bytes) -> None:
        """Take the name and the 32-byte seed of RFC 8032.

        Raises:
            NoteInvalid: the name cannot be used.

        """
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes_raw()
        self.vkey = VerifierKey(check_name(name), ED25519, public)

    def sign(self, text: str) -> str:
        """Return the note: the text, which ends with a line feed, and one signature line."""
        signature = self.vkey.id + self._key.sign(text.encode())
        return f"{text}\n{_DASH}{self.vkey.name} {base64.b64encode(signature).decode()}\n"


def parse_vkey(text: str) -> VerifierKey:
    """Read a verifier key; base64 may hold plus signs, so only the first two divide.

    Raises:
        NoteInvalid: it is malformed, or its id does not fit.

    """
    name, told, typed = (*text.strip().split("+", 2), "", "")[:3]
    raw = _base64(typed)
    if len(raw) < 2:  # noqa: PLR2004  (the algorithm and a key)
        raise NoteInvalid("not a verifier key")
    key = VerifierKey(check_name(name), raw[0], raw[1:])
    if told != key.id.hex():
        raise NoteInvalid("the id of the verifier key does not fit the key")
    return key


def parse_note(raw: bytes) -> Note:
    """Read a signed note without verifying it.

    Raises:
        NoteInvalid: it is not one.

    """
    try:
        whole = raw.decode()
    except UnicodeDecodeError:
        raise NoteInvalid("a note is not UTF-8") from None
    if len(raw) > MAX_NOTE or any(ord(c) < 32 and c != "\n" for c in whole):  # noqa: PLR2004
        raise NoteInvalid("a note is too long or holds control characters")
    text, divider, lines = whole.rpartition("\n\n")
    if not divider or not text or not lines.endswith("\n"):
        raise NoteInvalid("a note has no signatures")
    signatures = tuple(_signature(line) for line in lines[:-1].split("\n"))
    if len(signatures) > MAX_SIGNATURES:
        raise NoteInvalid("a note has too many signatures")
    return Note(f"{text}\n", signatures)


def _signature(line: str) -> SignatureLine:
    name, divider, encoded = line.removeprefix(_DASH).partition(" ")
    raw = _base64(encoded)
    if not line.startswith(_DASH) or not divider or len(raw) < 5:  # noqa: PLR2004  (id and more)
        raise NoteInvalid("a signature line is malformed")
    return SignatureLine(check_name(name), raw[:4], raw[4:])


def _base64(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteInvalid("not base64") from None
    if base64.b64encode(raw).decode() != text:  # spare bits that say nothing must be zero
        raise NoteInvalid("not canonical base64")
    return raw


def _ed25519(public: bytes, text: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True


def _cosigned(text: bytes, seconds: int) -> bytes:
    return b"cosignature/v1\ntime %d\n%s" % (seconds, text)


def _cosignature(public: bytes, text: bytes, signature: bytes) -> bool:
    return _ed25519(public, _cosigned(text, int.from_bytes(signature[:8], "big")), signature[8:])


ALGORITHMS: Final[Mapping[int, Callable[[bytes, bytes, bytes], bool]]] = {
    ED25519: _ed25519,
    COSIGNATURE: _cosignature,
}
"""How each algorithm says whether (public key, text, signature) hold together."""


def verify_note(raw: bytes, keys: Iterable[VerifierKey]) -> tuple[Note, list[VerifierKey]]:
    """Read a note and return it with the known keys that signed it, at least one.

    Signatures by unknown keys are passed over; a signature that bears a known name and id and does
    not hold rejects the note.

    Raises:
        NoteInvalid: the note is malformed, a known signature fails, or no known key signed it.

    """
    note = parse_note(raw)
    known = {(key.name, key.id): key for key in keys}
    found: list[VerifierKey] = []
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        check = ALGORITHMS.get(key.algorithm)
        if check is None or not check(key.public, note.text.encode(), line.signature):
            raise NoteInvalid("a signature of the note does not hold")
        if key not in found:
            found.append(key)
    if not found:
        raise NoteInvalid("no known key signed the note")
    return note, found


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint.

    Raises:
        NoteInvalid: it is not one.

    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1]:  # noqa: PLR2004  (three lines and the end of the last)
        raise NoteInvalid("a checkpoint has three lines")
    origin, size, root, *extensions = lines[:-1]
    if not origin or not (size.isascii() and size.isdigit()) or str(int(size[:20])) != size:
        raise NoteInvalid("a checkpoint has a malformed size")
    hashed = _base64(root)
    if len(hashed) != HASH_SIZE or not all(extensions):
        raise NoteInvalid("a checkpoint has a malformed root")
    return Checkpoint(origin, int(size), hashed, tuple(extensions))


def open_checkpoint(raw: bytes, key: VerifierKey) -> Checkpoint:
    """Verify a signed checkpoint by its log's key and return what it says.

    Raises:
        NoteInvalid: it is malformed, not signed by the key, or of another origin.

    """
    note, _ = verify_note(raw, [key])
    found = parse_checkpoint(note.text)
    if found.origin != key.name:
        raise NoteInvalid("the checkpoint is of another origin")
    return found
