"""The proof file of a case: its events, and for each a path to one signed and cosigned root.

`services.audit.check_proof` says what the file means, and checks it.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from services.audit import lines, merkle, nodes
from shared.clock import now, rfc3339
from shared.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.audit.nodes import Published

FORMAT: Final = "pashe proof 1"
"""What the file says that it is."""

MOST: Final = 100_000
"""Entries of one case in a file."""


async def prove_case(conn: AsyncConnection, case: str) -> tuple[dict[str, Any], Sequence[Row[Any]]]:
    """Return the proof file of a case under the last checkpoint, and the entries that are in it.

    The last cosigned checkpoint is taken in place of a newer one if it has all of these entries.

    Raises:
        Unavailable: nothing has been signed yet.
        NotFound: no signed entry is about this case.

    """
    told: Published | None = await nodes.load_published(conn)
    if told is None or told.note is None:
        raise Unavailable
    rows = await lines.list_history(conn, case, 0, told.size, MOST)
    if not rows:
        raise NotFound
    cosigned = await nodes.load_cosigned(conn)
    if cosigned is not None and cosigned.size > rows[-1].idx:
        told = cosigned
    spans = {row.idx: merkle.inclusion_spans(row.idx, told.size) for row in rows}
    places = {place for some in spans.values() for span in some for place in merkle.cover(span)}
    found = await nodes.read_nodes(conn, list(places))
    entries = [_entry(row, merkle.prove(spans[row.idx], found.__getitem__)) for row in rows]
    proof = {"format": FORMAT, "case": case, "made_at": rfc3339(now()), "checkpoint": told.note}
    return proof | {"entries": entries}, rows


def _entry(row: Row[Any], path: Sequence[bytes]) -> dict[str, Any]:
    """Render an entry; what is unreadable is left as its commitment, as what is erased is."""
    kept = row.salt is not None and row.type is not None
    return {
        "index": row.idx,
        "commitment": row.commitment.hex(),
        "hashes": [step.hex() for step in path],
        "erased": not kept,
        "salt": row.salt.hex() if kept else None,
        "event": base64.b64encode(row.value or b"").decode() if kept else None,
        "signature": row.signature.decode("latin-1") if kept and row.signature else None,
    }
