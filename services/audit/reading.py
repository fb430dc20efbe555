"""What staff read: the history of a case, entries, the state of the log. Each read is an event."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.audit import lines, merkle, store, telling
from services.audit.flags import Flag, names_of
from services.audit.proving import prove_case
from services.audit.reach import refused_of
from services.audit.service import LogBehind, check_outside
from shared.clock import now, rfc3339
from shared.database import transaction
from shared.errors import NotFound
from shared.events import ACCESSES, Draft, HistoryRead
from shared.outbox import Stamp
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.audit.outside import OutsideCheckpoint
    from shared.access import Caller
    from shared.outbox import Outbox

WHOLE_LOG: Final = "log"
"""Subject of the event when somebody reads entries of no one case."""

STAFF: Final = "*"
"""What the row-level policies compare with for staff."""


@dataclass(frozen=True, slots=True)
class Page:
    """Where a page of a list begins, and the size of the log when the first page was read.

    The size ends the list: the events that reading itself adds never make it longer.
    """

    start: int = 0
    until: int | None = None


class Reading:
    """Reads of the history. Nothing here waits for the writer or changes the log."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox, outside: OutsideCheckpoint) -> None:
        """Take the engine of the web role, where reads are told, and the checkpoint outside."""
        self._engine = engine
        self._outbox = outbox
        self._outside = outside

    async def history(
        self, caller: Caller, subject: str, page: Page, n: int
    ) -> tuple[list[dict[str, Any]], list[int] | None]:
        """Return at most `n` lines about a case in order, and the next page if there is one.

        Nothing is told about a read that found nothing, as one of a case that the caller may not
        know of always does.
        """
        async with transaction(self._engine, STAFF) as conn:
            until = page.until or (await store.load_head(conn)).size
            if await refused_of(conn, caller, [subject], now()):
                return [], None
            rows = await lines.list_history(conn, subject, page.start, until, n)
            if rows:
                what = f"history {rows[0].idx}-{rows[-1].idx}"
                await self._tell(conn, caller, subject, what)
        return _page(rows, caller, until, n)

    async def proven(
        self, caller: Caller, subject: str, page: Page, n: int
    ) -> tuple[list[dict[str, Any]], list[int] | None]:
        """Return what `history` does, each line with what its proof needs.

        That is the commitment, and for an auditor the exact bytes, the salt and the signature.
        """
        async with transaction(self._engine, STAFF) as conn:
            until = page.until or (await store.load_head(conn)).size
            if await refused_of(conn, caller, [subject], now()):
                return [], None
            rows = await lines.list_history(conn, subject, page.start, until, n)
            if rows:
                kind = "proof" if caller.role is Role.AUDITOR else "history"
                await self._tell(conn, caller, subject, f"{kind} {rows[0].idx}-{rows[-1].idx}")
        whole = caller.role is Role.AUDITOR
        more = [_bytes(r) if whole else {"commitment": r.commitment.hex()} for r in rows]
        found, following = _page(rows, caller, until, n)
        return [line | told for line, told in zip(found, more, strict=True)], following

    async def entries(
        self, caller: Caller, page: Page, n: int
    ) -> tuple[list[dict[str, Any]], list[int] | None]:
        """Return at most `n` lines of the whole log in order, and the next page if there is one.

        Lines of cases that the caller may not know of are left out.
        """
        async with transaction(self._engine, STAFF) as conn:
            until = page.until or (await store.load_head(conn)).size
            rows = await lines.list_entries(conn, page.start, until, n)
            hidden = await refused_of(conn, caller, (row.subject for row in rows), now())
            if rows:
                what = f"entries {rows[0].idx}-{rows[-1].idx}"
                await self._tell(conn, caller, WHOLE_LOG, what)
        return _page(rows, caller, until, n, hidden)

    async def entry(self, caller: Caller, index: int) -> dict[str, Any]:
        """Return one entry; its exact bytes and salt for an auditor only.

        Raises:
            NotFound: there is no such entry, or not for this caller.

        """
        async with transaction(self._engine, STAFF) as conn:
            rows = await lines.list_entries(conn, index, index + 1, 1)
            if not rows or await refused_of(conn, caller, [rows[0].subject], now()):
                raise NotFound
            subject = rows[0].subject or WHOLE_LOG
            known = subject if subject.isascii() else WHOLE_LOG
            await self._tell(conn, caller, known, f"entry {index}")
        found = _line(rows[0], caller)
        if caller.role is Role.AUDITOR:
            found |= _bytes(rows[0])
        return found

    async def account(self, caller: Caller, subject: str, language: str) -> str:
        """Return the history of a case for its person, in plain words (`services.audit.telling`).

        Raises:
            NotFound: no entry is about this case, or not for this caller.

        """
        async with transaction(self._engine, STAFF) as conn:
            until = (await store.load_head(conn)).size
            rows = await lines.list_history(conn, subject, 0, until, telling.MOST)
            if not rows or await refused_of(conn, caller, [subject], now()):
                raise NotFound
            await self._tell(conn, caller, subject, f"account {rows[0].idx}-{rows[-1].idx}")
        return telling.tell(rows, language)

    async def proof(self, caller: Caller, subject: str) -> dict[str, Any]:
        """Return the proof file of a case (`services.audit.proving`).

        Raises:
            Unavailable: nothing has been signed yet.
            NotFound: no signed entry is about this case, or not for this caller.

        """
        async with transaction(self._engine, STAFF) as conn:
            if await refused_of(conn, caller, [subject], now()):
                raise NotFound
            proof, rows = await prove_case(conn, subject)
            await self._tell(conn, caller, subject, f"proof {rows[0].idx}-{rows[-1].idx}")
        return proof

    async def _tell(self, conn: AsyncConnection, caller: Caller, subject: str, what: str) -> None:
        data = HistoryRead(reader=caller.subject, role=str(caller.role), what=what)
        draft = Draft(ACCESSES, "history-read", subject, data)
        await self._outbox.append(conn, [(draft, Stamp(now(), caller.actor))])

    async def overview(self, caller: Caller) -> dict[str, Any]:
        """Return size, root, flags, gaps and the age of the checkpoint in seconds.

        Gaps are counted all; those of cases that the caller may not know of are not listed.
        """
        async with transaction(self._engine, STAFF) as conn:
            head = await store.load_head(conn)
            flags = await lines.count_flags(conn)
            opened, closed = await lines.count_gaps(conn)
            gaps = await lines.list_gaps(conn, 50)
            witnesses = await lines.list_witnesses(conn)
            hidden = await refused_of(conn, caller, (row.subject for row in gaps), now())
        counts = {
            name: sum(n for flagged, n in flags.items() if flagged & flag)
            for flag in Flag
            for name in names_of(flag)
        }
        age = None if head.signed_at is None else (now() - head.signed_at).total_seconds()
        return {
            "size": head.size,
            "root": head.root.hex(),
            "flags": counts,
            "gaps": {
                "open": opened,
                "closed": closed,
                "items": [_gap(row) for row in gaps if row.subject not in hidden],
            },
            "checkpoint": {
                "size": max(head.checkpoint_size, 0),
                "age_seconds": age,
                "signed_at": None if head.signed_at is None else rfc3339(head.signed_at),
                "note": head.checkpoint,
            },
            "witnesses": [
                {"name": row.witness, "size": row.size, "at": rfc3339(row.at)} for row in witnesses
            ],
        }

    async def trouble(self) -> str | None:
        """Say what is wrong between the database and the checkpoint outside of it, or None."""
        async with transaction(self._engine) as conn:
            try:
                await check_outside(conn, self._outside, await store.load_head(conn))
            except LogBehind as error:
                return str(error)
        return None


def _page(
    rows: Any,  # noqa: ANN401  (rows of the database)
    caller: Caller,
    until: int,
    n: int,
    hidden: Collection[str] = (),
) -> tuple[list[dict[str, Any]], list[int] | None]:
    after = [rows[-1].idx + 1, until] if len(rows) == n and rows[-1].idx + 1 < until else None
    return [_line(row, caller) for row in rows if row.subject not in hidden], after


def _line(row: Row[Any], caller: Caller) -> dict[str, Any]:
    """Render one entry; the event's data for an auditor only, its actor else by role only."""
    role = (row.actor or "").partition(":")[0] or None
    event: dict[str, Any] | None = None
    if row.value is not None and row.type is not None:
        try:
            event = msgspec.json.decode(row.value, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError):
            event = None  # its envelope was readable, its data is not: the bytes tell
    if event is not None and caller.role is not Role.AUDITOR:
        event = {k: v for k, v in event.items() if k not in ("data", "actor")} | {"actor": role}
    return {
        "index": row.idx,
        "event": event,
        "time": None if row.time is None else rfc3339(row.time),
        "type": row.type or "unreadable",
        "leaf_hash": merkle.leaf_hash(row.commitment).hex(),
        "stream": row.stream,
        "subject": row.subject,
        "sequence": row.sequence,
        "actor_role": role,
        "flags": names_of(row.flags),
        "traceparent": row.traceparent,
        "recorded_at": rfc3339(row.appended_at),
        "erased": row.erased,
    }


def _bytes(row: Row[Any]) -> dict[str, Any]:
    """Render what the commitment is made of, and where the record stood in Kafka."""
    return {
        "commitment": row.commitment.hex(),
        "salt": None if row.salt is None else row.salt.hex(),
        "value": None if row.value is None else base64.b64encode(row.value).decode(),
        "signature": None if row.signature is None else row.signature.decode("latin-1"),
        "headers": None if row.headers is None else msgspec.json.decode(row.headers),
        "partition": row.partition,
        "offset": row.offset,
    }


def _gap(row: Row[Any]) -> dict[str, Any]:
    return {
        "stream": row.stream,
        "subject": row.subject,
        "first": row.first,
        "last": row.last,
        "missing": row.last - row.first + 1 - row.filled,
        "first_seen": rfc3339(row.first_seen),
    }
