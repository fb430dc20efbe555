"""A new origin: the log begins again, and its first entry commits to the last checkpoint before.

When the history itself had to be put back from a backup, the entries since are lost, and a log that
went on from there would be a fork of what was published. So the log gets another name. Entry 0 is
SHA-256(32 zero bytes ‖ the old checkpoint), so that anyone who has the old checkpoint can see that
it is named; then come all entries that were put back, in their order.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from services.audit import merkle
from services.audit.checkpoint import (
    Checkpoint,
    NoteInvalid,
    NoteSigner,
    VerifierKey,
    open_checkpoint,
    parse_vkey,
)
from services.audit.keeping import keep
from services.audit.merkle import Range
from services.audit.outside import NAME

if TYPE_CHECKING:
    from pathlib import Path

    import asyncpg

ORIGIN: Final = "origin"
"""File in the state folder with the name of a log that was begun anew."""

SALT: Final = bytes(32)
"""Salt of the first entry: the old checkpoint is public."""

_BATCH: Final = 4096
_LOCK: Final = """
LOCK TABLE audit.log_head, audit.entries, audit.event_bytes, audit.nodes, audit.cosigned
IN ACCESS EXCLUSIVE MODE
"""
_SHIFT: Final = tuple(
    f"UPDATE audit.{table} SET idx = {new}"  # noqa: S608  (names from here)
    for table in ("entries", "event_bytes")
    for new in ("-idx - 1", "-idx")
)
_FIRST: Final = """
INSERT INTO audit.entries (idx, commitment, cluster, stream, partition, "offset", subject, type,
  source) VALUES (0, $1, $2, 'accesses', 0, 0, 'log', 'log-continued', '/audit')
"""


def next_origin(origin: str) -> str:
    """Return the name of the log that follows: `centre/pashe`, `centre/pashe/2`, `…/3`."""
    base, _, number = origin.rpartition("/")
    if base and re.fullmatch(r"[1-9][0-9]{0,8}", number):
        return f"{base}/{int(number) + 1}"
    return f"{origin}/2"


def find_origin(state: Path) -> str | None:
    """Return the name under which the log was begun anew, if it was."""
    path = state / ORIGIN
    return path.read_text("utf-8").strip() if path.exists() else None


async def must_reopen(conn: asyncpg.Connection[Any], state: Path) -> str | None:
    """Return the last checkpoint to commit to if the restored log may not go on under its name.

    It may if the checkpoint kept outside of the database is there, and the log leads to it.

    Raises:
        NoteInvalid: the checkpoint outside is not by the key of this log: look before going on.

    """
    head = await conn.fetchrow("SELECT size, vkey, checkpoint FROM audit.log_head")
    if head is None or head["vkey"] is None or head["checkpoint"] is None:
        return None
    path = state / NAME
    if not path.exists():
        return str(head["checkpoint"])
    key = _key_of(head["vkey"])
    kept = open_checkpoint(path.read_bytes(), key)
    if kept.size <= head["size"] and (await _tree(conn, kept.size)).root == kept.root:
        return None
    return path.read_text("utf-8")


async def reopen(conn: asyncpg.Connection[Any], seed: bytes, old_note: str) -> Checkpoint:
    """Begin the log anew behind the old checkpoint; return what the new one says, unsigned yet.

    Takes a superuser's connection and the seed of the log's key; all in one transaction.

    Raises:
        NoteInvalid: the old checkpoint is not by the key of this log.

    """
    async with conn.transaction():
        await conn.execute(_LOCK)
        old = _key_of(await conn.fetchval("SELECT vkey FROM audit.log_head"))
        open_checkpoint(old_note.encode(), old)
        fresh = NoteSigner(next_origin(old.name), seed).vkey
        if fresh.public != old.public:
            raise NoteInvalid("log.key is not the key of this log")
        for statement in _SHIFT:
            await conn.execute(statement)
        value = old_note.encode()
        await conn.execute(_FIRST, sha256(SALT + value).digest(), f"after {old.name}")
        await conn.execute(
            "INSERT INTO audit.event_bytes (idx, salt, value) VALUES (0, $1, $2)", SALT, value
        )
        await conn.execute("DELETE FROM audit.nodes")
        size = int(await conn.fetchval("SELECT count(*) FROM audit.entries"))
        tree = await _tree(conn, size, store=True)
        await conn.execute("DELETE FROM audit.cosigned")
        await conn.execute("UPDATE audit.erasing SET upto = 0")
        await conn.execute(
            "UPDATE audit.log_head SET size = $1, root = $2, epoch = epoch + 1, vkey = $3,"
            " checkpoint = NULL, checkpoint_size = NULL, signed_at = NULL",
            tree.size,
            tree.root,
            str(fresh),
        )
    return Checkpoint(fresh.name, tree.size, tree.root)


async def reopen_if_behind(conn: asyncpg.Connection[Any], seed: bytes, state: Path) -> str | None:
    """Begin a restored log anew if it is behind what was published; return its new name.

    Raises:
        NoteInvalid: the checkpoint outside of the database, or `seed`, is not of this log.

    """
    old_note = await must_reopen(conn, state)
    return None if old_note is None else (await reopen(conn, seed, old_note)).origin


async def keep_origin(conn: asyncpg.Connection[Any], state: Path) -> None:
    """Remember outside of the database under which name its log was begun anew, if it was.

    The checkpoint of the name before is kept beside, as `audit.checkpoint.before-…`.
    """
    vkey = await conn.fetchval("SELECT vkey FROM audit.log_head")
    origin = "" if vkey is None else _key_of(vkey).name
    if origin == find_origin(state) or not re.fullmatch(r".+/[0-9]+", origin):
        return
    kept = state / NAME
    if kept.exists() and kept.read_text("utf-8").split("\n", 1)[0] != origin:
        mark = sha256(kept.read_bytes()).hexdigest()[:12]
        kept.replace(kept.with_name(f"{NAME}.before-{mark}"))
    keep(state / ORIGIN, f"{origin}\n".encode())


async def _tree(conn: asyncpg.Connection[Any], size: int, *, store: bool = False) -> Range:
    """Return the tree over the first entries, batch by batch; `store` writes its nodes."""
    tree = Range()
    query = "SELECT commitment FROM audit.entries WHERE idx >= $1 AND idx < $2 ORDER BY idx"
    while tree.size < size:
        rows = await conn.fetch(query, tree.size, min(tree.size + _BATCH, size))
        if not rows:
            break
        tree, made = merkle.extend(tree, [merkle.leaf_hash(row["commitment"]) for row in rows])
        if store:
            nodes = [(r.level, r.first + n, h) for r in made for n, h in enumerate(r.hashes)]
            await conn.copy_records_to_table("nodes", schema_name="audit", records=nodes)
    return tree


def _key_of(vkey: str | None) -> VerifierKey:
    if vkey is None:
        raise NoteInvalid("the log has no key yet")
    return parse_vkey(vkey)
