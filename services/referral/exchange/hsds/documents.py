"""HSDS 3 as JSON, to a graph and back, purely.

Read: one object, a list, a page with `contents`, lists under their names (`services`,
`organizations`, or the names of tables), or one object a line. Written: lists under their names;
what several objects name is told in full where it comes first and without its lists afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.referral.exchange.hsds.fields import check_fields, plain
from services.referral.exchange.hsds.kinds import kinds, kinds_by_file
from services.referral.exchange.hsds.report import Spot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from services.referral.exchange.hsds.graph import Graph, Row
    from services.referral.exchange.hsds.kinds import Kind
    from services.referral.exchange.hsds.report import Report

DEEPEST: Final = 12
"""Levels of objects within one another."""

_BROKEN: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)
_PAGE: Final = frozenset(
    ("total_items", "total_pages", "page_number", "size", "first_page", "last_page", "empty")
)
_TELLING: Final = (
    ("service", ("status", "service_at_locations", "organization", "eligibility_description")),
    ("location", ("location_type", "addresses", "latitude")),
    ("service_at_location", ("location", "service")),
    ("taxonomy_term", ("taxonomy", "taxonomy_detail", "taxonomy_details", "parent_id", "term_uri")),
    ("organization", ("legal_status", "organization_identifiers", "locations", "website")),
    ("taxonomy", ("version", "uri")),
    ("organization", ("name",)),
)
"""What tells the kind of an object that stands alone, the surest first."""


class _Reader:
    """Puts nested objects into a graph."""

    def __init__(self, graph: Graph, report: Report) -> None:
        self.graph = graph
        self.report = report

    def take(self, value: Any, spot: Spot, name: str | None = None, depth: int = 0) -> str | None:  # noqa: ANN401
        """Take an object of a kind, or of the kind that it looks like; return its identifier."""
        if not isinstance(value, dict):
            self.report.add(spot, "", "not-an-object")
            return None
        name = name or next((k for k, tell in _TELLING if not value.keys().isdisjoint(tell)), None)
        if name is None:
            self.report.add(spot, "", "unknown-object")
            return None
        if depth > DEEPEST:
            self.report.add(spot, "", "too-deep")
            return None
        return self._take(kinds()[name], value, spot, depth)

    def _take(self, kind: Kind, value: Mapping[str, Any], spot: Spot, depth: int) -> str | None:
        plain = {n: v for n, v in value.items() if n not in kind.holds and n not in kind.lists}
        row = check_fields(kind, plain, spot, self.report, row=False)
        for member, held in kind.holds.items():
            if value.get(member) is not None:
                key = self.take(value[member], spot.within(member), held.kind, depth + 1)
                row.update({held.column: key} if key is not None else {})
        if kind.name == "service" and "organization_id" not in row:
            self.report.note(spot, "service.organization", "no-organization")
        key = self.graph.merge(kind, row, spot, self.report) if "id" in row else None
        for member, child in kind.lists.items():
            listed = value.get(member)
            if listed is None:
                continue
            if not isinstance(listed, list):
                self.report.add(spot, member, "not-a-list")
                continue
            for number, item in enumerate(listed):
                self._take_child(kind, key, child, item, spot.within(f"{member}/{number}"), depth)
        return key

    def _take_child(
        self,
        parent: Kind,
        key: str | None,
        child: str,
        item: Any,  # noqa: ANN401  (any JSON value)
        spot: Spot,
        depth: int,
    ) -> None:
        kind = kinds()[child]
        if isinstance(item, dict) and key is not None:
            if kind.anywhere is not None:
                item = {**item, kind.anywhere[0]: key, kind.anywhere[1]: parent.name}
            else:
                item = {**item, kind.of[parent.name]: key}
        self.take(item, spot, child, depth + 1)


def read_json(
    raw: bytes, graph: Graph, report: Report, progress: Callable[[int], None] = lambda _: None
) -> None:
    """Read a document into a graph; `progress` is told now and then how many objects there are."""
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    reader = _Reader(graph, report)
    for number, (value, spot, name) in enumerate(_items(raw, report), 1):
        try:
            item = msgspec.json.decode(value)
        except _BROKEN:
            report.add(spot, "", "not-json")
            continue
        reader.take(item, spot, name)
        if number % 500 == 0:
            progress(len(graph))


def _items(raw: bytes, report: Report) -> Iterator[tuple[msgspec.Raw | bytes, Spot, str | None]]:
    """Cut a document into objects, still encoded: what, where, and of which kind if it is said."""
    start = raw.lstrip()[:1]
    try:
        if start == b"[":
            for number, item in enumerate(msgspec.json.decode(raw, type=list[msgspec.Raw])):
                yield item, Spot(path=f"/{number}"), None
            return
        whole = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except _BROKEN:
        yield from _lines(raw, report)
        return
    named = {n: kinds_by_file().get(n) for n in whole if n in kinds_by_file() or n == "contents"}
    lists = {
        n: v
        for n, v in whole.items()
        if n in named and bytes(memoryview(v)[:64]).lstrip()[:1] == b"["
    }
    if not lists or "id" in whole:
        yield raw, Spot(path="/"), None
        return
    for name in whole.keys() - lists.keys() - _PAGE:
        report.note(Spot(path="/"), plain(name), "unknown-table")
    for name, listed in lists.items():
        for number, item in enumerate(msgspec.json.decode(listed, type=list[msgspec.Raw])):
            yield item, Spot(path=f"/{name}/{number}"), named[name]


def _lines(raw: bytes, report: Report) -> Iterator[tuple[bytes, Spot, str | None]]:
    lines = raw.splitlines()
    if len(lines) < 2 or not lines[0].strip().endswith(b"}"):  # noqa: PLR2004
        report.add(Spot(path="/"), "", "not-json")
        return
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield line, Spot(row=number), None


# --- Writing --------------------------------------------------------------------------------------


class _Writer:
    """Nests rows; each object is told in full once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.told: set[tuple[str, str]] = set()

    def nest(self, kind: Kind, row: Row, within: str | None = None) -> dict[str, Any]:
        """Return a row with what it names, and at its first time with what belongs to it."""
        first = (kind.name, row["id"]) not in self.told
        self.told.add((kind.name, row["id"]))
        hidden = set(kind.of.values())
        if kind.anywhere is not None:
            hidden.add(kind.anywhere[0])
        nested = {name: value for name, value in row.items() if name not in hidden}
        for member, held in kind.holds.items():
            found = self.graph.find(held.kind, row.get(held.column))
            if found is not None and held.kind != within:
                nested[member] = self.nest(kinds()[held.kind], found)
                nested.pop(held.column, None)
        if first:
            for member, child in kind.lists.items():
                rows = self.graph.children(kind.name, row["id"], child)
                if rows:
                    nested[member] = [self.nest(kinds()[child], r, kind.name) for r in rows]
        return nested


def write_json(graph: Graph) -> Iterator[bytes]:
    """Write a graph as one JSON document, in parts."""
    writer = _Writer(graph)
    yield b'{"version":"3.0"'
    # What holds others comes first, so that each stands in full where one looks for it.
    for name in ("service", "organization", *kinds()):
        kind, begun = kinds()[name], False
        for key in graph.keys(name):
            row = graph.find(name, key)
            if row is None or (name, key) in writer.told:
                continue
            start = b"," if begun else f',"{_plural(kind)}":['.encode()
            begun = True
            yield start + msgspec.json.encode(writer.nest(kind, row))
        if begun:
            yield b"]"
    yield b"}"


def _plural(kind: Kind) -> str:
    return "service_at_locations" if kind.name == "service_at_location" else kind.file


def items_of(told: Iterable[bytes]) -> bytes:
    """Return a document in one piece."""
    return b"".join(told)
