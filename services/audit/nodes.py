"""Reads of the tree: nodes, commitments, and what is published. Immutable but for the head.

These are the hot reads. They use the driver's own connection: SQLAlchemy would triple the cost of a
proof, and what is public needs neither an organisation nor a snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.audit import merkle
from services.audit.merkle import Range
from shared.lean import fetch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.audit.merkle import Place

_PLACES: Final = """
SELECT n.level, n.idx, n.hash
FROM unnest((SELECT $1::smallint[]), (SELECT $2::bigint[])) AS p (level, idx)
JOIN nodes n ON n.level = p.level AND n.idx = p.idx
UNION ALL
SELECT 0, l.idx, l.commitment FROM unnest((SELECT $3::bigint[])) AS p (idx)
JOIN leaves l ON l.idx = p.idx
"""
"""The planner does not see how long the arrays are: else it would plan anew each time."""
_COMMITMENTS: Final = "SELECT commitment FROM leaves WHERE idx >= $1 AND idx < $2 ORDER BY idx"

_PUBLISHED: Final = """
SELECT checkpoint, checkpoint_size, signed_at, ARRAY(SELECT line FROM cosigned
  WHERE size = checkpoint_size AND note = checkpoint ORDER BY witness) AS lines
FROM log_head
"""
_COSIGNED: Final = """
SELECT note, size, max(at) AS at, array_agg(line ORDER BY witness) AS lines FROM cosigned
GROUP BY note, size ORDER BY size DESC LIMIT 1
"""


class LogDamaged(Exception):  # noqa: N818  (it says what is wrong with the log)
    """A row that the tree needs is missing: stop, and compare with a backup and the tiles."""


@dataclass(frozen=True, slots=True)
class Published:
    """The last signed checkpoint: its size (0 if there is none), and when it was signed.

    `signed` is the note with the log's signature alone, `note` has the cosignatures too.
    """

    signed: str | None
    size: int
    signed_at: datetime | None
    cosignatures: Sequence[str]

    @property
    def origin(self) -> str | None:
        """The name of the log."""
        return None if self.signed is None else self.signed.partition("\n")[0]

    @property
    def note(self) -> str | None:
        """The note as it is published."""
        return None if self.signed is None else self.signed + "".join(self.cosignatures)


async def load_published(conn: AsyncConnection) -> Published:
    """Return the last signed checkpoint."""
    (row,) = await fetch(conn, _PUBLISHED)
    size = row["checkpoint_size"] or 0
    return Published(row["checkpoint"], size, row["signed_at"], row["lines"])


async def load_cosigned(conn: AsyncConnection) -> Published | None:
    """Return the last checkpoint that a witness cosigned, if any did."""
    for row in await fetch(conn, _COSIGNED):
        return Published(row["note"], row["size"], row["at"], row["lines"])
    return None


async def read_nodes(conn: AsyncConnection, places: Sequence[Place]) -> Mapping[Place, bytes]:
    """Return the hashes of perfect subtrees, all of them, in one statement.

    Raises:
        LogDamaged: one is missing.

    """
    wanted = set(places)
    inner = [place for place in wanted if place[0]]
    rows = await fetch(
        conn,
        _PLACES,
        [level for level, _ in inner],
        [index for _, index in inner],
        [index for level, index in wanted if not level],
    )
    found = {
        (level, index): hashed if level else merkle.leaf_hash(hashed)
        for level, index, hashed in rows
    }
    if len(found) != len(wanted):
        message = f"{len(wanted) - len(found)} nodes of the tree are missing"
        raise LogDamaged(message)
    return found


async def load_tree(conn: AsyncConnection, size: int) -> Range:
    """Return the compact form of the tree at a size that it has, or had.

    Raises:
        LogDamaged: a node is missing.

    """
    places = merkle.cover((0, size))
    nodes = await read_nodes(conn, places)
    return Range(size, tuple(nodes[place] for place in places))


async def list_commitments(conn: AsyncConnection, start: int, count: int) -> list[bytes]:
    """Return the data of entries in order from an index on.

    Raises:
        LogDamaged: one is missing.

    """
    rows = await fetch(conn, _COMMITMENTS, start, start + count)
    if len(rows) != count:
        raise LogDamaged("entries are missing")
    return [row["commitment"] for row in rows]
