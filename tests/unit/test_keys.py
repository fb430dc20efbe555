"""Key-encryption keys: where they are kept, which one wraps, and what happens when one is gone."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pyrage
import pytest
from msgspec.structs import replace

from services.intake.keys.providers import (
    AgeKeys,
    EnvironmentKeys,
    FileKeys,
    KeyProvider,
    new_key,
    provider_from,
)
from services.intake.keys.ring import FRESH, STALE, Ring, fingerprint_of
from services.intake.keys.rotation import GRACE
from services.intake.vault import Vault, VaultError
from shared.errors import SettingsError, Unavailable

OLD, NEW = os.urandom(32), os.urandom(32)


def in_file(folder: Path) -> KeyProvider:
    (folder / "kek.key").write_text(OLD.hex())
    return provider_from(folder, {})


def officer(folder: Path, name: str) -> pyrage.x25519.Identity:
    identity = pyrage.x25519.Identity.generate()
    (folder / f"{name}.txt").write_text(f"# {name}\n{identity}\n")
    return identity


def sealed(folder: Path, identity: str = "first") -> AgeKeys:
    people = [officer(folder, name) for name in ("first", "second")]
    lines = "\n".join(str(person.to_public()) for person in people)
    (folder / "recipients.txt").write_text(f"# two officers\n{lines}\n")
    environment = {"INTAKE_KEYS": "age", "INTAKE_AGE_IDENTITY": str(folder / f"{identity}.txt")}
    provider = provider_from(folder, environment)
    assert isinstance(provider, AgeKeys)
    provider.keep([OLD])
    return provider


@pytest.mark.parametrize("make", [in_file, sealed])
def test_a_key_is_added_and_an_old_one_destroyed(make: object, tmp_path: Path) -> None:
    provider: KeyProvider = make(tmp_path)  # type: ignore[operator]
    assert list(provider.load()) == [OLD]
    provider.add(NEW)
    assert list(provider.load()) == [OLD, NEW]
    provider.destroy({fingerprint_of(OLD), fingerprint_of(NEW)})
    assert list(provider.load()) == [NEW]  # the newest always stays
    kept = next(tmp_path.glob("kek.*"))
    assert kept.stat().st_mode & 0o777 == 0o600
    held = b"".join(f.read_bytes() for f in tmp_path.iterdir())
    assert OLD.hex().encode() not in held
    assert {f.name for f in tmp_path.iterdir()} <= {
        "kek.key",
        "kek.age",
        "recipients.txt",
        "first.txt",
        "second.txt",
    }


def test_each_officer_alone_opens_the_keys_and_nobody_else_does(tmp_path: Path) -> None:
    sealed(tmp_path)
    officer(tmp_path, "stranger")
    for name in ("first", "second"):
        one = AgeKeys(tmp_path / "kek.age", tmp_path / "recipients.txt", tmp_path / f"{name}.txt")
        assert list(one.load()) == [OLD]
    for name in ("stranger", "recipients", "missing"):
        other = AgeKeys(tmp_path / "kek.age", tmp_path / "recipients.txt", tmp_path / f"{name}.txt")
        with pytest.raises(SettingsError) as caught:
            other.load()
        assert OLD.hex() not in str(caught.value)


def test_keys_are_never_sealed_to_one_person_alone(tmp_path: Path) -> None:
    provider = sealed(tmp_path)
    one = str(officer(tmp_path, "third").to_public())
    for lines in ("", one, f"{one}\n{one}", "age1nothing"):
        (tmp_path / "recipients.txt").write_text(lines)
        with pytest.raises(SettingsError, match="two people"):
            provider.add(NEW)
    assert list(provider.load()) == [OLD]


def test_the_environment_holds_several_keys_and_is_changed_by_nobody_here() -> None:
    provider = provider_from(
        Path(), {"INTAKE_KEYS": "environment", "INTAKE_KEK": f"{OLD.hex()},{NEW.hex()}"}
    )
    assert list(provider.load()) == [OLD, NEW]
    assert not provider.writable
    with pytest.raises(SettingsError):
        provider.add(NEW)
    with pytest.raises(SettingsError):
        provider.destroy([fingerprint_of(OLD)])


@pytest.mark.parametrize("kept", ["", "zz", "00" * 31, f"{'00' * 32} 11"])
def test_what_is_no_key_is_refused_without_an_echo(kept: str, tmp_path: Path) -> None:
    (tmp_path / "kek.key").write_text(kept)
    for provider in (FileKeys(tmp_path / "kek.key"), EnvironmentKeys(kept)):
        with pytest.raises(SettingsError) as caught:
            provider.load()
        assert not kept or kept not in str(caught.value)
    with pytest.raises(SettingsError):
        provider_from(tmp_path, {"INTAKE_KEYS": "elsewhere"})


def test_the_newest_key_wraps_and_the_others_open() -> None:
    kept = [OLD]
    vault = Vault(Ring(lambda: list(kept)))
    subject = vault.seal(uuid4(), "person", "a", {"name": "x"})
    assert subject.kek == fingerprint_of(OLD)
    kept.append(NEW)
    vault.ring.reload()
    assert vault.seal(uuid4(), "person", "b", {}).kek == fingerprint_of(NEW)
    assert vault.open(subject, subject.fields[0]) == "x"
    anew = replace(subject, wrapped_key=vault.rewrap(subject), kek=fingerprint_of(NEW))
    kept.remove(OLD)
    vault.ring.reload()
    assert vault.open(anew, anew.fields[0]) == "x"
    with pytest.raises(VaultError, match="not here"):
        vault.open(subject, subject.fields[0])


def test_a_key_that_another_process_made_is_looked_for() -> None:
    kept = [OLD]
    mine, theirs = Vault(Ring(lambda: list(kept))), Vault(Ring(lambda: list(kept)))
    kept.append(NEW)
    theirs.ring.reload()
    subject = theirs.seal(uuid4(), "person", "a", {"name": "x"})
    assert mine.ring.newest == fingerprint_of(OLD)
    assert mine.open(subject, subject.fields[0]) == "x"
    assert mine.ring.newest == fingerprint_of(NEW)


def test_a_ring_looks_every_minute_and_wraps_no_more_when_it_could_not_for_hours() -> None:
    kept, at, looks = [OLD], [0.0], [0]

    def load() -> list[bytes]:
        looks[0] += 1
        if not kept:
            raise SettingsError("gone")
        return list(kept)

    ring = Ring(load, clock=lambda: at[0])
    assert (ring.current()[0], looks[0]) == (fingerprint_of(OLD), 1)
    kept[:] = [OLD, NEW]
    at[0] = FRESH + 1
    assert (ring.current()[0], looks[0]) == (fingerprint_of(NEW), 2)
    kept.clear()
    at[0] += STALE
    assert ring.current()[0] == fingerprint_of(NEW)
    assert ring.current()[0] == fingerprint_of(NEW)
    assert looks[0] == 3  # not at every report
    at[0] += 1
    with pytest.raises(Unavailable):
        ring.current()
    kept.append(NEW)
    at[0] += FRESH + 1
    assert ring.current()[0] == fingerprint_of(NEW)
    assert GRACE.total_seconds() > STALE + FRESH


def test_a_new_key_has_256_bits_and_is_another_each_time() -> None:
    assert len(new_key()) == 32
    assert new_key() != new_key()
