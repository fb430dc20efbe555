"""Photos and voice notes on a database of their own: kept, opened, counted, closed, erased."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from services.intake.media.copies import Copies
from services.intake.media.keeping import Keeping, Kept, TooManyAttachments, VideoNotTaken
from services.intake.media.opening import Opening, TooManyOpened
from services.intake.media.rules import rules_on
from services.intake.reporters.service import Reporters
from services.intake.reporters.store import find_submission
from services.intake.vault import Subject, VaultError
from shared.access import Caller
from shared.errors import Conflict, Forbidden, NotFound, TooLarge
from shared.vocabulary import Role
from tests.integration.test_erasure import erase
from tests.support.canary import Searcher
from tests.support.pictures import HEIC, OGG, mp4, picture
from tests.support.room import COORDINATOR, SUPERVISOR, Room, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

SAID = "Qvxjpicture"


@pytest.fixture
async def room(postgres_admin_dsn: str) -> AsyncIterator[Room]:
    async with open_room(postgres_admin_dsn) as room:
        yield room


class Album:
    """A case of the room, and what is done with its attachments."""

    def __init__(self, room: Room, case_id: UUID) -> None:
        reporters = Reporters(room.vault, room.outbox)
        self.room, self.case_id = room, case_id
        self.keeping = Keeping(room.vault, reporters)
        self.opening = Opening(room.vault, room.outbox, reporters)

    async def keep(self, raw: bytes) -> Kept:
        (row,) = await self.room.rows(
            "SELECT submission_id FROM cases WHERE case_id = :c", c=self.case_id
        )
        async with self.room.engine.begin() as conn:
            report = await find_submission(conn, row.submission_id, lock=True)
            assert report is not None
            return await self.keeping.keep(conn, report, raw, self.room.now)

    async def open(self, one: Kept, who: Caller = SUPERVISOR, *, clear: bool = False) -> bytes:
        async with self.room.engine.begin() as conn:
            found = await self.opening.open(
                conn, one.attachment_id, "safety", who, self.room.now, clear=clear
            )
        return (await Copies().of(found, rules_on(self.room.now)))[0]

    async def original(self, one: Kept, who: Caller) -> bytes | None:
        async with self.room.engine.begin() as conn:
            found = await self.opening.original(
                conn, one.attachment_id, "court", who, self.room.now
            )
        return None if found is None else found.raw

    async def flag(self, one: Kept, who: Caller = COORDINATOR) -> None:
        async with self.room.engine.begin() as conn:
            await self.opening.flag(conn, one.attachment_id, who, self.room.now)

    async def listed(self, who: Caller = COORDINATOR) -> list[dict[str, Any]]:
        async with self.room.engine.connect() as conn:
            return await self.opening.list(conn, self.case_id, who, self.room.now)

    async def tasks(self) -> set[tuple[str, str]]:
        rows = await self.room.rows("SELECT kind, level FROM tasks WHERE state <> 'done'")
        return {(row.kind, row.level) for row in rows}


@pytest.fixture
async def album(room: Room) -> Album:
    persons = [{"ref": "a", "age": {"min": 16, "max": 16}, "sex": "female"}]
    (case_id,) = await room.report(persons=persons, places=[{"pcode": "BD30260038", "role": "now"}])
    return Album(room, case_id)


async def test_a_file_is_kept_once_sealed_and_comes_before_a_person(album: Album) -> None:
    raw = picture(said=SAID, size=(1500, 1000))
    kept = await album.keep(raw)
    assert (kept.kind, kept.sha256) == ("image", hashlib.sha256(raw).hexdigest())
    again = await album.keep(raw)
    assert again == replace(kept, new=False)
    odd = [await album.keep(each) for each in (HEIC, OGG, mp4(b"mp42"), b"amake bachao")]
    assert [one.kind for one in odd] == ["image", "audio", "unknown", "unknown"]
    shown = {one["sha256"]: one["can_be_shown"] for one in await album.listed()}
    assert [shown[one.sha256] for one in (kept, *odd)] == [True, False, True, False, False]
    assert ("new_attachment", "coordinator") in await album.tasks()
    event = (await album.room.events(album.case_id))[1]
    assert event["type"].endswith("contact-recorded")
    assert event["data"]["step"]["sha256"] == kept.sha256
    parts = await album.room.rows("SELECT ciphertext FROM attachment_parts")
    sealed = b"".join(bytes(row.ciphertext) for row in parts)
    assert Searcher([SAID]).search(sealed, "the database") == []
    assert raw[:40] not in sealed


async def test_a_film_too_many_and_too_large_are_refused_and_nothing_else(album: Album) -> None:
    rules = rules_on(album.room.now)
    with pytest.raises(VideoNotTaken):
        await album.keep(mp4(b"isom", b"vide", b"soun"))
    with pytest.raises(TooLarge):
        await album.keep(bytes(rules.max_bytes + 1))
    for n in range(rules.max_of_report):
        assert (await album.keep(OGG + bytes([n]))).new
    with pytest.raises(TooManyAttachments):
        await album.keep(OGG + b"more")
    assert not (await album.keep(OGG + b"\0")).new


async def test_it_opens_blurred_to_one_role_with_an_event_and_so_often(album: Album) -> None:
    room, rules = album.room, rules_on(album.room.now)
    kept, voice = await album.keep(picture(said=SAID)), await album.keep(OGG)
    with pytest.raises(Forbidden):
        await album.open(kept, COORDINATOR)
    assert await album.open(voice, COORDINATOR) == OGG
    elsewhere = Caller("s2", Role.SUPERVISOR, places=("BD2013",))
    for act in (album.open, album.original, album.flag):
        with pytest.raises(NotFound):
            await act(kept, elsewhere)
    with pytest.raises(NotFound):
        await album.listed(elsewhere)
    blurred, clear = await album.open(kept), await album.open(kept, clear=True)
    assert len(blurred) != len(clear)
    assert Searcher([SAID]).search(blurred + clear, "the copies") == []
    read = [e["data"]["read"] for e in await room.events(album.case_id) if e["data"]["read"]]
    assert [(r["fields"], r["reason"], r["shown"]) for r in read] == [
        (["attachment"], "safety", shown) for shown in ("sound", "blurred", "clear")
    ]
    for _ in range(rules.clear_per_day - 1):
        await album.open(kept, clear=True)
    with pytest.raises(TooManyOpened):
        await album.open(kept, clear=True)
    await album.open(kept)  # the other copy has a count of its own
    await album.open(kept, Caller("s3", Role.SUPERVISOR), clear=True)
    room.now += timedelta(days=1)
    await album.open(kept, clear=True)


async def test_the_original_takes_two_persons_and_a_supervisor(album: Album) -> None:
    raw = picture(said=SAID)
    kept = await album.keep(raw)
    other = Caller("c2", Role.COORDINATOR)
    assert await album.original(kept, COORDINATOR) is None
    assert ("original_asked", "supervisor") in await album.tasks()
    assert await album.original(kept, Caller("c1", Role.SUPERVISOR)) is None  # the same person
    assert await album.original(kept, other) == raw  # c1 asked as a supervisor
    assert await album.original(kept, COORDINATOR) is None
    assert await album.original(kept, other) is None  # two coordinators
    assert await album.original(kept, SUPERVISOR) == raw


async def test_what_was_flagged_nobody_opens_and_a_supervisor_decides(album: Album) -> None:
    raw = picture()
    kept = await album.keep(raw)
    await album.flag(kept)
    await album.flag(kept)
    assert ("flagged_attachment", "supervisor") in await album.tasks()
    for clear in (False, True):
        with pytest.raises(Conflict):
            await album.open(kept, clear=clear)
    assert [one["state"] for one in await album.listed()] == ["flagged"]
    assert await album.original(kept, COORDINATOR) is None
    assert await album.original(kept, SUPERVISOR) == raw  # the police look at it, not we


async def test_a_picture_that_no_decoder_takes_is_said_and_nothing_breaks(album: Album) -> None:
    kept = await album.keep(picture()[:200])
    with pytest.raises(Conflict):
        await album.open(kept)
    assert await album.original(kept, COORDINATOR) is None
    assert await album.original(kept, SUPERVISOR) == picture()[:200]


async def test_after_an_erasure_no_copy_opens(album: Album) -> None:
    room = album.room
    kept = await album.keep(picture(said=SAID))
    rows = await room.rows("SELECT ciphertext FROM attachment_parts ORDER BY nth")
    copied = [bytes(row.ciphertext) for row in rows]
    (subject,) = await room.rows("SELECT subject_id FROM attachments")
    await erase(room, album.case_id)
    assert await room.rows("SELECT 1 FROM attachment_parts") == []
    (row,) = await room.rows("SELECT * FROM attachments")
    assert row.state == "erased"
    assert bytes(row.sha256).hex() != kept.sha256
    (left,) = await room.rows(
        "SELECT subject_id, case_id, kind, ref, wrapped_key, commitment, kek FROM subjects"
        " WHERE subject_id = :s",
        s=subject.subject_id,
    )
    assert left.wrapped_key is None
    gone = msgspec.structs.replace(Subject(*left), wrapped_key=b"", commitment=b"")
    with pytest.raises(VaultError):
        room.vault.open_parts(gone, f"attachment:{kept.attachment_id}", copied)
    with pytest.raises(Conflict):
        await album.open(kept)
    with pytest.raises(Conflict):
        await album.original(kept, SUPERVISOR)
    with pytest.raises(Conflict):
        await album.keep(OGG)
