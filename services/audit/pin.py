"""Keep the checkpoint of each day: `python -m services.audit.pin --url … --folder DIR`.

A partner runs it once a day. Each day's checkpoint is a file of its own in the folder, and is only
kept if the log's pinned key signed it and the log grew to it from the one kept before: that is
proven by published hash tiles, some kilobytes whatever the size of the log. Exit code 0: kept; 1:
the history was changed; 2: it cannot tell.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.audit import checkpoint, merkle, tiles
from services.audit.checkpoint import NoteInvalid, VerifierKey
from services.audit.fetching import CannotTell, Fetcher, HistoryBroken
from services.audit.merkle import ProofInvalid
from services.audit.tiles import TileInvalid
from services.audit.verify import BROKEN, CANNOT_TELL, HOLDS, keep_state, open_log, pin_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.audit.checkpoint import Checkpoint
    from services.audit.tiles import Tile

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def check_growth(before: Checkpoint, after: Checkpoint, fetch: Callable[[Tile], bytes]) -> None:
    """Check by hash tiles that a log grew from one checkpoint to another.

    Raises:
        HistoryBroken: it did not.

    """
    try:
        read = tiles.read_places(after.size, fetch)
        spans = merkle.consistency_spans(before.size, after.size)
        proof = merkle.prove(spans, read)
        merkle.check_consistency(before.size, after.size, before.root, after.root, proof)
    except (ProofInvalid, TileInvalid, ValueError):
        message = (
            f"the log of {after.size} entries does not begin with the {before.size} entries that"
            " were pinned: somebody has changed the history. Keep this folder safe, and tell others"
        )
        raise HistoryBroken(message) from None


def kept_days(folder: Path) -> list[str]:
    """Return the days that are kept in a folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(each.name for each in folder.iterdir() if _DAY.fullmatch(each.name))


def pin_days(
    origin: str, folder: Path, witnesses: Sequence[VerifierKey], say: Callable[[str], None]
) -> None:
    """Keep every day since the last one that is kept; at first use the newest alone.

    Raises:
        HistoryBroken: a day contradicts what was kept.
        CannotTell: no answer, nothing published yet, or a witness has not signed.

    """
    fetcher = Fetcher(origin)
    key = pin_key(fetcher, folder, say).key
    kept = kept_days(folder)
    told = fetcher.fetch("daily").decode("ascii", "replace").split()
    days = sorted(day for day in told if _DAY.fullmatch(day))
    if not days:
        raise CannotTell("the log has published no checkpoint of a day yet")
    before = None
    if kept:
        before = _open((folder / kept[-1]).read_bytes(), key, ())
        if kept[-1] in days and _open(fetcher.fetch(f"daily/{kept[-1]}"), key, ()) != before:
            message = f"the checkpoint of {kept[-1]} is another one than the one that was kept"
            raise HistoryBroken(message)
        days = [day for day in days if day > kept[-1]]
    else:
        days = days[-1:]
    for day in days:
        note = fetcher.fetch(f"daily/{day}")
        found = _open(note, key, witnesses)
        open_log(note, key, before)
        if before is not None:
            check_growth(before, found, lambda tile: fetcher.fetch(f"tile/{tile.path}"))
        keep_state(folder, day, note)
        since = "" if before is None else f", grown from the {before.size:,} kept before"
        say(f"{day}: {found.size:,} entries, root {found.root.hex()}{since}.")
        before = found
    if not days:
        say(f"Nothing is newer than {kept[-1]}, which is kept.")


def _open(note: bytes, key: VerifierKey, witnesses: Sequence[VerifierKey]) -> Checkpoint:
    try:
        found = checkpoint.open_checkpoint(note, key)
    except NoteInvalid as error:
        message = f"a checkpoint is not signed by the log's key: {error}"
        raise HistoryBroken(message) from None
    for witness in witnesses:
        try:
            checkpoint.verify_note(note, [witness])
        except NoteInvalid:
            message = f"the witness {witness.name} has not signed the log of {found.size} entries"
            raise CannotTell(message) from None
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Keep what is new; return 0 (kept), 1 (broken) or 2 (cannot tell)."""
    parser = argparse.ArgumentParser(
        prog="pashe audit pin", description="Keep the checkpoint of each day of a log, and compare."
    )
    parser.add_argument("--url", required=True, help="the centre, such as https://centre.example")
    parser.add_argument("--folder", required=True, type=Path, help="where the days are kept")
    parser.add_argument(
        "--witness", action="append", default=[], help="key of a witness that must have signed"
    )
    wanted = parser.parse_args(argv)

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    try:
        witnesses = [checkpoint.parse_vkey(text) for text in wanted.witness]
        pin_days(wanted.url, wanted.folder, witnesses, say)
    except HistoryBroken as error:
        say(f"BROKEN: {error}.")
        return BROKEN
    except (CannotTell, NoteInvalid, OSError) as error:
        say(f"Cannot tell: {error}.")
        return CANNOT_TELL
    say("The history holds.")
    return HOLDS


if __name__ == "__main__":
    sys.exit(main())
