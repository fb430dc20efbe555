"""An independent check of inclusion proofs (RFC 9162 2.1.3.2) and checkpoints (C2SP notes)."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class ProofError(AssertionError):
    """A proof or signature does not hold."""


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_from(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to."""
    if not 0 <= index < size:
        raise ProofError("index outside of the tree")
    fn, sn, node = index, size - 1, leaf
    for step in path:
        if sn == 0:
            raise ProofError("the path is too long")
        if fn & 1 or fn == sn:
            node = _node(step, node)
            while fn and not fn & 1:
                fn >>= 1
                sn >>= 1
        else:
            node = _node(node, step)
        fn >>= 1
        sn >>= 1
    if sn:
        raise ProofError("the path is too short")
    return node


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Origin, size and root of a signed checkpoint."""

    origin: str
    size: int
    root: bytes


def open_checkpoint(note: str, vkey: str) -> Checkpoint:
    """Check a note's Ed25519 signature by this verifier key and return what it says."""
    name, key_id, encoded = vkey.strip().split("+", 2)
    key = base64.b64decode(encoded)
    if key[:1] != b"\x01":
        raise ProofError("not an Ed25519 verifier key")
    told = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    if told.hex() != key_id:
        raise ProofError("the key id does not fit the key")
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        if not line.startswith(f"\u2014 {name} "):
            continue
        raw = base64.b64decode(line.rsplit(" ", 1)[1])
        if raw[:4] == told:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(raw[4:], text.encode())
            origin, size, root = text.splitlines()[:3]
            return Checkpoint(origin, int(size), base64.b64decode(root))
    raise ProofError("the note is not signed by this key")
