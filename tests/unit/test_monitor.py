"""The monitor names a thousand random changes exactly, and says nothing of clean logs."""

from __future__ import annotations

import base64
import random
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.audit import merkle, tiles
from services.audit.checkpoint import Checkpoint, Cosigner, NoteInvalid, NoteSigner
from services.audit.domain import commitment_of
from services.audit.flags import Flag
from services.audit.monitor import Finding, Kind, Monitor, Row, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from services.audit.tiles import Tile

SIGNER = NoteSigner("centre.example/pashe", b"s" * 32)
WITNESS = Cosigner("partner.example/w", b"w" * 32)
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  (it spares the disk)


def make_row(index: int, word: str = "event") -> Row:
    salt = sha256(f"salt {word} {index}".encode()).digest()
    value = f"{word} {index}".encode()
    return Row(index, commitment_of(salt, value), salt, value)


@dataclass
class Lab:
    """A log in memory: rows as the database has them, and what was published of them."""

    rows_held: dict[int, Row] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    note: bytes = b""
    told: State = field(default_factory=lambda: State(0))

    @classmethod
    def of(cls, rows: list[Row]) -> Lab:
        lab = cls({row.index: row for row in rows}, told=State(len(rows)))
        lab.publish()
        return lab

    def publish(self, signer: NoteSigner = SIGNER) -> None:
        entries = [self.rows_held[n].commitment for n in sorted(self.rows_held)]
        leaves = [merkle.leaf_hash(entry) for entry in entries]
        tree, made = merkle.extend(merkle.Range(), leaves)
        levels = {0: leaves} | {row.level: list(row.hashes) for row in made}
        self.files = {}
        for tile in tiles.bundles_of(tree.size):
            start = tile.index * 256
            bundle = tiles.encode_bundle(entries[start : start + tile.width])
            self.files[tile.path] = bundle
        for tile in tiles.hash_tiles_of(tree.size):
            start = tile.index * 256
            hashes = levels[(tile.level or 0) * 8][start : start + tile.width]
            self.files[tile.path] = tiles.encode_hashes(hashes)
        self.note = signer.sign(Checkpoint(signer.vkey.name, tree.size, tree.root).text).encode()

    def copied(self) -> Lab:
        return Lab(dict(self.rows_held), dict(self.files), self.note, self.told)

    async def state(self) -> State:
        return self.told

    async def checkpoint(self) -> bytes:
        return self.note

    async def tile(self, tile: Tile) -> bytes:
        return self.files.get(tile.path, b"")

    async def rows(self, start: int, end: int) -> AsyncIterator[Row]:
        for index in range(start, end):
            if index in self.rows_held:
                yield self.rows_held[index]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name) / "monitor"


def flip(raw: bytes, rng: random.Random) -> bytes:
    changed = bytearray(raw)
    changed[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(changed)


# Each change returns what the monitor must say, and nothing else.


def bit_of_an_event(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    index = rng.randrange(len(lab.rows_held))
    row = lab.rows_held[index]
    lab.rows_held[index] = replace(row, value=flip(row.value or b"", rng))
    return {(Kind.EVENT, str(index))}


def bit_of_a_salt(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    index = rng.randrange(len(lab.rows_held))
    row = lab.rows_held[index]
    lab.rows_held[index] = replace(row, salt=flip(row.salt or b"", rng))
    return {(Kind.EVENT, str(index))}


def bit_of_a_commitment(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    index = rng.randrange(len(lab.rows_held))
    row = lab.rows_held[index]
    lab.rows_held[index] = replace(row, commitment=flip(row.commitment, rng))
    return {(Kind.CHANGED, str(index))}


def a_row_made_anew(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    index = rng.randrange(len(lab.rows_held))
    lab.rows_held[index] = make_row(index, "other")
    return {(Kind.CHANGED, str(index))}


def a_row_gone(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    index = rng.randrange(len(lab.rows_held) - 1)
    del lab.rows_held[index]
    return {(Kind.MISSING, str(index))}


def two_rows_swapped(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    one, two = sorted(rng.sample(range(len(lab.rows_held)), 2))
    first, second = lab.rows_held[one], lab.rows_held[two]
    lab.rows_held[one] = replace(second, index=one)
    lab.rows_held[two] = replace(first, index=two)
    return {(Kind.ORDER, f"{one} {two}")}


def the_end_cut_off(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    size = len(lab.rows_held)
    left = rng.randrange(size)
    lab.rows_held = {n: row for n, row in lab.rows_held.items() if n < left}
    return {(Kind.TRUNCATED, f"{size} to {left}")}


def bit_of_a_tile(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    path = rng.choice(sorted(lab.files))
    lab.files[path] = flip(lab.files[path], rng)
    return {(Kind.TILE, path)}


def a_tile_gone_or_short(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    path = rng.choice(sorted(lab.files))
    lab.files[path] = lab.files[path][: rng.randrange(len(lab.files[path]))]
    return {(Kind.TILE, path)}


def another_checkpoint(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    text, _, last = lab.note.decode().rpartition("\n\n")
    origin, size, root = text.split("\n")
    changed = [
        f"{origin}x\n{size}\n{root}",
        f"{origin}\n{int(size) + rng.choice((-1, 1))}\n{root}",
        f"{origin}\n{size}\n{base64.b64encode(flip(base64.b64decode(root), rng)).decode()}",
        f"{origin}\n{size}\n{root}\nmore",
    ]
    lab.note = f"{rng.choice(changed)}\n\n{last}".encode()
    return {(Kind.SIGNATURE, "")}


def no_checkpoint(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    lab.note = lab.note[: rng.randrange(len(lab.note) - 1)]
    return {(Kind.CHECKPOINT, "")}


def another_signature(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    head, _, encoded = lab.note.decode().rstrip("\n").rpartition(" ")
    raw = flip(base64.b64decode(encoded), rng)
    lab.note = f"{head} {base64.b64encode(raw).decode()}\n".encode()
    return {(Kind.SIGNATURE, "")}


def another_key(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    lab.publish(NoteSigner(SIGNER.vkey.name, rng.randbytes(32)))
    return {(Kind.SIGNATURE, "")}


def an_old_backup(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    size = len(lab.rows_held)
    old = rng.randrange(size)
    fresh = Lab.of([lab.rows_held[n] for n in range(old)])
    lab.rows_held, lab.files, lab.note, lab.told = (
        fresh.rows_held,
        fresh.files,
        fresh.note,
        fresh.told,
    )
    return {(Kind.ROLLBACK, f"{size} to {old}")}


def a_fork_with_the_stolen_key(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    size, index = len(lab.rows_held), rng.randrange(len(lab.rows_held))
    lab.rows_held[index] = make_row(index, "forged")
    for n in range(size, size + rng.randrange(5)):
        lab.rows_held[n] = make_row(n)
    lab.told = State(len(lab.rows_held))
    lab.publish()
    at = f"at {len(lab.rows_held)}, {size} known before"
    return {(Kind.FORK, at), (Kind.CHANGED, str(index))}


def a_late_checkpoint(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    lab.told = State(len(lab.rows_held) + 1 + rng.randrange(9), 31.0)
    return {(Kind.LATE, "31 s")}


def a_gap(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    lab.told = replace(lab.told, gaps=(f"cases {rng.randrange(9)}",))
    return {(Kind.GAP, lab.told.gaps[0])}


def an_event_without_signature(lab: Lab, rng: random.Random) -> set[tuple[Kind, str]]:
    index = rng.randrange(len(lab.rows_held))
    lab.rows_held[index] = replace(lab.rows_held[index], flags=int(Flag.UNSIGNED))
    return {(Kind.UNPROVEN, f"{index} unsigned")}


CHANGES: tuple[Callable[[Lab, random.Random], set[tuple[Kind, str]]], ...] = (
    bit_of_an_event,
    bit_of_a_salt,
    bit_of_a_commitment,
    a_row_made_anew,
    a_row_gone,
    two_rows_swapped,
    the_end_cut_off,
    bit_of_a_tile,
    a_tile_gone_or_short,
    another_checkpoint,
    no_checkpoint,
    another_signature,
    another_key,
    an_old_backup,
    a_fork_with_the_stolen_key,
    a_late_checkpoint,
    a_gap,
    an_event_without_signature,
)


async def test_a_thousand_random_changes_are_each_named_exactly(folder: Path) -> None:
    rng = random.Random(20261129)
    named: Counter[str] = Counter()
    for size in (1, 2, 255, 256, 257, 600):
        lab = Lab.of([make_row(n) for n in range(size)])
        where = folder / str(size)
        assert await Monitor(where, SIGNER.vkey).walk(lab) == []
        changes = [change for change in CHANGES if size > 1 or "row" not in change.__name__]
        for turn in range(167):
            change = changes[turn % len(changes)]
            changed = lab.copied()
            wanted = change(changed, rng)
            found = await Monitor(where, SIGNER.vkey).walk(changed)
            told = {(each.kind, each.where) for each in found}
            assert told == wanted, (size, turn, change.__name__)
            named[change.__name__] += 1
        assert await Monitor(where, SIGNER.vkey).walk(lab) == []
    assert sum(named.values()) >= 1000
    print(f"\n{sum(named.values())} changes named: {dict(named)}")


async def test_a_thousand_clean_runs_raise_no_alarm(folder: Path) -> None:
    """A log that grows, whose events are erased, whose checkpoint is a little behind."""
    rng = random.Random(11)
    monitor = Monitor(folder, SIGNER.vkey)
    lab = Lab.of([])
    for turn in range(1000):
        size = len(lab.rows_held)
        for n in range(size, size + rng.choice((0, 0, 1, 1, 2, 40 if turn % 50 == 0 else 0))):
            lab.rows_held[n] = make_row(n)
        lab.publish()
        lab.told = State(len(lab.rows_held) + rng.randrange(3), rng.random() * 20)
        if lab.rows_held and rng.random() < 0.1:
            index = rng.randrange(len(lab.rows_held))
            lab.rows_held[index] = replace(lab.rows_held[index], salt=None, value=None)
        assert await monitor.walk(lab) == [], turn
        if rng.random() < 0.05:
            monitor = Monitor(folder, SIGNER.vkey)  # as after a restart
    assert len(lab.rows_held) > 800


async def test_a_fork_before_the_first_look_is_seen_only_by_what_a_witness_lacks(
    folder: Path,
) -> None:
    lab = Lab.of([make_row(n, "forged") for n in range(9)])
    strict = Monitor(folder, SIGNER.vkey, [WITNESS.vkey], patience=0)
    assert await strict.walk(lab) == [Finding(Kind.WITNESS, "at 9")]
    text = lab.note.decode().partition("\n\n")[0] + "\n"
    lab.note += WITNESS.cosign(text, 1).encode()
    assert await strict.walk(lab) == []


async def test_a_copy_that_was_touched_is_not_believed(folder: Path) -> None:
    lab = Lab.of([make_row(n) for n in range(300)])
    assert await Monitor(folder, SIGNER.vkey).walk(lab) == []
    entries = folder / "entries"
    entries.write_bytes(bytes(32) + entries.read_bytes()[32:])
    kinds = {each.kind for each in await Monitor(folder, SIGNER.vkey).walk(lab)}
    assert Kind.FORK in kinds
    (folder / "checkpoint").write_bytes(NoteSigner("x", bytes(32)).sign("x\n0\n\n").encode())
    with pytest.raises(NoteInvalid):
        await Monitor(folder, SIGNER.vkey).walk(lab)
