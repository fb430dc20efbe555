"""Many objects of HSDS 3 as they stand in tables, purely: one row an object, linked by columns.

Rows are held encoded (a few hundred bytes each), so that a hundred thousand take some tens of MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

import msgspec

from services.referral.exchange.hsds.kinds import kinds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from services.referral.exchange.hsds.kinds import Kind
    from services.referral.exchange.hsds.report import Report, Spot

MOST_OBJECTS: Final = 500_000

Row = dict[str, Any]
_Key = tuple[str, str]
_Index = dict[_Key, list[_Key]]

_SOFT: Final = frozenset({"parent_organization_id", "parent_id", "program_id"})
"""Links that a nested document need not hold the end of: it shows one part of a directory."""


class TooMany(Exception):  # noqa: N818  (says what went wrong)
    """There are more objects than are taken at once."""


class Graph:
    """Objects by kind and identifier, with where each was read."""

    def __init__(self, most: int = MOST_OBJECTS) -> None:
        """Start with nothing, to hold at most so many."""
        self._most = most
        self._rows: dict[str, dict[str, bytes]] = {name: {} for name in kinds()}
        self._spots: dict[tuple[str, str], Spot] = {}
        self._children: _Index | None = None

    def __len__(self) -> int:
        """Return how many objects there are."""
        return sum(map(len, self._rows.values()))

    def put_raw(self, kind: str, key: str, raw: bytes) -> None:
        """Keep a row that is JSON already."""
        self._rows[kind][key] = raw
        self._children = None

    def put(self, kind: str, row: Row, spot: Spot | None = None) -> None:
        """Keep a row under its identifier, in place of an older one.

        Raises:
            TooMany: there are as many already as it may hold.

        """
        known = self._rows[kind].get(row["id"])
        if known is None and len(self) >= self._most:
            raise TooMany
        if self._children is not None:
            self._keep_index(self._children, kind, row, known)
        self._rows[kind][row["id"]] = msgspec.json.encode(row)
        if spot is not None:
            self._spots[kind, row["id"]] = spot

    def _keep_index(self, index: _Index, kind: str, row: Row, known: bytes | None) -> None:
        facts = kinds()[kind]
        parents = parents_of(facts, row)
        if known is not None:
            if parents != parents_of(facts, msgspec.json.decode(known)):
                self._children = None
            return
        for parent in parents:
            index.setdefault(parent, []).append((kind, row["id"]))

    def find(self, kind: str, key: str | None) -> Row | None:
        """Return a row, or None."""
        found = self._rows[kind].get(key) if key is not None else None
        return None if found is None else msgspec.json.decode(found)

    def has(self, kind: str, key: str) -> bool:
        """Say whether a row is here."""
        return key in self._rows[kind]

    def of(self, kind: str) -> Iterator[Row]:
        """Read the rows of a kind."""
        for raw in list(self._rows[kind].values()):
            yield msgspec.json.decode(raw)

    def raw(self) -> Iterator[tuple[str, str, bytes]]:
        """Read everything: kind, identifier and the row as JSON."""
        for kind, rows in self._rows.items():
            for key, raw in rows.items():
                yield kind, key, raw

    def spot(self, kind: str, key: str) -> Spot:
        """Return where a row was read."""
        return self._spots[kind, key]

    def keys(self, kind: str) -> list[str]:
        """Return the identifiers of a kind."""
        return list(self._rows[kind])

    def drop(self, kind: str, key: str) -> None:
        """Forget a row."""
        self._rows[kind].pop(key, None)

    def children(self, parent: str, key: str, kind: str) -> list[Row]:
        """Return the rows of a kind that belong to a row, in the order in which they came."""
        if self._children is None:
            self._children = self._index()
        found = (self.find(k, i) for k, i in self._children.get((parent, key), ()) if k == kind)
        return [row for row in found if row is not None]

    def _index(self) -> _Index:
        index: _Index = {}
        for kind in kinds().values():
            for row in self.of(kind.name):
                for parent in parents_of(kind, row):
                    index.setdefault(parent, []).append((kind.name, row["id"]))
        return index

    # --- while reading ----------------------------------------------------------------------------

    def merge(self, kind: Kind, row: Row, spot: Spot, report: Report) -> str:
        """Keep a row that may have come before, told in part; return its identifier.

        One that already belongs to another parent of the same kind is kept a second time, under an
        identifier made of both.
        """
        known = self.find(kind.name, row["id"])
        if known is not None:
            for parent, column in kind.of.items():
                if column in row and known.get(column, row[column]) != row[column]:
                    report.note(spot, f"{kind.name}.{column}", "shared")
                    own = str(uuid5(UUID(row["id"]), f"{parent}/{row[column]}"))
                    return self.merge(kind, {**row, "id": own}, spot, report)
            for name in row.keys() & known.keys():
                if row[name] != known[name]:
                    report.add(spot, name, "told-differently")
            if row.keys() <= known.keys():
                return str(row["id"])
            spot = self.spot(kind.name, row["id"])
        self.put(kind.name, {**(known or {}), **row}, spot)
        return str(row["id"])

    def check(self, report: Report, *, nested: bool) -> None:
        """Check how the objects hang together: links that name nothing, and circles."""
        parents: dict[_Key, _Key] = {}
        for kind in kinds().values():
            for row in self.of(kind.name):
                spot = self.spot(kind.name, row["id"])
                self._check_links(kind, row, spot, report, nested=nested)
                for column, named in kind.links.items():
                    if named == kind.name and column in row:
                        parents[named, row["id"]] = named, row[column]
        for name, key in _circles(parents):
            report.add(self.spot(name, key), "parent", "cycle")

    def _check_links(
        self, kind: Kind, row: Row, spot: Spot, report: Report, *, nested: bool
    ) -> None:
        for column, named, key in ((c, n, row.get(c)) for c, n in kind.links.items()):
            if key is None or key in self._rows[named]:
                continue
            if nested and column in _SOFT:
                report.note(spot, f"{kind.name}.{column}", "parent-elsewhere")
            else:
                report.add(spot, column, "names-nothing")
        if kind.anywhere is not None:
            self._check_anywhere(kind, row, spot, report)
        elif kind.of and not parents_of(kind, row) and kind.name != "location":
            report.note(spot, kind.name, "belongs-nowhere")

    def _check_anywhere(self, kind: Kind, row: Row, spot: Spot, report: Report) -> None:
        column, of_kind = kind.anywhere or ("", "")
        if column not in row:
            report.note(spot, kind.name, "belongs-nowhere")
        elif row.get(of_kind) not in kinds():
            report.add(spot, of_kind, "unknown-code", "The name of a kind, such as service")
        elif row[column] not in self._rows[row[of_kind]]:
            report.add(spot, column, "names-nothing")


def _circles(parents: Mapping[_Key, _Key]) -> Iterator[_Key]:
    """Give one object of each circle; objects are kind and identifier."""
    done: set[_Key] = set()
    for start in parents:
        path: set[_Key] = set()
        at = start
        while at in parents and at not in done and at not in path:
            path.add(at)
            at = parents[at]
        if at in path:
            yield at
        done |= path


def parents_of(kind: Kind, row: Row) -> list[tuple[str, str]]:
    """Return what a row belongs to: kinds and identifiers."""
    found = [(parent, row[column]) for parent, column in kind.of.items() if column in row]
    if kind.anywhere is not None and {*kind.anywhere} <= row.keys():
        found.append((str(row[kind.anywhere[1]]), row[kind.anywhere[0]]))
    return found
