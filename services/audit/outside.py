"""The last signed checkpoint, kept outside of the database: a file in a folder of its own.

It shows a database that was put back to an older state, whoever did it. Keep the folder out of the
database's backups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.audit.checkpoint import MAX_NOTE, NoteInvalid, open_checkpoint
from services.audit.keeping import keep

if TYPE_CHECKING:
    from pathlib import Path

    from services.audit.checkpoint import Checkpoint, VerifierKey

NAME: Final = "audit.checkpoint"
"""Name of the file in the state folder."""


class OutsideCheckpoint:
    """Reads and replaces the checkpoint file; a reader sees the old one or the new one, whole."""

    def __init__(self, folder: Path, key: VerifierKey) -> None:
        """Take the folder, which is made when the first checkpoint is kept, and the log's key."""
        self._path = folder / NAME
        self._key = key

    def find_checkpoint(self) -> Checkpoint | None:
        """Return the kept checkpoint, or None if none was kept yet.

        Raises:
            NoteInvalid: the file is not a checkpoint signed by the log's key: find out why.
            OSError: the file cannot be read.

        """
        try:
            with self._path.open("rb") as file:
                raw = file.read(MAX_NOTE + 1)
        except FileNotFoundError:
            return None
        return open_checkpoint(raw, self._key)

    def keep(self, note: str) -> None:
        """Put a signed checkpoint in place of the kept one, on disk before this returns.

        Raises:
            NoteInvalid: the note is not a checkpoint signed by the log's key, or smaller.
            OSError: the file cannot be written.

        """
        size = open_checkpoint(note.encode(), self._key).size
        before = self.find_checkpoint()
        if before is not None and before.size > size:
            raise NoteInvalid("a larger checkpoint is kept already")
        keep(self._path, note.encode())
