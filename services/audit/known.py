"""Hashes of one log's tree that were read once and are kept: a perfect subtree's never changes.

They are kept by full tiles, as C2SP cuts the tree: 256 hashes beside one another and all above
them, but for the one on top, which belongs to the next tile. What stands in no full tile yet is
kept alone. Only proofs read from here: they lead to the signed root or to nothing, so that a hash
that was changed in the database since deceives nobody. Whoever checks the log reads the database.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from services.audit.merkle import HASH_SIZE
from services.audit.nodes import LogDamaged, read_nodes
from services.audit.tiles import HEIGHT, WIDTH, tile_of
from shared.lean import direct, fetch

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

    async def read(self, places: Iterable[Place], size: int) -> dict[Place, bytes]:
        """Return the hashes of perfect subtrees of the tree at a size that it has, or had.

        Raises:
            LogDamaged: one is missing.

        """
        found: dict[Place, bytes] = {}
        apart: list[Place] = []
        unread: dict[Place, list[Place]] = {}
        for tile, wanted in _by_tile(places).items():
            level, index = tile
            if (index + 1) * WIDTH > size >> level * HEIGHT:  # not full yet
                kept = {place: self._alone.find(place) for place in wanted}
                found |= {place: hashed for place, hashed in kept.items() if hashed is not None}
                apart += [place for place, hashed in kept.items() if hashed is None]
            elif (hashes := self._tiles.find(tile)) is not None:
                found |= _cut(hashes, tile, wanted)
            else:
                unread[tile] = wanted
        if unread or apart:
            async with direct(self._engine) as conn:
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
            found |= _cut(hashes, tile, wanted)
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


def _by_tile(places: Iterable[Place]) -> dict[Place, list[Place]]:
    found: dict[Place, list[Place]] = {}
    for place in places:
        found.setdefault(tile_of(place), []).append(place)
    return found


def _cut(hashes: bytes, tile: Place, wanted: Iterable[Place]) -> dict[Place, bytes]:
    """Return hashes of a full tile: they stand level by level, the lowest first."""
    lowest = tile[0] * HEIGHT
    found = {}
    for place in wanted:
        beside = WIDTH >> place[0] - lowest
        at = (2 * (WIDTH - beside) + place[1] % beside) * HASH_SIZE
        found[place] = hashes[at : at + HASH_SIZE]
    return found
