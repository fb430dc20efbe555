"""Searches as FHIR R4 asks them (`Task?owner=…&status=…&_lastUpdated=gt…`), and their SQL.

A provider's changes carry a time taken under the lock of its feed, so they are in the order of
their commits: whoever polls with the newest `_lastUpdated` it saw misses nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from services.referral.exchange.fhir import state_codes
from services.referral.store import referral_in
from shared.errors import InvalidBody, NotFound
from shared.lean import text
from shared.paging import decode_cursor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.referral.referral import Referral

PAGE: Final = 50
MOST: Final = 200
_BEFORE: Final = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_WHEN: Final = re.compile(r"(gt|ge|lt|le|eq|sa|eb)?(\d{4}-\d\d-\d\d(?:T.+)?)")
_OWNER: Final = re.compile(r"(?:Organization/)?([A-Za-z0-9._-]{1,100})")

KNOWN: Final = frozenset(
    {"_id", "_lastUpdated", "owner", "performer", "status", "_count", "_include", "_cursor"}
)
"""Parameters of a search that are understood; `_format` is always JSON."""


@dataclass(slots=True)
class Search:
    """What is searched for. `bounds`: comparisons with the time of the last change (aware UTC)."""

    owner: str | None = None
    states: set[str] | None = None
    ids: set[UUID] | None = None
    bounds: list[tuple[str, datetime]] = field(default_factory=list)
    count: int = PAGE
    focus: bool = False
    after: tuple[datetime, UUID] | None = None
    nothing: bool = False
    used: list[tuple[str, str]] = field(default_factory=list)


def parse_search(pairs: Iterable[tuple[str, str]], *, strict: bool) -> Search:
    """Read the parameters of a search; unknown ones are left out unless `strict`.

    Raises:
        InvalidBody: a value that is none, or with `strict` an unknown parameter.

    """
    search = Search()
    for name, value in pairs:
        key, _, modifier = name.partition(":")
        if modifier == "missing" and key in ("owner", "performer"):
            if value not in ("true", "false"):
                raise _wrong(key)
            search.nothing = search.nothing or value == "true"  # what has no owner is shown to none
        elif modifier or key not in KNOWN:
            if strict and key != "_format":
                raise _wrong("parameter")
            continue
        else:
            _take(search, key, value)
        if key != "_cursor":
            search.used.append((name, value))
    return search


def _take(search: Search, key: str, value: str) -> None:
    match key:
        case "owner" | "performer":
            found = _OWNER.fullmatch(value)
            if found is None:
                raise _wrong(key)
            search.nothing = search.nothing or search.owner not in (None, found[1])
            search.owner = found[1]
        case "status":
            states = {state for code in value.split(",") for state in state_codes(code)}
            search.states = states if search.states is None else search.states & states
        case "_id":
            search.ids = {_uuid(one) for one in value.split(",")}
        case "_lastUpdated":
            search.bounds += _bounds(value)
        case "_count":
            if not value.isascii() or not value.isdigit() or len(value) > len(str(MOST)) + 2:
                raise _wrong(key)
            search.count = max(1, min(MOST, int(value)))
        case "_include":
            search.focus = search.focus or value == "Task:focus"
        case "_cursor":
            search.after = _place(value)


def _wrong(name: str) -> InvalidBody:
    return InvalidBody(None, errors=[{"field": name, "rule": "search"}])


def _uuid(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        return UUID(int=0)  # an id that none of ours has


def _bounds(value: str) -> list[tuple[str, datetime]]:
    """Return what a date parameter compares; a day is all of its hours (UTC), as FHIR says."""
    found = _WHEN.fullmatch(value.replace(" ", "+"))  # a plus sign that was not encoded
    if found is None:
        raise _wrong("_lastUpdated")
    prefix, said = found[1] or "eq", found[2]
    try:
        if "T" in said:
            start = datetime.fromisoformat(said)
            start = start if start.tzinfo else start.replace(tzinfo=UTC)
            end = start + timedelta(microseconds=1)
        else:
            day = date.fromisoformat(said)
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            end = start + timedelta(days=1)
    except (ValueError, OverflowError):
        raise _wrong("_lastUpdated") from None
    match prefix:
        case "eq":
            return [(">=", start), ("<", end)]
        case "gt" | "sa":
            return [(">=", end)]
        case "le":
            return [("<", end)]
        case "eb":
            return [("<", start)]
    return [(_BEFORE[prefix], start)]


def _place(cursor: str) -> tuple[datetime, UUID]:
    match decode_cursor(cursor):
        case [str(at), str(referral_id)]:
            try:
                return datetime.fromisoformat(at).astimezone(UTC), UUID(referral_id)
            except ValueError:
                pass
    raise InvalidBody("the cursor is not valid")


async def find(conn: AsyncConnection, search: Search) -> list[tuple[Referral, datetime]]:
    """Read what is searched for, the longest unchanged first, one more than asked for.

    The connection is the web role's in the reach of the caller; drafts are never shown.
    """
    if search.nothing or (search.states is not None and not search.states):
        return []
    where = ["provider_id IS NOT NULL"]
    bound: dict[str, Any] = {"n": search.count + 1}
    if search.owner is not None:
        where.append("provider_id = :owner")
        bound["owner"] = search.owner
    if search.states is not None:
        where.append("state = ANY(CAST(:states AS text[]))")
        bound["states"] = sorted(search.states)
    if search.ids is not None:
        where.append("referral_id = ANY(CAST(:ids AS uuid[]))")
        bound["ids"] = sorted(search.ids)
    for place, (how, when) in enumerate(search.bounds):
        where.append(f"changed_at {how} :bound{place}")
        bound[f"bound{place}"] = when
    if search.after is not None:
        where.append("(changed_at, referral_id) > (:after_at, :after_id)")
        bound["after_at"], bound["after_id"] = search.after
    rows = await conn.execute(
        text(
            f"SELECT body, changed_at FROM referrals WHERE {' AND '.join(where)}"  # noqa: S608
            " ORDER BY changed_at, referral_id LIMIT :n"
        ),
        bound,
    )
    return [(referral_in(row), row.changed_at) for row in rows]


async def find_one(conn: AsyncConnection, referral_id: UUID) -> tuple[Referral, datetime]:
    """Read one referral that has or had an owner, and when it changed last.

    Raises:
        NotFound: there is none in the reach of the connection.

    """
    found = await find(conn, Search(ids={referral_id}, count=1))
    if not found:
        raise NotFound
    return found[0]
