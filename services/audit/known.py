"""Hashes of one log's tree that were read once and are kept: a perfect subtree's never changes.

They are kept by full tiles, as C2SP cuts the tree: 256 hashes beside one another and all above
them, but for the one on top, which belongs to the next tile. What stands in no full tile yet is
kept alone. Only proofs read from here: they lead to the signed root or to nothing, so that a hash
that was changed in the database since deceives nobody. Whoever checks the log reads the database.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from services.audit import merkle
from services.audit.merkle import HASH_SIZE
from services.audit.nodes import LogDamaged, read_nodes
from services.audit.tiles import HEIGHT, WIDTH, tile_of
from shared.lean import fetch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.audit.merkle import Place

T = TypeVar("T")

TILES: Final = 1024
"""Full tiles that are kept, 16 KiB each; 391 are the bottom of a log of 100,000 entries."""

ALONE: Final = 4096
"""Other hashes that are kept."""

ONCE: Final = 16384
"""Tiles at the bottom of which it is remembered that they were asked for."""

_HASHES: Final = 2 * WIDTH - 2
"""Hashes of a full tile."""

_ROWS: Final = """
SELECT {lowest} string_agg(hashes, ''::bytea) AS hashes FROM (
  SELECT (
    SELECT string_agg(hash, ''::bytea) FROM (
      SELECT hash FROM nodes WHERE level = $2::integer + up
        AND idx >= $1::bigint * 256 >> up AND idx < ($1::bigint + 1) * 256 >> up ORDER BY idx
    ) beside
  ) AS hashes FROM generate_series({first}, 7) AS up
) above
"""
_TILE: Final = _ROWS.format(lowest="", first=0)
_BOTTOM: Final = _ROWS.format(
    lowest="""(
    SELECT string_agg(sha256('\\x00'::bytea || commitment), ''::bytea) FROM (
      SELECT commitment FROM leaves
      WHERE idx >= $1::bigint * 256 AND idx < ($1::bigint + 1) * 256 ORDER BY idx
    ) leaves
  ) ||""",
    first=1,
)
"""All hashes of a tile in one row, level by level: each row of its own would cost as much again."""


class Known:
    """What one process keeps of one log; what was not asked for longest is let go.

    A tile at the bottom is kept from the second time on that something of it is asked for: of a
    large log few are, and reading a proof's eight hashes of it takes half as long as all of them.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Take the engine of a role that may read the tree."""
        self._engine = engine
        self._tiles: _Kept[bytes] = _Kept(TILES)
        self._alone: _Kept[bytes] = _Kept(ALONE)
        self._once: _Kept[bool] = _Kept(ONCE)
        self._cut_off: _Kept[bytes] = _Kept(ALONE)  # by size and level

    async def read(self, places: Sequence[Place], size: int) -> list[bytes]:
        """Return the hashes of subtrees of the tree at a size that it has, or had, as asked for.

        The last of its level need not be perfect: it ends where the tree does.

        Raises:
            LogDamaged: one is missing.

        """
        found = {place: self._find(place, size) for place in places}
        missing = [place for place, hashed in found.items() if hashed is None]
        if missing:
            covers = {place: merkle.cover(merkle.span_of(place, size)) for place in missing}
            read = await self._read({part for cover in covers.values() for part in cover}, size)
            for (level, index), cover in covers.items():
                joined = merkle.join([read[part] for part in cover])
                found[level, index] = joined
                if (index + 1) << level > size:
                    self._cut_off.keep((size, level), joined)
        return cast("list[bytes]", [found[place] for place in places])

    def _find(self, place: Place, size: int) -> bytes | None:
        """Return what is kept of a subtree, None if nothing is."""
        level, index = place
        if (index + 1) << level > size:
            return self._cut_off.find((size, level))
        tile = tile_of(place)
        hashes = self._tiles.find(tile)
        return self._alone.find(place) if hashes is None else _cut(hashes, tile, place)

    async def _read(self, places: Iterable[Place], size: int) -> dict[Place, bytes]:
        """Return the hashes of perfect subtrees; read what is not kept, all at once."""
        found: dict[Place, bytes] = {}
        apart: list[Place] = []
        unread: dict[Place, list[Place]] = {}
        for place in places:
            tile = tile_of(place)
            hashed = self._find(place, size)
            if hashed is not None:
                found[place] = hashed
            elif (tile[1] + 1) * WIDTH > size >> tile[0] * HEIGHT:  # not full yet
                apart.append(place)
            else:
                unread.setdefault(tile, []).append(place)
        if unread or apart:
            async with self._engine.connect() as conn:
                found |= await self._load(conn, unread, apart)
        return found

    async def _load(
        self, conn: AsyncConnection, unread: Mapping[Place, list[Place]], apart: Sequence[Place]
    ) -> dict[Place, bytes]:
        found: dict[Place, bytes] = {}
        passing: list[Place] = []
        for tile, wanted in unread.items():
            level, index = tile
            if not level and self._once.find(tile) is None:
                self._once.keep(tile, found=True)
                passing += wanted
                continue
            (row,) = await fetch(conn, _TILE if level else _BOTTOM, index, level * HEIGHT)
            hashes = row["hashes"] or b""
            if len(hashes) != _HASHES * HASH_SIZE:
                raise LogDamaged("hashes of the tree are missing")
            self._tiles.keep(tile, hashes)
            found |= {place: _cut(hashes, tile, place) for place in wanted}
        if passing or apart:
            found |= await read_nodes(conn, [*passing, *apart])
            for place in apart:
                self._alone.keep(place, found[place])
        return found


class _Kept(Generic[T]):
    """So many things by place; the one that was not asked for longest gives way."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[Place, T] = OrderedDict()

    def find(self, place: Place) -> T | None:
        found = self._held.get(place)
        if found is not None:
            self._held.move_to_end(place)
        return found

    def keep(self, place: Place, found: T) -> None:
        self._held[place] = found
        if len(self._held) > self._most:
            self._held.popitem(last=False)


def _cut(hashes: bytes, tile: Place, place: Place) -> bytes:
    """Return a hash of a full tile: they stand level by level, the lowest first."""
    beside = WIDTH >> place[0] - tile[0] * HEIGHT
    at = (2 * (WIDTH - beside) + place[1] % beside) * HASH_SIZE
    return hashes[at : at + HASH_SIZE]
