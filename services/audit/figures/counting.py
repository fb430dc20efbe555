"""Counts persons into cells, and says how the cells hang together.

Every cell counts persons (cases), never referrals: ten referrals of one child are one. A `Line`
says that one cell is the sum of others; together they are all that can be computed from one cell
about another. A cell that is `unshown` is on no table, but could be computed (those who were
planned a help and had none accepted), so it is guarded like the others.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from services.audit.figures.person import CENTRE
from shared import places
from shared.vocabulary import Channel, Concern, Need, Sex

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from uuid import UUID

    from services.audit.figures.person import Person

ALL: Final = "all"
UNKNOWN: Final = "unknown"

STEPS: Final = ("cases", "planned", "accepted", "delivered")
"""Each is a part of the one before it; every grouping has these."""

PARTS: Final = ("division", "age", "sex", "channel", "initiative")
"""Groupings in which each person is in one group."""

BANDS: Final = ((0, "0-5"), (6, "6-11"), (12, "12-14"), (15, "15-17"), (18, "18+"))
"""Age bands by their first year, as consent has them."""


KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "age": (*(band for _, band in BANDS), UNKNOWN),
    "sex": tuple(map(str, Sex)),
    "channel": tuple(map(str, Channel)),
    "concern": tuple(map(str, Concern)),
    "need": tuple(map(str, Need)),
    "initiative": (CENTRE,),
}
"""Groups that a table has whether anybody is in them or not: else a row says that somebody is."""


class Cell(NamedTuple):
    """How many persons of a group of a grouping (`by`) are counted as something (`what`)."""

    what: str
    by: str = ALL
    group: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """`total` is the sum of `parts`."""

    total: Cell
    parts: tuple[Cell, ...]


@dataclass(slots=True)
class Counted:
    """The cells of one quarter, which of them are on no table, and what binds them.

    `families` is in how many families the persons of a cell are, at most: five siblings are one.
    `waits` are the hours until somebody first said yes to a person, by district.
    """

    cells: dict[Cell, int] = field(default_factory=dict)
    families: dict[Cell, int] = field(default_factory=dict)
    unshown: set[Cell] = field(default_factory=set)
    lines: list[Line] = field(default_factory=list)
    waits: dict[str, list[float]] = field(default_factory=dict)


def band_of(age: int | None) -> str:
    """Return the age band of an age in whole years."""
    if age is None:
        return UNKNOWN
    return next(band for first, band in reversed(BANDS) if age >= first or first == 0)


def count(persons: Iterable[Person], districts: Mapping[str, str] | None = None) -> Counted:
    """Count persons; `districts` are all districts with their division (the country's)."""
    divided = districts_of_the_country() if districts is None else districts
    tally: Counter[Cell] = Counter()
    related: Counter[Cell] = Counter()
    seen: set[tuple[Cell, UUID]] = set()
    found = Counted()
    for person in persons:
        if not person.counts:
            continue
        for cell in _cells_of(person, divided):
            tally[cell] += 1
            if person.household is not None:
                related[cell] += (cell, person.household) in seen
                seen.add((cell, person.household))
        _wait(found.waits, person, divided)
    _bind(found, tally, related, divided)
    return found


def districts_of_the_country() -> dict[str, str]:
    """Return every district with its division."""
    return {
        place.pcode: place.parent or ""
        for place in places.all_places().values()
        if place.level is places.Level.DISTRICT
    }


def _cells_of(person: Person, divided: Mapping[str, str]) -> Iterator[Cell]:
    """Yield every cell that counts a person, each once."""
    helps = person.helps.values()
    reached = {
        "cases": True,
        "planned": bool(person.helps),
        "assigned": any(h.assigned for h in helps),
        "accepted": any(h.accepted for h in helps),
        "contacted": any(h.contacted for h in helps),
        "delivered": any(h.delivered for h in helps),
        "declined": any(h.declined for h in helps),
        "failed": any(h.failed for h in helps),
    }
    district = person.district if person.district in divided else None
    division = divided[district] if district else UNKNOWN
    groups = [
        ("division", division),
        ("district", district or UNKNOWN),
        ("age", band_of(person.age)),
        ("sex", person.sex if person.sex in KNOWN["sex"] else UNKNOWN),
        ("channel", person.channel or UNKNOWN),
        ("initiative", person.initiative),
        *(("concern", each) for each in set(person.concerns) or {"unsure"}),
    ]
    for what, so in reached.items():
        if so:
            yield Cell(what)
            if what in STEPS:
                yield from (Cell(what, by, group) for by, group in groups)
    for need, help_ in person.helps.items():
        for what in ("planned", "accepted", "delivered"):
            if getattr(help_, what):
                yield Cell(what, "need", need)
        if not help_.accepted:
            yield Cell("unserved", "need", need)
            yield Cell("unserved", "need-division", f"{need} {division}")


def _wait(waits: dict[str, list[float]], person: Person, divided: Mapping[str, str]) -> None:
    """Note how long a person waited for the first yes, once, whatever the number of needs."""
    planned = [help_.planned for help_ in person.helps.values() if help_.planned]
    accepted = [help_.accepted for help_ in person.helps.values() if help_.accepted]
    if planned and accepted and person.district in divided:
        hours = (min(accepted) - min(planned)).total_seconds() / 3600
        waits.setdefault(str(person.district), []).append(hours)


def _bind(
    found: Counted, tally: Counter[Cell], related: Counter[Cell], divided: Mapping[str, str]
) -> None:
    """Make every cell that a table has, and the lines between them."""
    groups = {by: list(KNOWN.get(by, ())) for by in (*PARTS, "concern", "need")}
    for cell in sorted(tally):
        if cell.by in groups:
            groups[cell.by] = [*dict.fromkeys((*groups[cell.by], cell.group))]
    groups["division"] = [*sorted(set(divided.values())), UNKNOWN]
    groups["district"] = [*sorted(divided), UNKNOWN]
    _everybody(found, tally)
    for by in (*PARTS, "district", "concern"):
        for group in groups[by]:
            chain = [Cell(what, by, group) for what in STEPS]
            found.cells.update((cell, tally[cell]) for cell in chain)
            _nest(found, chain)
    for what in STEPS:
        _group(found, what, groups)
        _place(found, what, groups, divided)
    for need in groups["need"]:
        _need(found, tally, need, groups["division"])
    _relate(found, tally, related)


def _relate(found: Counted, tally: Counter[Cell], related: Counter[Cell]) -> None:
    """Say in how many families the persons of each cell are."""
    found.families = {cell: tally[cell] - related[cell] for cell in found.cells}
    for line in found.lines:
        rest = line.parts[-1]
        if rest in found.unshown:
            # Not told apart: as many as only the whole has, and one where anybody is.
            apart = found.families[line.total] - found.families[line.parts[0]]
            found.families[rest] = max(apart, min(1, found.cells[rest]))


def _everybody(found: Counted, tally: Counter[Cell]) -> None:
    """Make the cells of all persons together; not every help that was given began with a call."""
    chain = [Cell(what) for what in ("cases", "planned", "assigned", "accepted", "contacted")]
    aside = [(Cell("accepted"), Cell("delivered")), (Cell("assigned"), Cell("declined"))]
    aside.append((Cell("accepted"), Cell("failed")))
    for cell in (*chain, *(part for _, part in aside)):
        found.cells[cell] = tally[cell]
    _nest(found, chain)
    for whole, part in aside:
        _part(found, whole, part)


def _group(found: Counted, what: str, groups: Mapping[str, list[str]]) -> None:
    """Bind groups to everybody: a person is in one of each grouping, of concerns in several."""
    for by in PARTS:
        parts = tuple(Cell(what, by, group) for group in groups[by])
        if parts:
            found.lines.append(Line(Cell(what), parts))
    for group in groups["concern"]:
        _part(found, Cell(what), Cell(what, "concern", group))


def _place(
    found: Counted, what: str, groups: Mapping[str, list[str]], divided: Mapping[str, str]
) -> None:
    """Bind the districts of each division to it."""
    for division in groups["division"]:
        inside = [d for d in groups["district"] if divided.get(d, UNKNOWN) == division]
        parts = tuple(Cell(what, "district", each) for each in inside)
        found.lines.append(Line(Cell(what, "division", division), parts))


def _need(found: Counted, tally: Counter[Cell], need: str, divisions: Iterable[str]) -> None:
    """Make the cells of a need: planned, accepted, delivered, and unserved by division."""
    planned, accepted, delivered, unserved = (
        Cell(what, "need", need) for what in ("planned", "accepted", "delivered", "unserved")
    )
    apart = tuple(Cell("unserved", "need-division", f"{need} {one}") for one in divisions)
    for cell in (planned, accepted, delivered, unserved, *apart):
        found.cells[cell] = tally[cell]
    found.lines.append(Line(planned, (accepted, unserved)))
    found.lines.append(Line(unserved, apart))
    _part(found, accepted, delivered)
    _part(found, Cell("planned"), planned)
    _part(found, Cell("accepted"), accepted)
    _part(found, Cell("delivered"), delivered)


def _nest(found: Counted, chain: list[Cell]) -> None:
    for whole, part in itertools.pairwise(chain):
        _part(found, whole, part)


def _part(found: Counted, whole: Cell, part: Cell) -> None:
    """Bind a part to its whole: whoever is in the whole and not in the part is a cell too."""
    rest = Cell(f"{whole.what} not {part.what}", part.by, part.group)
    found.cells[rest] = found.cells[whole] - found.cells[part]
    found.unshown.add(rest)
    found.lines.append(Line(whole, (part, rest)))
