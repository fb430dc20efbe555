"""A month's key gives way to the next one while reports come in; the old one opens nothing more."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyrage
import pytest

from services.intake.keys import rotation
from services.intake.keys.providers import AgeKeys, EnvironmentKeys, FileKeys, new_key
from services.intake.keys.ring import Ring, fingerprint_of
from services.intake.keys.rotation import EPOCH, GRACE, LOOK, Rotation, check_keys
from services.intake.vault import SealedField, Subject, Vault, VaultError
from shared.errors import SettingsError
from shared.timers import TimerLoop
from tests.support.room import AT, COORDINATOR, Room, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@dataclass(slots=True)
class Office:
    """A room whose keys are in a file, with the timer that changes them."""

    room: Room
    keys: FileKeys
    first: bytes
    names: list[str] = field(default_factory=list)

    async def turn(self) -> int:
        """Fire what is due now, until nothing is."""
        kind = Rotation(self.room.vault, self.keys, self.room.clock).timer()
        loop = TimerLoop(self.room.engine, [kind], clock=self.room.clock)
        fired = 0
        while done := await loop.round():
            fired += done
        return fired

    async def report(self) -> None:
        name = f"Canary {len(self.names)}"
        self.names.append(name)
        await self.room.report(persons=[{"ref": "a", "name": name}], narrative="words")

    async def opened(self) -> list[str]:
        """Return the name of every person, as the desk reads them."""
        found = []
        for row in await self.room.rows("SELECT case_id FROM cases ORDER BY seq"):
            async with self.room.engine.begin() as conn:
                told = await self.room.disclosures.read_persons(
                    conn, row.case_id, "review", [], COORDINATOR, self.room.now
                )
            found += [person["name"] for person in told["persons"]]
        return found

    async def epochs(self) -> dict[bytes, int]:
        rows = await self.room.rows("SELECT kek, count(*) AS n FROM subjects GROUP BY 1")
        return {bytes(row.kek): row.n for row in rows}


@pytest.fixture
async def office(
    postgres_admin_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Office]:
    monkeypatch.setattr(rotation, "BATCH", 3)
    first = new_key()
    (tmp_path / "kek.key").write_text(first.hex())
    keys = FileKeys(tmp_path / "kek.key")
    async with open_room(postgres_admin_dsn) as room:
        room.vault = Vault(Ring(keys.load))
        await check_keys(room.engine, room.vault, AT)
        yield Office(room, keys, first)


async def copies(room: Room) -> list[Any]:
    return await room.rows(
        "SELECT s.*, f.field, f.ciphertext, f.version FROM subjects s JOIN sealed f"
        " USING (subject_id)"
    )


async def test_after_a_month_everything_is_wrapped_anew_and_the_old_key_is_gone(
    office: Office,
) -> None:
    for _ in range(4):
        await office.report()
    before = await copies(office.room)
    office.room.now = AT + LOOK
    assert await office.turn() == 1  # too early: it only looks
    assert len(office.keys.load()) == 1
    office.room.now = AT + EPOCH
    await office.turn()
    old, new = office.keys.load()
    assert old == office.first
    assert set(await office.epochs()) == {fingerprint_of(new)}
    assert await office.opened() == office.names
    office.room.now += GRACE
    await office.turn()
    assert list(office.keys.load()) == [new]
    assert await office.opened() == office.names
    for row in before:  # a backup of the database from before, with the keys that are left
        was = Subject(
            row.subject_id,
            row.case_id,
            row.kind,
            row.ref,
            bytes(row.wrapped_key),
            bytes(row.commitment),
            bytes(row.kek),
        )
        sealed = SealedField(row.field, bytes(row.ciphertext), row.version)
        left = Vault(Ring(office.keys.load))
        with pytest.raises(VaultError):
            left.open(was, sealed)
    await check_keys(office.room.engine, Vault(Ring(office.keys.load)), office.room.now)


async def test_reports_come_in_at_every_step_and_one_behind_is_wrapped_too(
    office: Office,
) -> None:
    behind = Vault(Ring(office.keys.load))  # another process that has not looked since
    await office.report()
    office.room.now = AT + EPOCH
    kind = Rotation(office.room.vault, office.keys, office.room.clock).timer()
    loop = TimerLoop(office.room.engine, [kind], clock=office.room.clock)
    while await loop.round():
        mine, office.room.vault = office.room.vault, behind
        await office.report()
        office.room.vault = mine
        await office.report()
    assert set(await office.epochs()) == {fingerprint_of(key) for key in office.keys.load()}
    office.room.now += GRACE
    await office.turn()
    assert len(office.keys.load()) == 1
    assert list(await office.epochs()) == [fingerprint_of(office.keys.load()[0])]
    assert await office.opened() == office.names


async def test_a_crash_after_the_key_was_made_loses_nothing(office: Office) -> None:
    await office.report()
    office.room.now = AT + EPOCH
    office.keys.add(new_key())  # and the transaction of the step never committed
    await office.turn()
    assert len(office.keys.load()) == 2
    office.room.now += GRACE
    await office.turn()
    assert len(office.keys.load()) == 1
    assert await office.opened() == office.names


async def test_keys_that_the_office_changes_are_followed_and_named_for_removal(
    office: Office,
) -> None:
    await office.report()
    await office.turn()
    both = [office.first, new_key()]
    office.keys.add(both[1])
    given = EnvironmentKeys(" ".join(key.hex() for key in both))
    kind = Rotation(Vault(Ring(given.load)), given, office.room.clock).timer()
    loop = TimerLoop(office.room.engine, [kind], clock=office.room.clock)
    office.room.now = AT + LOOK
    while await loop.round():
        pass
    office.room.now += GRACE
    while await loop.round():
        pass
    assert list(await office.epochs()) == [fingerprint_of(both[1])]
    left = Vault(Ring(EnvironmentKeys(both[1].hex()).load))
    await check_keys(office.room.engine, left, office.room.now)


async def test_a_start_without_a_key_that_data_is_under_is_refused(office: Office) -> None:
    await office.report()
    with pytest.raises(SettingsError, match="put the old key back"):
        await check_keys(office.room.engine, Vault(new_key()), AT)
    more = Vault(Ring(lambda: [office.first, new_key()]))
    await check_keys(office.room.engine, more, AT)  # a key beside the old one is a new epoch
    with pytest.raises(SettingsError):  # which must then be there too
        await check_keys(office.room.engine, Vault(office.first), AT)


async def test_the_drill_one_officer_and_the_machine_are_lost_and_nothing_else(
    office: Office, tmp_path: Path
) -> None:
    people = {name: pyrage.x25519.Identity.generate() for name in ("first", "second")}
    for name, identity in people.items():
        (tmp_path / f"{name}.txt").write_text(str(identity))
    lines = "\n".join(str(identity.to_public()) for identity in people.values())
    (tmp_path / "recipients.txt").write_text(lines)
    sealed, recipients = tmp_path / "kek.age", tmp_path / "recipients.txt"
    AgeKeys(sealed, recipients, tmp_path / "first.txt").keep([office.first])
    office.room.vault = Vault(Ring(AgeKeys(sealed, recipients, tmp_path / "first.txt").load))
    await office.report()
    (tmp_path / "first.txt").unlink()
    (tmp_path / "kek.key").unlink()
    second = AgeKeys(sealed, recipients, tmp_path / "second.txt")
    office.room.vault = Vault(Ring(second.load))
    await check_keys(office.room.engine, office.room.vault, AT)
    assert await office.opened() == office.names


async def test_an_erased_subject_is_never_wrapped_again(office: Office) -> None:
    await office.report()
    async with office.room.engine.begin() as conn:
        await conn.exec_driver_sql("UPDATE subjects SET wrapped_key = NULL WHERE kind = 'person'")
    office.room.now = AT + EPOCH
    await office.turn()
    office.room.now = AT + EPOCH + timedelta(days=1)
    await office.turn()
    assert len(office.keys.load()) == 1
    (row,) = await office.room.rows("SELECT wrapped_key FROM subjects WHERE kind = 'person'")
    assert row.wrapped_key is None
