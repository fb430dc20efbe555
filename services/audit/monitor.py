"""The monitor: walks what the database holds against what is published and what it saw before.

It keeps a copy of the published log in a folder of its own, outside of the database: the entries
(32 bytes each) and the last checkpoint that it believed. With that copy it names which row was
changed, even where every hash was made to fit afterwards. Pure but for the folder: what is looked
at comes through `Seen`.
"""

from __future__ import annotations

import io
import os
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Final, Protocol

from services.audit import checkpoint, merkle, tiles
from services.audit.checkpoint import Checkpoint, NoteInvalid, open_checkpoint, parse_note
from services.audit.domain import commitment_of
from services.audit.flags import UNPROVEN, names_of
from services.audit.keeping import keep
from services.audit.merkle import EMPTY_ROOT, HASH_SIZE, Range
from services.audit.tiles import WIDTH, Tile, TileInvalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from pathlib import Path

    from services.audit.checkpoint import VerifierKey

LATE: Final = 30.0
"""Seconds that the log may be ahead of its checkpoint."""

MOST: Final = 20
"""Findings of one walk; where there are more, the first are enough to begin with."""


_PINNED, _ENTRIES = "checkpoint", "entries"


class Kind(StrEnum):
    """What can be wrong."""

    CHECKPOINT = "checkpoint-unreadable"
    SIGNATURE = "checkpoint-signature"
    WITNESS = "checkpoint-unwitnessed"
    ROLLBACK = "rollback"
    FORK = "fork"
    TRUNCATED = "truncated"
    MISSING = "row-missing"
    CHANGED = "row-changed"
    ORDER = "rows-reordered"
    EVENT = "event-changed"
    TILE = "tile-changed"
    LATE = "checkpoint-late"
    GAP = "sequence-gap"
    UNPROVEN = "event-unproven"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where: an index, the path of a tile, a size; never who."""

    kind: Kind
    where: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as the database holds it; `salt` is None once its event is erased."""

    index: int
    commitment: bytes
    salt: bytes | None
    value: bytes | None
    flags: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """What the log says of itself besides: its size, how long it waits to be signed, open gaps."""

    size: int
    unsigned_seconds: float = 0.0
    gaps: Sequence[str] = ()


class Seen(Protocol):
    """What is looked at: the published log as anybody gets it, and the rows of the database."""

    async def state(self) -> State:
        """Return what the database says of the log, after the checkpoint was read."""

    async def checkpoint(self) -> bytes:
        """Return the published checkpoint."""

    async def tile(self, tile: Tile) -> bytes:
        """Return the bytes of a published tile; none if there is no such tile."""

    def rows(self, start: int, end: int) -> AsyncIterator[Row]:
        """Give the rows with start ≤ index < end that there are, in order."""


class Monitor:
    """Compares what it sees with its copy; `walk` as often as wanted."""

    def __init__(
        self,
        folder: Path,
        key: VerifierKey,
        witnesses: Iterable[VerifierKey] = (),
        *,
        patience: float = 300.0,
    ) -> None:
        """Take the folder of the copy, the log's key, and witnesses that must have cosigned.

        `patience` is how many seconds a checkpoint may be without their cosignatures.
        """
        self._folder = folder
        self._key = key
        self._witnesses = tuple(witnesses)
        self._patience = patience
        self._cosigned_at = time.monotonic()

    async def walk(self, seen: Seen) -> list[Finding]:
        """Look at everything once; return what is wrong, and remember what is new if nothing is.

        Raises:
            NoteInvalid: the folder holds something that was not kept there by a monitor.
            OSError: the folder cannot be read or written.

        """
        note = await seen.checkpoint()
        state = await seen.state()
        told = self._open(note)
        if isinstance(told, Finding):
            return [told]
        before = self._known()
        if told.size < before.size:
            return [Finding(Kind.ROLLBACK, f"{before.size} to {told.size}")]
        walk = _Walk(seen, before, told.size)
        with self._copy() as copy:
            for tile in tiles.bundles_of(told.size):
                await walk.bundle(tile, copy.read(tile.width * HASH_SIZE))
            await walk.tiles()
            found = walk.findings(told, state)
        if not found:
            self._remember(note, before.size, walk.fresh)
        if self._cosigned(note):
            self._cosigned_at = time.monotonic()
        elif time.monotonic() - self._cosigned_at >= self._patience:
            found.append(Finding(Kind.WITNESS, f"at {told.size}"))
        if state.size > told.size and state.unsigned_seconds > LATE:
            found.append(Finding(Kind.LATE, f"{state.unsigned_seconds:.0f} s"))
        found += [Finding(Kind.GAP, gap) for gap in state.gaps]
        return found + walk.unproven

    # --- the checkpoint --------------------------------------------------------------------------

    def _open(self, note: bytes) -> Checkpoint | Finding:
        try:
            checkpoint.parse_checkpoint(parse_note(note).text)
        except NoteInvalid:
            return Finding(Kind.CHECKPOINT)
        try:
            return open_checkpoint(note, self._key)
        except NoteInvalid:
            return Finding(Kind.SIGNATURE)

    def _cosigned(self, note: bytes) -> bool:
        try:
            for key in self._witnesses:
                checkpoint.verify_note(note, [key])
        except NoteInvalid:
            return False
        return True

    # --- the copy --------------------------------------------------------------------------------

    def _known(self) -> Checkpoint:
        path = self._folder / _PINNED
        if not path.exists():
            return Checkpoint(self._key.name, 0, EMPTY_ROOT)
        return open_checkpoint(path.read_bytes(), self._key)

    def _copy(self) -> IO[bytes]:
        path = self._folder / _ENTRIES
        return path.open("rb") if path.exists() else io.BytesIO()

    def _remember(self, note: bytes, size: int, fresh: bytes) -> None:
        """Write the new entries behind the copy, then the checkpoint that covers them."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / _ENTRIES).open("ab") as file:
            file.truncate(size * HASH_SIZE)
            file.write(fresh)
            file.flush()
            os.fsync(file.fileno())
        keep(self._folder / _PINNED, note)


class _Walk:
    """One walk, bundle by bundle: only the upper levels of the tree are held in memory."""

    def __init__(self, seen: Seen, before: Checkpoint, size: int) -> None:
        self._seen = seen
        self._before = before
        self._size = size
        self._tree = Range()
        self._levels: dict[int, list[bytes]] = {}
        self._forked = before.size > 0
        self._other: dict[int, tuple[bytes, bytes]] = {}
        self._missing: list[int] = []
        self._events: list[int] = []
        self._bad_tiles: list[str] = []
        self.fresh = b""
        self.unproven: list[Finding] = []

    async def bundle(self, tile: Tile, copy: bytes) -> None:
        """Compare one bundle: what is published, what was seen before, what the database has."""
        start = tile.index * WIDTH
        known = _split(copy)[: max(self._before.size - start, 0)]
        try:
            shown = tiles.decode_bundle(await self._seen.tile(tile), tile.width)
        except TileInvalid:
            shown = []
        if len(shown) != tile.width or shown[: len(known)] != known:
            self._bad_tiles.append(tile.path)
        rows = {row.index: row async for row in self._seen.rows(start, start + tile.width)}
        entries = known + (shown[len(known) :] or _from(rows, start + len(known), tile, start))
        self.fresh += b"".join(entries[len(known) :])
        for n in range(start, start + tile.width):
            self._row(n, rows.get(n), entries[n - start] if n - start < len(entries) else b"")
        await self._leaves(tile, [merkle.leaf_hash(entry) for entry in entries])

    def _row(self, index: int, row: Row | None, entry: bytes) -> None:
        if row is None:
            self._missing.append(index)
        elif row.commitment != entry:
            self._other[index] = (row.commitment, entry)
        elif row.salt is not None and commitment_of(row.salt, row.value) != entry:
            self._events.append(index)
        elif row.flags & UNPROVEN and len(self.unproven) < MOST:
            what = " ".join(names_of(row.flags & UNPROVEN))
            self.unproven.append(Finding(Kind.UNPROVEN, f"{index} {what}"))

    async def _leaves(self, tile: Tile, leaves: list[bytes]) -> None:
        cut = self._before.size - self._tree.size
        if 0 < cut <= len(leaves):
            old, _ = merkle.extend(self._tree, leaves[:cut])
            self._forked = old.root != self._before.root
        self._tree, made = merkle.extend(self._tree, leaves)
        for row in made:
            if row.level % tiles.HEIGHT == 0:
                self._levels.setdefault(row.level, []).extend(row.hashes)
        await self._compare(Tile(0, tile.index, tile.width), leaves)

    async def tiles(self) -> None:
        """Compare the upper levels of the tree."""
        for tile in tiles.hash_tiles_of(self._size):
            if tile.level:
                level = self._levels.get(tile.level * tiles.HEIGHT, [])
                start = tile.index * WIDTH
                await self._compare(tile, level[start : start + tile.width])

    async def _compare(self, tile: Tile, hashes: list[bytes]) -> None:
        if await self._seen.tile(tile) != tiles.encode_hashes(hashes):
            self._bad_tiles.append(tile.path)

    def findings(self, told: Checkpoint, state: State) -> list[Finding]:
        """Return what is wrong with the history; a tile only where no row is."""
        found: list[Finding] = []
        if self._forked or (self._tree.size, self._tree.root) != (told.size, told.root):
            found.append(Finding(Kind.FORK, f"at {told.size}, {self._before.size} known before"))
        gone = self._missing
        if gone and gone == list(range(gone[0], self._size)):
            found.append(Finding(Kind.TRUNCATED, f"{self._size} to {gone[0]}"))
        else:
            found += [Finding(Kind.MISSING, str(n)) for n in gone]
        if not gone and state.size < self._size:
            found.append(Finding(Kind.TRUNCATED, f"{self._size} to {state.size}"))
        wanted = {entry for _, entry in self._other.values()}
        moved = [n for n, (has, _) in self._other.items() if has in wanted]
        if moved:
            found.append(Finding(Kind.ORDER, " ".join(map(str, moved[:MOST]))))
        found += [Finding(Kind.CHANGED, str(n)) for n in self._other if n not in moved]
        found += [Finding(Kind.EVENT, str(n)) for n in self._events]
        return (found or [Finding(Kind.TILE, path) for path in self._bad_tiles])[:MOST]


def _split(raw: bytes) -> list[bytes]:
    return [raw[at : at + HASH_SIZE] for at in range(0, len(raw), HASH_SIZE)]


def _from(rows: Mapping[int, Row], begin: int, tile: Tile, start: int) -> list[bytes]:
    """Return entries from the rows where nothing is published: which of both is wrong is told."""
    wanted = range(begin, start + tile.width)
    return [rows[n].commitment for n in wanted if n in rows]
