"""What anyone may read, as it tells of nobody: checkpoint, tiles, proofs over the signed log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from services.audit import merkle, nodes, tiles
from services.audit.known import Known
from shared.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from services.audit.nodes import Published
    from services.audit.tiles import Tile

FRESH: Final = 0.2
"""Seconds for which a checkpoint that was read serves for proofs; the log signs every second."""


class Proofs:
    """Reads of the published log: never beyond the last signed checkpoint."""

    def __init__(self, engine: AsyncEngine, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the engine of the web role."""
        self._engine = engine
        self._known = Known(engine)
        self._clock = clock
        self._told: Published | None = None
        self._told_at = 0.0

    async def checkpoint(self) -> str:
        """Return the last signed checkpoint.

        Raises:
            Unavailable: nothing has been signed yet.

        """
        async with self._engine.connect() as conn:
            note = (await nodes.load_published(conn)).note
        if note is None:
            raise Unavailable
        return note

    async def inclusion(self, index: int, size: int | None) -> dict[str, Any]:
        """Prove that the entry stands in the log of this size, by default the last signed one.

        Raises:
            NotFound: no such entry in a signed log of this size (yet).

        """
        told = await self._published(index + 1 if size is None else size)
        size = told.size if size is None else size
        if not 0 <= index < size <= told.size:
            raise NotFound
        path = merkle.inclusion_path(index, size)
        places = [(0, index), *path, merkle.top_of(size)]
        leaf, *hashes, root = await self._known.read(places, size)
        return {
            "index": index,
            "size": size,
            "leaf_hash": leaf.hex(),
            "hashes": [h.hex() for h in hashes],
            "root": root.hex(),
            "checkpoint": told.note,
        }

    async def consistency(self, old: int, new: int | None) -> dict[str, Any]:
        """Prove that the log of size `new` (default: the last signed) begins with that of `old`.

        Raises:
            NotFound: not 0 ≤ old ≤ new ≤ the last signed size.

        """
        told = await self._published(old if new is None else new)
        new = told.size if new is None else new
        if not 0 <= old <= new <= told.size:
            raise NotFound
        spans = merkle.consistency_spans(old, new)
        places = list({place for span in spans for place in merkle.cover(span)})
        found = dict(zip(places, await self._known.read(places, new), strict=True))
        roots = [await self._root(size) for size in (old, new)]
        return {
            "from": old,
            "to": new,
            "hashes": [h.hex() for h in merkle.prove(spans, found.__getitem__)],
            "from_root": roots[0].hex(),
            "root": roots[1].hex(),
            "checkpoint": told.note,
        }

    async def _root(self, size: int) -> bytes:
        if not size:
            return merkle.EMPTY_ROOT
        (root,) = await self._known.read([merkle.top_of(size)], size)
        return root

    async def tile(self, tile: Tile) -> bytes:
        """Return the bytes of a hash tile or entry bundle.

        Raises:
            NotFound: the signed log does not have it (yet).

        """
        start = tile.index * tiles.WIDTH
        least = (start + tile.width) << (tiles.HEIGHT * (tile.level or 0))
        if not tile.within((await self._published(least)).size):
            raise NotFound
        async with self._engine.connect() as conn:
            if tile.level is None:
                entries = await nodes.list_commitments(conn, start, tile.width)
                return tiles.encode_bundle(entries)
            level = tile.level * tiles.HEIGHT
            places = [(level, start + n) for n in range(tile.width)]
            found = await nodes.read_nodes(conn, places)
        return tiles.encode_hashes(found[place] for place in places)

    async def _published(self, least: int) -> Published:
        """Return a checkpoint of at least this size that was read just now, or the last one."""
        told = self._told
        if told is None or told.size < least or self._clock() - self._told_at > FRESH:
            asked_at = self._clock()
            async with self._engine.connect() as conn:
                told = await nodes.load_published(conn)
            if self._told is None or told.origin != self._told.origin:  # begun anew: another log
                self._known = Known(self._engine)
            self._told, self._told_at = told, asked_at
        return told
