"""Verify the published log from outside: `python -m services.audit.verify --url … --state DIR`.

It asks only for the checkpoint, the key and the entry bundles, trusts nothing but the key that it
pinned in the state folder at its first use, and recomputes the root from every entry. Exit code 0:
the history holds; 1: it is broken; 2: it cannot tell.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from services.audit import checkpoint, merkle
from services.audit.checkpoint import Checkpoint, NoteInvalid, VerifierKey
from services.audit.fetching import CannotTell, Fetcher, HistoryBroken
from services.audit.merkle import ProofInvalid, Range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HOLDS: Final = 0
BROKEN: Final = 1
CANNOT_TELL: Final = 2


@dataclass(frozen=True, slots=True)
class Known:
    """What an earlier verification remembers: the pinned key and the checkpoint it believed."""

    key: VerifierKey
    checkpoint: Checkpoint | None = None


# --- Pure verification ---------------------------------------------------------------------------


def open_log(note: bytes, key: VerifierKey, before: Checkpoint | None) -> Checkpoint:
    """Check a checkpoint's signature, and that the log did not shrink since `before`.

    Raises:
        HistoryBroken: the signature does not hold, or the log is smaller or another one.

    """
    try:
        told = checkpoint.open_checkpoint(note, key)
    except NoteInvalid as error:
        message = f"the checkpoint is not signed by the log's key: {error}"
        raise HistoryBroken(message) from None
    if before is not None and told.size < before.size:
        message = f"the log has {told.size} entries, and had {before.size} before"
        raise HistoryBroken(message)
    return told


def recompute(told: Checkpoint, before: Checkpoint | None, bundles: Iterator[list[bytes]]) -> None:
    """Recompute the root over all entries; on the way, the root of the earlier checkpoint.

    Only the compact form of the tree is held in memory.

    Raises:
        HistoryBroken: either root is another one.

    """
    tree = Range()
    old = before if before is not None else Checkpoint(told.origin, 0, merkle.EMPTY_ROOT)
    for entries in bundles:
        hashes = [merkle.leaf_hash(entry) for entry in entries]
        cut = old.size - tree.size
        if 0 <= cut <= len(hashes):
            _compare(merkle.extend(tree, hashes[:cut])[0], old, "checkpoint that was kept")
        tree, _ = merkle.extend(tree, hashes)
    if tree.size == old.size:
        _compare(tree, old, "checkpoint that was kept")
    _compare(tree, told, "present checkpoint")


def _compare(tree: Range, told: Checkpoint, what: str) -> None:
    if tree.size != told.size or tree.root != told.root:
        message = f"the entries do not lead to the root of the {what} ({told.size} entries)"
        raise HistoryBroken(message)


def check_proof(proof: dict[str, Any], key: VerifierKey) -> Checkpoint:
    """Check a saved answer of `/audit/v1/proofs/inclusion`, offline.

    Raises:
        HistoryBroken: leaf, path, root and signed checkpoint do not belong together.
        CannotTell: it is no such answer, or its size is not the signed one.

    """
    try:
        index, size = int(proof["index"]), int(proof["size"])
        leaf, root = bytes.fromhex(proof["leaf_hash"]), bytes.fromhex(proof["root"])
        hashes = [bytes.fromhex(step) for step in proof["hashes"]]
        note = str(proof["checkpoint"]).encode()
    except (KeyError, TypeError, ValueError):
        raise CannotTell("the file is not an inclusion proof") from None
    told = open_log(note, key, None)
    try:
        merkle.check_inclusion(index, size, leaf, hashes, root)
    except ProofInvalid as error:
        raise HistoryBroken(str(error)) from None
    if size != told.size:
        raise CannotTell("the proof is for another size than its checkpoint: ask for it again")
    if root != told.root:
        raise HistoryBroken("the proof leads to another root than the signed one")
    return told


# --- State ---------------------------------------------------------------------------------------


def load_known(folder: Path) -> Known | None:
    """Read the pinned key and the last believed checkpoint; None at first use.

    Raises:
        CannotTell: the folder holds something else.

    """
    try:
        if not (folder / "key").exists():
            return None
        key = checkpoint.parse_vkey((folder / "key").read_text("utf-8"))
        kept = folder / "checkpoint"
        before = checkpoint.open_checkpoint(kept.read_bytes(), key) if kept.exists() else None
    except (OSError, UnicodeDecodeError, NoteInvalid):
        message = f"the state in {folder} cannot be believed: look at it before you delete it"
        raise CannotTell(message) from None
    return Known(key, before)


def keep_state(folder: Path, name: str, content: bytes) -> None:
    """Put a file of the state in the place of another, on disk before this returns.

    Raises:
        CannotTell: it cannot be written.

    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f"{name}.new"
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / name)
    except OSError:
        message = f"the state folder {folder} cannot be written"
        raise CannotTell(message) from None


# --- The command ---------------------------------------------------------------------------------


def pin_key(fetcher: Fetcher, folder: Path, say: Callable[[str], None]) -> Known:
    """Return what the folder remembers, after comparing its key with the one that is shown.

    At first use the key that is shown is pinned.

    Raises:
        HistoryBroken: the log shows another key.
        CannotTell: the log shows none, or the folder cannot be believed.

    """
    known = load_known(folder)
    try:
        shown = checkpoint.parse_vkey(fetcher.fetch("key").decode("utf-8", "replace"))
    except NoteInvalid:
        raise CannotTell("the log shows no verifier key") from None
    if known is None:
        keep_state(folder, "key", f"{shown}\n".encode())
        say(f"First use: the key of {shown.name} is pinned. Compare it with one you got elsewhere:")
        say(f"  {shown}")
        return Known(shown)
    if known.key != shown:
        message = (
            f"THE KEY OF THE LOG HAS CHANGED. Pinned: {known.key}. Shown: {shown}. Do not believe"
            " this log before somebody you trust explains it"
        )
        raise HistoryBroken(message)
    return known


def verify_log(origin: str, folder: Path, say: Callable[[str], None]) -> None:
    """Verify the log at an origin against itself and against what the folder remembers.

    Raises:
        HistoryBroken: the history does not hold.
        CannotTell: no answer.

    """
    fetcher = Fetcher(origin)
    known = pin_key(fetcher, folder, say)
    note = fetcher.fetch("checkpoint")
    told = open_log(note, known.key, known.checkpoint)
    recompute(told, known.checkpoint, fetcher.bundles(told.size, say))
    keep_state(folder, "checkpoint", note)
    say(f"{told.size:,} entries lead to the signed root {told.root.hex()}.")
    if known.checkpoint is None:
        say("There was no earlier checkpoint to compare with; this one is kept.")
    else:
        say(f"The log begins with the {known.checkpoint.size:,} entries that were verified before.")


def verify_file(path: Path, folder: Path, say: Callable[[str], None]) -> None:
    """Verify a saved inclusion proof with the pinned key, offline.

    Raises:
        HistoryBroken: the proof does not hold.
        CannotTell: no key is pinned, or the file is no proof.

    """
    known = load_known(folder)
    if known is None:
        raise CannotTell("no key is pinned yet: verify the log once with --url first")
    try:
        proof = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        raise CannotTell("the file cannot be read as JSON") from None
    told = check_proof(proof if isinstance(proof, dict) else {}, known.key)
    say(f"Entry {proof['index']} stands in the signed log of {told.size:,} entries.")


def main(argv: Sequence[str] | None = None) -> int:
    """Verify what the arguments name; return 0 (holds), 1 (broken) or 2 (cannot tell)."""
    parser = argparse.ArgumentParser(
        prog="python -m services.audit.verify", description="Verify the history from outside."
    )
    parser.add_argument("--url", help="origin of the centre, such as http://127.0.0.1:8000")
    parser.add_argument("--state", required=True, type=Path, help="folder for key and checkpoint")
    parser.add_argument("--file", type=Path, help="a saved inclusion proof to check offline")
    wanted = parser.parse_args(argv)
    if not wanted.url and not wanted.file:
        parser.error("--url or --file is needed")

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    began = time.monotonic()
    try:
        if wanted.url:
            verify_log(wanted.url, wanted.state, say)
        if wanted.file:
            verify_file(wanted.file, wanted.state, say)
    except HistoryBroken as error:
        say(f"BROKEN: {error}.")
        return BROKEN
    except CannotTell as error:
        say(f"Cannot tell: {error}.")
        return CANNOT_TELL
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    say(f"The history holds. Verified at {at} UTC in {time.monotonic() - began:.1f} s.")
    return HOLDS


if __name__ == "__main__":
    sys.exit(main())
