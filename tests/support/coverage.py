"""Who serves where: each district and metropolitan thana × each need, by routing itself.

`python -m tests.support.coverage` writes the table anew after the directory or a rule changed.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from services.referral.directory import offers_of, providers_of, read_profile
from services.referral.eligibility import Offer
from services.referral.routing import Decision, route
from services.referral.widening import MOST, may_be_asked, rings
from services.referral.world import Change, World, question_for
from shared import places
from shared.events import CaseFacts
from shared.vocabulary import Enrolment, Need

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE: Final = Path(__file__).parents[1] / "data" / "coverage.txt"
AT: Final = datetime(2026, 7, 1, 6, tzinfo=UTC)  # a Wednesday at noon in Dhaka
NEEDS: Final = tuple(str(need) for need in Need)
PERSONS: Final = {"girl": (15, "female"), "boy": (15, "male"), "woman": (30, "female")}

_HEAD: Final = """\
Who serves where, as routing sees the offices of the directory (services/referral/data/offices.csv),
all of them active, for a girl of 15, a boy of 15 and a woman of 30. One column a need, one line a
district or metropolitan thana:
  .  a machine may choose somebody for each of the three
  p  for one of them at least a person must choose, release or call
  b  nobody for the boy      g  nobody for the girl      w  nobody for the woman
  c  nobody for the children      x  for the girl only      f  for the boy only
  N  nobody serves any of them: the referral waits and people are told
`wider` counts the waiting ones for which somebody farther away may be asked.
Written by `python -m tests.support.coverage`; a test holds it to be fresh.
"""


def load_world() -> World:
    """Return the offices of the whole country, as routing reads them."""
    world = World({})
    rows = list(read_profile("pilot"))
    kinds = {p["provider_id"]: frozenset(p["kinds"].split(";")) for p in providers_of(rows)}
    for row in offers_of(rows, Enrolment.ACTIVE):
        offer = _offer(row, kinds[row["provider_id"]])
        world.offers[offer.offer_id] = offer
        for need in offer.needs:
            world.by_area.setdefault((need, offer.area_pcode), []).append(offer.offer_id)
    return world


def _offer(row: dict[str, Any], kinds: frozenset[str]) -> Offer:
    names = ["offer_id", "provider_id", "area_level", "area_pcode", "min_age", "max_age", "sex"]
    names += ["enrolment", "serves_hijra", "accepts_children", "court_order", "mode"]
    return Offer(
        **{name: row[name] for name in names},
        needs=frozenset(row["needs"].split(";")),
        kinds=kinds,
        languages=frozenset(row["languages"].split(";")),
        schedules=tuple(row["schedules"].split("\n")) if row["schedules"] else (),
    )


def places_of() -> list[places.Place]:
    """Return the 64 districts and 61 metropolitan thanas, in the order of their names."""
    wanted = (places.Level.DISTRICT, places.Level.THANA)
    found = [p for p in places.all_places().values() if p.level in wanted]
    return sorted(found, key=lambda p: (wanted.index(p.level), p.name_en, p.pcode))


def facts_of(place: places.Place, need: str, person: str) -> CaseFacts:
    """Return a case of one of the three at a place."""
    age, sex = PERSONS[person]
    district = places.district_of(place.pcode)
    upazila = place.pcode if place.level is places.Level.THANA else None
    return CaseFacts(
        report_id=UUID(int=0),
        channel="helpline",
        age=age,
        sex=sex,
        upazila=upazila,
        district=district,
        needs=[need],
    )


def decide(world: World, place: places.Place, need: str, person: str) -> tuple[Decision, bool]:
    """Route a case; return the decision, and whether somebody farther away may be asked."""
    question = question_for(facts_of(place, need, person), need)
    decision = route(question, world.candidates(question, Change()), AT)
    if decision.ranking or decision.open_to_persons:
        return decision, False
    for ring in rings(question, decision.policy.widen):
        ids = [i for area in ring for i in world.by_area.get((need, area), ())][:MOST]
        if may_be_asked(question, [world.offers[i] for i in ids], AT):
            return decision, True
    return decision, False


def render() -> str:
    """Return the whole table."""
    world = load_world()
    lines = [_HEAD]
    lines += [f"{letter(number)}  {need}" for number, need in enumerate(NEEDS)]
    counts: Counter[str] = Counter()
    lines += ["", " " * 34 + "".join(letter(n) for n in range(len(NEEDS)))]
    for place in places_of():
        cells = ""
        for need in NEEDS:
            met = {who: decide(world, place, need, who) for who in PERSONS}
            cells += _cell({who: decision for who, (decision, _) in met.items()})
            counts["wider"] += sum(wider for _, wider in met.values())
        counts.update(cells)
        lines.append(f"{place.pcode:<10} {place.name_en:<22} {cells}")
    total = ", ".join(f"{key} {counts[key]}" for key in (*".pbgwcxfN", "wider"))
    return "\n".join([*lines, "", f"In all: {total}", *_nobody(world), ""])


_SIGNS: Final = {
    frozenset({"boy"}): "b",
    frozenset({"girl"}): "g",
    frozenset({"woman"}): "w",
    frozenset({"girl", "boy"}): "c",
    frozenset({"boy", "woman"}): "x",
    frozenset({"girl", "woman"}): "f",
}


def letter(number: int) -> str:
    """Return the head of a column: A to Z, then a, b."""
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZab"[number]


def _cell(met: dict[str, Decision]) -> str:
    waits = {who for who, d in met.items() if not d.ranking and not d.open_to_persons}
    if len(waits) == len(met):
        return "N"
    if waits:
        return _SIGNS[frozenset(waits)]
    return "." if all(d.ranking for d in met.values()) else "p"


def _nobody(world: World) -> Iterator[str]:
    offered = {need for need, _ in world.by_area}
    missing = [need for need in NEEDS if need not in offered]
    yield f"Needs that no office of the whole country offers: {', '.join(missing) or 'none'}"


def main() -> None:
    """Write the table."""
    TABLE.write_text(render(), "utf-8")


if __name__ == "__main__":
    main()
