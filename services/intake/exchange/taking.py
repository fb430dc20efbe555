"""A file taken row by row: what can be read is stored, each row by itself, and each once.

A row that was stored before is not stored again: the same file a second time changes nothing. Two
equal rows in one file are two reports, for a row without a name may well be two people.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
from pydantic import ValidationError

from services.intake.exchange.rows import Note, Row
from services.intake.preparing import Besides, Message, prepare, repeat_key
from services.intake.report import ReportIn
from shared import telemetry
from shared.access_rules import owner_of
from shared.bodies import fields_of
from shared.vocabulary import Channel

if TYPE_CHECKING:
    from services.intake.channels import Desk
    from services.intake.submissions import Prepared
    from shared.access import Caller

GROUP: Final = 100
"""Rows that are stored together."""

MOST_ROWS: Final = 200_000
"""Rows of one file; a larger one is cut by the sender."""

MOST_LINES: Final = 5_000
"""Lines that are told of by themselves; of the others there is the number."""

_REPEAT: Final = b"repeat"


@dataclass(slots=True)
class Told:
    """What became of a file. `lines` has each row that was refused or not wholly understood."""

    format: str
    dry_run: bool
    rows: int = 0
    stored: int = 0
    repeated: int = 0
    refused: int = 0
    unknown_columns: list[int] = field(default_factory=list)
    kept_only: list[str] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    more_lines: int = 0

    def refuse(self, line: int, rule: str) -> None:
        """Tell of a row that was not stored."""
        self.rows += 1
        self.refused += 1
        self._tell(line, "refused", [Note("row", rule)])

    def note(self, row: Row) -> None:
        """Tell of what was not understood of a row that is taken."""
        if row.notes:
            self._tell(row.line, "taken", row.notes)

    def _tell(self, line: int, result: str, notes: list[Note]) -> None:
        if len(self.lines) < MOST_LINES:
            self.lines.append({"line": line, "result": result, "notes": notes})
        else:
            self.more_lines += 1


class Import:
    """Takes the rows of one file for one caller, in groups; call `end` at the end."""

    def __init__(self, desk: Desk, caller: Caller, told: Told) -> None:
        """Take what channels store with, in whose name, and where to tell of it."""
        self._desk = desk
        self._caller = caller
        self._told = told
        self._seen: Counter[int] = Counter()
        self._group: list[Prepared] = []

    async def take(self, row: Row) -> None:
        """Take one row, and store the group when it is full.

        Raises:
            Unavailable: it cannot be stored now; what was stored stays, and the file is sent again.

        """
        told = self._told
        try:
            report = ReportIn.model_validate({"channel": Channel.PARTNER, **row.body})
        except ValidationError as error:
            for one in fields_of(error.errors(include_url=False, include_input=False)):
                row.note(one["field"], one["rule"])
            report = ReportIn(channel=Channel.PARTNER)  # a person reads the original
        told.rows += 1
        told.note(row)
        if told.dry_run:
            await asyncio.sleep(0)
            return
        self._group.append(self._prepared(row, report))
        if len(self._group) >= GROUP:
            await self.end()

    def _prepared(self, row: Row, report: ReportIn) -> Prepared:
        digest = hashlib.sha256(msgspec.json.encode(row.original, order="sorted")).digest()
        short = int.from_bytes(digest[:8], "big")
        self._seen[short] += 1
        desk, gateway = self._desk, f"import.{self._told.format}"
        mark = repeat_key(
            desk.secrets.index, owner_of(self._caller), digest.hex(), str(self._seen[short])
        )
        return prepare(
            report,
            channel=Channel.PARTNER,
            caller=self._caller,
            vault=desk.vault,
            secrets=desk.secrets,
            message=Message(gateway, None, mark, again=_REPEAT),
            besides=Besides({"pressing": row.pressing}, {"original": row.original}),
        )

    async def end(self) -> None:
        """Store what waits.

        Raises:
            Unavailable: as `take`.

        """
        group, self._group = self._group, []
        waiting = (self._desk.committer.commit(one, behind=True) for one in group)
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        again = sum(answer == _REPEAT for answer in answers)
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        stored = len(answers) - again - len(failed)
        self._told.repeated += again
        self._told.stored += stored
        telemetry.SUBMISSIONS_STORED.labels(Channel.PARTNER, "repeated").inc(again)
        telemetry.SUBMISSIONS_STORED.labels(Channel.PARTNER, "stored").inc(stored)
        if failed:
            raise failed[0]
