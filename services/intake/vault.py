"""The vault: one data key for each subject of a case, so that one person can be erased alone.

AES-256-GCM with a fresh nonce; the AAD binds case, subject, field and version. A data key is
wrapped by the key-encryption key, and committed to by an HMAC, since GCM alone commits to no key.
"""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.intake.blind import NO_MARKS, Marks
from services.intake.keys.ring import Ring
from shared.clock import new_event_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Kind = Literal["reporter", "person", "alleged"]

KEY: Final = 32
"""Bytes of a data key."""

NONCE: Final = 12
"""Bytes of an AES-GCM nonce."""

PART: Final = 256 * 1024
"""Bytes of a file that are sealed together."""

_encode: Final = msgspec.json.Encoder().encode


class VaultError(Exception):
    """A ciphertext or a key is not what it should be; nothing of it was read."""


class SealedField(msgspec.Struct, frozen=True, gc=False):
    """One sealed value of a subject: nonce and ciphertext, at a version from 1."""

    name: str
    ciphertext: bytes
    version: int = 1


class Subject(msgspec.Struct, frozen=True, gc=False):
    """A subject with its wrapped data key and what is sealed under it."""

    subject_id: UUID
    case_id: UUID
    kind: Kind
    ref: str | None
    wrapped_key: bytes
    commitment: bytes
    kek: bytes
    fields: tuple[SealedField, ...] = ()
    marks: Marks = NO_MARKS


def _aad(case_id: UUID, subject_id: UUID, name: str, version: int) -> bytes:
    return _bound(case_id, subject_id) + f"{name}\x00{version}".encode()


def _bound(case_id: UUID, subject_id: UUID) -> bytes:
    return b"pashe\x00" + case_id.bytes + subject_id.bytes


def _commitment(key: bytes) -> bytes:
    return hmac.digest(key, b"pashe key commitment", "sha256")[:16]


class Vault:
    """Seals and opens fields under subjects' keys; those are wrapped by the ring's newest key."""

    def __init__(self, keys: Ring | bytes) -> None:
        """Take the ring of key-encryption keys, or one key of 32 bytes."""
        self.ring: Final = Ring(lambda: [keys]) if isinstance(keys, bytes) else keys

    def seal(
        self,
        case_id: UUID,
        kind: Kind,
        ref: str | None,
        fields: Mapping[str, object],
        marks: Marks = NO_MARKS,
    ) -> Subject:
        """Make a subject with a fresh data key and seal each field (any JSON value) under it."""
        subject_id = new_event_id()  # stays inside: rows of one time lie side by side
        drawn = os.urandom(KEY + NONCE * len(fields))  # one call of the system for all
        key = drawn[:KEY]
        box = AESGCM(key)
        bound = _bound(case_id, subject_id)
        sealed = []
        for at, (name, value) in zip(range(KEY, len(drawn), NONCE), fields.items(), strict=True):
            nonce = drawn[at : at + NONCE]
            aad = bound + f"{name}\x001".encode()
            sealed.append(SealedField(name, nonce + box.encrypt(nonce, _encode(value), aad)))
        epoch, wrapped = self._wrap(case_id, subject_id, key)
        return Subject(
            subject_id,
            case_id,
            kind,
            ref,
            wrapped,
            _commitment(key),
            epoch,
            tuple(sealed),
            marks,
        )

    def _wrap(self, case_id: UUID, subject_id: UUID, key: bytes) -> tuple[bytes, bytes]:
        epoch, box = self.ring.current()
        nonce = os.urandom(NONCE)
        return epoch, nonce + box.encrypt(nonce, key, _aad(case_id, subject_id, "key", 0))

    def rewrap(self, subject: Subject) -> bytes:
        """Return the subject's data key wrapped under the newest key; what it sealed stays.

        Raises:
            VaultError: the subject's key was erased or is another.

        """
        return self._wrap(subject.case_id, subject.subject_id, self._key_of(subject))[1]

    def seal_more(
        self, subject: Subject, name: str, value: object, version: int = 1
    ) -> SealedField:
        """Seal one more field of a subject that is there already.

        Raises:
            VaultError: the subject's key was erased or is another.

        """
        nonce = os.urandom(NONCE)
        aad = _aad(subject.case_id, subject.subject_id, name, version)
        box = AESGCM(self._key_of(subject))
        return SealedField(name, nonce + box.encrypt(nonce, _encode(value), aad), version)

    def open(self, subject: Subject, sealed: SealedField) -> object:
        """Open one field.

        Raises:
            VaultError: the key was erased or is another, or the ciphertext was moved or changed.

        """
        key = self._key_of(subject)
        data = sealed.ciphertext
        aad = _aad(subject.case_id, subject.subject_id, sealed.name, sealed.version)
        try:
            return msgspec.json.decode(AESGCM(key).decrypt(data[:NONCE], data[NONCE:], aad))
        except InvalidTag:
            message = "the ciphertext does not belong here"
            raise VaultError(message) from None

    def seal_parts(self, subject: Subject, name: str, raw: bytes) -> list[bytes]:
        """Seal bytes under a subject's key in parts of `PART`; each knows its place, the last too.

        Raises:
            VaultError: the subject's key was erased or is another.

        """
        box = AESGCM(self._key_of(subject))
        parts = [raw[at : at + PART] for at in range(0, len(raw), PART)] or [b""]
        of = f"{name}:{len(parts)}"
        sealed = []
        for nth, part in enumerate(parts, start=1):
            nonce = os.urandom(NONCE)
            aad = _aad(subject.case_id, subject.subject_id, of, nth)
            sealed.append(nonce + box.encrypt(nonce, part, aad))
        return sealed

    def open_parts(self, subject: Subject, name: str, parts: Sequence[bytes]) -> bytes:
        """Open what `seal_parts` made, given whole and in order.

        Raises:
            VaultError: the key was erased or is another, or a part is missing, moved or changed.

        """
        box = AESGCM(self._key_of(subject))
        if not parts:
            message = "every part is missing"
            raise VaultError(message)
        of = f"{name}:{len(parts)}"
        raw = bytearray()
        for nth, part in enumerate(parts, start=1):
            aad = _aad(subject.case_id, subject.subject_id, of, nth)
            try:
                raw += box.decrypt(part[:NONCE], part[NONCE:], aad)
            except InvalidTag:
                message = "a part does not belong here"
                raise VaultError(message) from None
        return bytes(raw)

    def _key_of(self, subject: Subject) -> bytes:
        if not subject.wrapped_key:
            message = "the subject's key was destroyed"
            raise VaultError(message)
        wrapped = subject.wrapped_key
        aad = _aad(subject.case_id, subject.subject_id, "key", 0)
        box = self.ring.find(subject.kek)
        if box is None:
            message = "the key that wraps it is not here"
            raise VaultError(message)
        try:
            key = box.decrypt(wrapped[:NONCE], wrapped[NONCE:], aad)
        except InvalidTag:
            message = "the wrapped key does not belong here"
            raise VaultError(message) from None
        if not hmac.compare_digest(_commitment(key), subject.commitment):
            message = "the data key is not the committed one"
            raise VaultError(message)
        return key
