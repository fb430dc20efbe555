"""The list of erasures, kept apart from the database and its backups (DECISIONS 23).

A database that is put back to an older state knows nothing of the erasures since. This list does:
one JSON line an erasure, ids and times only. Each service goes through it before it starts working,
and `pashe restore` has them do it before any of them serves.
"""

from __future__ import annotations

import fcntl
import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from shared.errors import SettingsError
from shared.lean import text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    Apply = Callable[[AsyncConnection, "Line"], Awaitable[None]]

VARIABLE: Final = "ERASURES_FILE"
"""The variable that names the file; without it no list is kept."""

CASE: Final = "case"
"""The `subject` of a line that erases a person with the case itself."""


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One erasure. `subject` is `case`, `reporter` or `alleged`; `by` the pseudonym who approved.

    `shared`: what the report itself holds went with the case. `at` is in UTC.
    """

    case_id: UUID
    subject: str
    at: datetime
    by: str
    asked_by: str
    shared: bool = False


def list_path(env: Mapping[str, str] | None = None) -> Path | None:
    """Return where the list is kept, or None when nobody said."""
    given = (os.environ if env is None else env).get(VARIABLE, "")
    return Path(given) if given else None


def read_list(path: Path | None) -> list[Line]:
    """Read the list, oldest first; none when there is no file yet.

    Raises:
        SettingsError: it cannot be read: nothing may be served before somebody has looked.

    """
    if path is None or not path.exists():
        return []
    try:
        raw = path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]  # a line that was cut off comes again
        return [msgspec.json.decode(line, type=Line) for line in whole.splitlines()]
    except (OSError, msgspec.MsgspecError):
        message = f"the list of erasures {path.name} cannot be read: put a whole copy back"
        raise SettingsError(message) from None


def append_lines(path: Path, lines: Sequence[Line]) -> None:
    """Add lines at the end of the list, on disk before this returns; any process may.

    Raises:
        OSError: it cannot be written.

    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = file.seek(0, os.SEEK_END)
        if size and os.pread(file.fileno(), 1, size - 1) != b"\n":  # a write that was cut off
            kept = os.pread(file.fileno(), size, 0)
            file.truncate(kept.rfind(b"\n") + 1)
        file.write(new)
        file.flush()
        os.fsync(file.fileno())


async def catch_up(engine: AsyncEngine, apply: Apply, path: Path | None = None) -> int:
    """Apply what the list has and this service's schema does not know; return how many.

    Raises:
        SettingsError: the list cannot be read.

    """
    lines = read_list(path or list_path())
    if not lines:
        return 0
    async with engine.connect() as conn:
        rows = await conn.execute(
            text("SELECT case_id FROM erased_cases WHERE case_id = ANY(CAST(:c AS text[]))"),
            {"c": sorted({name_of(line) for line in lines})},
        )
        known = {row.case_id for row in rows}
    done = 0
    for line in lines:
        if name_of(line) not in known:
            async with engine.begin() as conn:
                await apply(conn, line)
                await conn.execute(
                    text(
                        "INSERT INTO erased_cases (case_id) VALUES (:c)"
                        " ON CONFLICT (case_id) DO NOTHING"
                    ),
                    {"c": name_of(line)},
                )
            done += 1
    return done


def name_of(line: Line) -> str:
    """Return by which name a schema knows an erasure: the case, or the case and whom of it."""
    return str(line.case_id) if line.subject == CASE else f"{line.case_id}/{line.subject}"
