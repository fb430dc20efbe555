"""The vault opens only what belongs together."""

from __future__ import annotations

import os
from uuid import uuid4

import pytest
from msgspec.structs import replace

from services.intake.vault import Vault, VaultError

CASE = uuid4()


def test_a_sealed_field_opens_to_what_was_sealed() -> None:
    vault = Vault(os.urandom(32))
    subject = vault.seal(CASE, "person", "a", {"name": "রিনা (invented)", "phone": "01700000000"})
    opened = {field.name: vault.open(subject, field) for field in subject.fields}
    assert opened == {"name": "রিনা (invented)", "phone": "01700000000"}


def test_no_plaintext_is_in_what_is_stored() -> None:
    subject = Vault(os.urandom(32)).seal(CASE, "reporter", None, {"narrative": "canary words"})
    assert b"canary" not in b"".join(field.ciphertext for field in subject.fields)


def test_a_field_moved_to_another_name_version_subject_or_case_does_not_open() -> None:
    vault = Vault(os.urandom(32))
    subject = vault.seal(CASE, "person", "a", {"name": "x", "phone": "y"})
    other = vault.seal(CASE, "person", "b", {"name": "z"})
    name = subject.fields[0]
    wrong = [
        (subject, replace(name, name="phone")),
        (subject, replace(name, version=2)),
        (other, name),
        (replace(subject, case_id=uuid4()), name),
        (subject, replace(name, ciphertext=bytes([name.ciphertext[0] ^ 1]) + name.ciphertext[1:])),
    ]
    for holder, field in wrong:
        with pytest.raises(VaultError):
            vault.open(holder, field)


def test_another_key_encryption_key_opens_nothing() -> None:
    subject = Vault(os.urandom(32)).seal(CASE, "person", None, {"name": "x"})
    with pytest.raises(VaultError):
        Vault(os.urandom(32)).open(subject, subject.fields[0])


def test_a_destroyed_subject_key_opens_nothing() -> None:
    vault = Vault(os.urandom(32))
    subject = vault.seal(CASE, "person", None, {"name": "x"})
    with pytest.raises(VaultError):
        vault.open(replace(subject, wrapped_key=b""), subject.fields[0])


def test_a_data_key_that_is_not_the_committed_one_is_refused() -> None:
    vault = Vault(os.urandom(32))
    subject = vault.seal(CASE, "person", None, {"name": "x"})
    with pytest.raises(VaultError, match="committed"):
        vault.open(replace(subject, commitment=bytes(16)), subject.fields[0])
