"""The steps of telling, purely: what each reads from its form, and which one comes next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from services.intake.pages.public.told import (
    ABROAD,
    AGES,
    HOURS,
    MOST,
    SEXES,
    Person,
    Told,
    number_of,
)
from shared import places
from shared.pages.words import N_
from shared.vocabulary import Concern, Need

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.pages.forms import Form

STEPS: Final = ("now", "who", "people", "where", "which", "what", "agree", "contact", "review")
NUMBERS: Final = {
    "now": 1,
    "who": 2,
    "people": 2,
    "where": 3,
    "which": 3,
    "what": 4,
    "agree": 5,
    "contact": 5,
}
"""The five steps as somebody counts them; some have a second screen."""

SURE: Final = 80
"""The score from which a place is taken as it was typed, if no other has it too."""

OFFERED: Final = 8
LONGEST: Final = 20_000
SHORT: Final = 200

CONCERNS: Final = tuple(
    code
    for code in Concern
    if code not in (Concern.ORGAN_REMOVAL, Concern.SMUGGLING, Concern.SELF_HARM_RISK)
)
"""What is offered to be ticked; everything can be said in words."""

NEEDS: Final = (
    Need.MEDICAL,
    Need.SHELTER,
    Need.RESCUE,
    Need.PSYCHOSOCIAL,
    Need.LEGAL_AID,
    Need.FAMILY_TRACING,
    Need.EDUCATION,
    Need.FOOD_AND_ITEMS,
    Need.CIVIL_DOCUMENTS,
    Need.SAFE_MIGRATION,
    Need.DISABILITY_SUPPORT,
    Need.ONLINE_CONTENT_REMOVAL,
    Need.INFORMATION,
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a step took; `error` names a field and says what is wrong with it."""

    told: Told
    error: tuple[str, str] | None = None


def take(step: str, form: Form, told: Told) -> Taken:
    """Return what is told after a step's form; a step that does not exist takes nothing."""
    reader = _READERS.get(step)
    return reader(form, told) if reader else Taken(told)


def after(step: str, told: Told) -> str:
    """Return the step that comes next; every step has one, the last is the review."""
    return next(one for one in STEPS[STEPS.index(step) + 1 :] if _is_asked(one, told))


def before(step: str, told: Told) -> str | None:
    """Return the step that came before, None at the first."""
    earlier = STEPS[: STEPS.index(step)]
    return next((one for one in reversed(earlier) if _is_asked(one, told)), None)


def offered(told: Told) -> list[str]:
    """Return codes of places to choose from when what was typed is not sure, best first.

    A district alone offers its upazilas and thanas. Empty: there is nothing to ask.
    """
    inside = told.district if told.district != ABROAD else ""
    if told.pcode or told.district == ABROAD:
        return []
    if told.place:
        found = [c for c in places.resolve(told.place) if not inside or inside in _above(c.pcode)]
        best = [c.pcode for c in found if c.score >= max(found[0].score - 15, 50)]
        return best[:OFFERED] or (_inside(inside) if inside else [])
    return _inside(inside) if inside else []


def _above(pcode: str) -> tuple[str, ...]:
    return places.ancestors(pcode)


def _inside(district: str) -> list[str]:
    found = [p for p in places.all_places().values() if p.parent == district]
    return [place.pcode for place in sorted(found, key=lambda one: one.name_en)]


def _settled(told: Told) -> Told:
    """Take the place that was typed when it is sure and no other place is as likely."""
    inside = told.district if told.district != ABROAD else ""
    if not told.place or told.district == ABROAD:
        return told
    found = [c for c in places.resolve(told.place) if not inside or inside in _above(c.pcode)]
    if found and found[0].score >= SURE and (len(found) == 1 or found[1].score < found[0].score):
        return replace(told, pcode=found[0].pcode)
    return told


def _is_asked(step: str, told: Told) -> bool:
    if step == "people":
        return told.about_people
    if step == "which":
        return bool(offered(told))
    if step == "contact":
        return told.contact in ("sms", "call")
    return True


def _now(form: Form, told: Told) -> Taken:
    return Taken(replace(told, danger=_one(form.get("danger"), ("yes", "no", "unsure"))))


def _who(form: Form, told: Told) -> Taken:
    said = _one(form.get("who"), ("self", "one", "several", "place", "unsure"))
    persons = told.persons
    if said in ("self", "one"):
        persons = (persons or (Person(),))[:1]
    elif said == "several":
        persons = (*persons, Person(), Person())[: max(2, len(persons))]
    else:
        persons = ()
    return Taken(replace(told, who=said, persons=persons))


def _people(form: Form, told: Told) -> Taken:
    count = len(told.persons)
    persons = [
        Person(_one(form.get(f"age{n}"), AGES), _one(form.get(f"sex{n}"), SEXES))
        for n in range(count)
    ]
    if form.get("go") == "add" and count < MOST:
        persons.append(Person())
    if form.get("go") == "fewer" and count > 1:
        persons.pop()
    return Taken(replace(told, persons=tuple(persons)))


def _where(form: Form, told: Told) -> Taken:
    place, district = form.get("place")[:SHORT], form.get("district")
    if district != ABROAD and (places.find(district) is None or len(district) > len("BD0000")):
        district = ""
    if (place, district) == (told.place, told.district):
        return Taken(told)
    return Taken(_settled(replace(told, place=place, district=district, pcode="")))


def _which(form: Form, told: Told) -> Taken:
    return Taken(replace(told, pcode=_one(form.get("which"), tuple(offered(told)))))


def _what(form: Form, told: Told) -> Taken:
    concerns = tuple(code for code in form.all("concern") if code in CONCERNS)
    needs = tuple(code for code in form.all("need") if code in NEEDS)
    words = form.get("words")[:LONGEST]
    return Taken(replace(told, concerns=concerns, needs=needs, words=words))


def _agree(form: Form, told: Told) -> Taken:
    return Taken(
        replace(
            told,
            agreed=_one(form.get("agreed"), ("yes", "no", "later")),
            aware=_one(form.get("aware"), ("yes", "no", "unsure")),
            contact=_one(form.get("contact"), ("no", "sms", "call")),
        )
    )


def _contact(form: Form, told: Told) -> Taken:
    if form.get("go") == "skip":
        return Taken(replace(told, contact="no", number=""))
    told = replace(
        told,
        number=form.get("number")[:SHORT],
        hours=tuple(name for name in form.all("hours") if name in HOURS),
        ask_for=form.get("ask_for")[:SHORT],
        agreed_word=form.get("agreed_word")[:SHORT],
        shared=_one(form.get("shared"), ("yes", "no", "unsure")),
    )
    if number_of(told.number) is None:
        text = N_("This is not a whole phone number. A number here looks like 01712 345678.")
        return Taken(told, ("number", text))
    return Taken(told)


def _one(said: str, allowed: tuple[str, ...]) -> str:
    return said if said in allowed else ""


_READERS: Final[dict[str, Callable[[Form, Told], Taken]]] = {
    "now": _now,
    "who": _who,
    "people": _people,
    "where": _where,
    "which": _which,
    "what": _what,
    "agree": _agree,
    "contact": _contact,
}
