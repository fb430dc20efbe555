"""C2SP tlog-tiles: paths, hash tiles and entry bundles, as pure functions.

A hash tile of level L holds up to 256 hashes of perfect subtrees of level 8 L; an entry bundle
holds up to 256 entries, each with its length before it. Both never change once they are full.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.audit.merkle import HASH_SIZE, Place, node_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HEIGHT: Final = 8
"""Levels of the tree in one tile."""

WIDTH: Final = 1 << HEIGHT
"""Hashes or entries in a full tile."""

MAX_ENTRY: Final = 0xFFFF
"""Bytes of one entry of a bundle."""

_PATH = re.compile(
    r"(?P<level>entries|[0-9]|[1-5][0-9]|6[0-3])/(?P<n>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


class TileInvalid(ValueError):  # noqa: N818  (it says what is wrong with the tile)
    """Bytes or a path are not a tile: the log is broken, or the request is."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Names a tile. `level` is None for an entry bundle; a `width` below 256 makes it partial."""

    level: int | None
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """The path behind `tile/`, such as `0/x001/x234/067` or `entries/000.p/3`."""
        groups = [f"{self.index % 1000:03d}"]
        rest = self.index // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03d}")
            rest //= 1000
        level = "entries" if self.level is None else str(self.level)
        partial = f".p/{self.width}" if self.width < WIDTH else ""
        return f"{level}/{'/'.join(groups)}{partial}"

    def within(self, size: int) -> bool:
        """Say whether a log of `size` entries has this tile."""
        return self.index * WIDTH + self.width <= size >> (HEIGHT * (self.level or 0))


def parse_path(path: str) -> Tile:
    """Read the path behind `tile/`.

    Raises:
        TileInvalid: it is not the one path of any tile.

    """
    found = _PATH.fullmatch(path)
    if found is None:
        raise TileInvalid("not the path of a tile")
    level = None if found["level"] == "entries" else int(found["level"])
    index = int(found["n"].replace("x", "").replace("/", ""))
    tile = Tile(level, index, int(found["width"] or WIDTH))
    if tile.path != path:
        raise TileInvalid("not the canonical path of a tile")
    return tile


def bundles_of(size: int, start: int = 0) -> list[Tile]:
    """Return the entry bundles of a log of `size` entries from the bundle number `start` on."""
    full, rest = divmod(size, WIDTH)
    found = [Tile(None, n) for n in range(start, full)]
    return [*found, Tile(None, full, rest)] if rest else found


def hash_tiles_of(size: int) -> list[Tile]:
    """Return every hash tile of a log of `size` entries, lowest level first."""
    found, level = [], 0
    while size:
        full, rest = divmod(size, WIDTH)
        found += [Tile(level, n) for n in range(full)]
        found += [Tile(level, full, rest)] if rest else []
        size, level = full, level + 1
    return found


def encode_hashes(hashes: Iterable[bytes]) -> bytes:
    """Return the bytes of a hash tile."""
    return b"".join(hashes)


def decode_hashes(raw: bytes, width: int) -> list[bytes]:
    """Read a hash tile that must hold exactly `width` hashes.

    Raises:
        TileInvalid: it does not.

    """
    if len(raw) != width * HASH_SIZE:
        raise TileInvalid("a hash tile has the wrong length")
    return [raw[at : at + HASH_SIZE] for at in range(0, len(raw), HASH_SIZE)]


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return the bytes of an entry bundle: each entry after its length, 16 bits, big-endian.

    Raises:
        TileInvalid: an entry is longer than 65,535 bytes.

    """
    if any(len(entry) > MAX_ENTRY for entry in entries):
        raise TileInvalid("an entry is too long for a bundle")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(raw: bytes, width: int) -> list[bytes]:
    """Read an entry bundle that must hold exactly `width` entries.

    Raises:
        TileInvalid: it does not.

    """
    entries, at = [], 0
    while at < len(raw):
        end = at + 2 + int.from_bytes(raw[at : at + 2], "big")
        if at + 2 > len(raw) or end > len(raw):
            raise TileInvalid("an entry bundle is cut off")
        entries.append(raw[at + 2 : end])
        at = end
    if len(entries) != width:
        raise TileInvalid("an entry bundle has the wrong number of entries")
    return entries


def tile_of(place: Place) -> tuple[int, int]:
    """Return the level of the hash tile that a perfect subtree stands in, and its number there."""
    level = place[0] // HEIGHT
    return level, place[1] >> (level + 1) * HEIGHT - place[0]


def read_places(size: int, fetch: Callable[[Tile], bytes]) -> Callable[[Place], bytes]:
    """Return a reader of perfect subtrees of a log of `size` entries that asks for hash tiles.

    `fetch` gives the bytes of a tile; each is asked for once. What it gives is not believed by
    anybody: a proof made of it leads to the signed root, or it does not.

    The reader raises TileInvalid for a tile that is none.
    """
    known: dict[Tile, list[bytes]] = {}

    def read(place: Place) -> bytes:
        level, index = tile_of(place)
        rest = place[0] - level * HEIGHT
        first, count = place[1] << rest, 1 << rest
        width = min(WIDTH, (size >> (HEIGHT * level)) - index * WIDTH)
        tile = Tile(level, index, width)
        if tile not in known:
            known[tile] = decode_hashes(fetch(tile), width)
        row = known[tile][first % WIDTH : first % WIDTH + count]
        while len(row) > 1:
            row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
        return row[0]

    return read
