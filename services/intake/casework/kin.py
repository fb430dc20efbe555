"""Which cases belong together, purely: a report split into several, two linked by a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from services.intake.casework.course import must_be_open, told
from services.intake.casework.tasks import NO_ONE, Orders, Task
from shared.errors import Conflict
from shared.events import ConsentState, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from shared.events import CaseFacts, Draft

_GONE: Final = ("erased",)


@dataclass(frozen=True, slots=True)
class Found:
    """A person who became known: coarse, as an event may tell it. `household` is a label."""

    age: int | None = None
    sex: str = "unknown"
    languages: tuple[str, ...] = ()
    support: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    household: str | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """What a split comes to. `stays` says whether the case itself now is that of the first."""

    facts: CaseFacts
    stays: bool
    new: tuple[tuple[UUID, CaseFacts], ...]
    drafts: tuple[Draft, ...]
    orders: tuple[tuple[UUID, Orders, CaseFacts], ...]


def stays_first(facts: CaseFacts, found: int) -> bool:
    """Say whether the case itself becomes that of the first person found.

    A place stays a case about a place, and a case of more persons than were found stays theirs.
    """
    return facts.about == "person" and found >= (facts.count_max or facts.count)


def split(
    case_id: UUID,
    facts: CaseFacts,
    found: Sequence[Found],
    new_ids: Sequence[UUID],
    households: Mapping[str, UUID],
) -> Split:
    """Split a case into those of the persons found; it remains one report.

    Each new case knows of the same conflicts and the same urgency, and of no consent: each person
    is asked. Those of one household stay together. `new_ids` are as many as are needed.

    Raises:
        Conflict: the case is not open, came out of a split itself, or there is nothing to split.

    """
    must_be_open(facts)
    if facts.work.split_from is not None:
        raise Conflict("this case came out of a split: a split is not split again")
    stays = stays_first(facts, len(found))
    if stays and facts.work.split_into:
        raise Conflict("this case was split already")
    if facts.about == "person" and len(found) == 1 and stays:
        raise Conflict("one person is one case: there is nothing to split")
    rest = found[1:] if stays else found
    new = tuple(
        (key, _born(facts, person, households, case_id))
        for key, person in zip(new_ids, rest, strict=True)
    )
    ids = [key for key, _ in new]
    left = _first(facts, found[0], households) if stays else _rest(facts, len(found))
    work = msgspec.structs.replace(left.work, split_into=[*facts.work.split_into, *ids])
    left = msgspec.structs.replace(left, work=work)
    drafts = [told(case_id, "case-split", left, Step(cases=ids, count=len(found)))]
    if stays:
        drafts.append(told(case_id, "case-updated", left))
    drafts += [told(key, "case-created", born) for key, born in new]
    open_tasks = Orders((Task("assign", urgency=facts.urgency),))
    orders = [] if facts.test else [(key, open_tasks, born) for key, born in new]
    if stays:
        orders.append((case_id, Orders(ends=(("split", NO_ONE),)), left))
    return Split(left, stays, new, tuple(drafts), tuple(orders))


def _kept(person: Found, facts: CaseFacts, households: Mapping[str, UUID]) -> CaseFacts:
    home = households.get(person.household or "")
    return msgspec.structs.replace(
        facts,
        about="person",
        age=person.age,
        sex=person.sex,
        languages=list(person.languages) or facts.languages,
        support=list(person.support),
        needs=list(person.needs) or facts.needs,
        household_id=home or facts.household_id,
        keep_together=home is not None or facts.keep_together,
        places_needed=1,
        count=1,
        count_max=None,
    )


def _born(
    facts: CaseFacts, person: Found, households: Mapping[str, UUID], origin: UUID
) -> CaseFacts:
    work = msgspec.structs.replace(facts.work, split_from=origin, split_into=[], linked=[])
    return msgspec.structs.replace(
        _kept(person, facts, households),
        status="open",
        consent=ConsentState(),
        entitled=True,
        reason=None,
        feedback=None,
        read=None,
        work=work,
    )


def _first(facts: CaseFacts, person: Found, households: Mapping[str, UUID]) -> CaseFacts:
    return msgspec.structs.replace(_kept(person, facts, households), status="open", entitled=True)


def _rest(facts: CaseFacts, found: int) -> CaseFacts:
    least = 0 if facts.about == "place" else 1
    most = max(least, (facts.count_max or facts.count) - found)
    left = max(least, facts.count - found)
    places = max(1, facts.places_needed - found)
    known = most if most > left else None
    return msgspec.structs.replace(facts, count=left, count_max=known, places_needed=places)


def link(
    one: UUID, first: CaseFacts, other: UUID, second: CaseFacts, kind: str
) -> tuple[tuple[UUID, CaseFacts, Draft], ...]:
    """Say, as a person, that two cases belong together; nothing of them is joined.

    Raises:
        Conflict: they are one case, linked already, or one of them is erased.

    """
    if one == other:
        raise Conflict("a case is not linked to itself")
    if first.status in _GONE or second.status in _GONE:
        raise Conflict("one of them is erased")
    if other in first.work.linked:
        raise Conflict("they are linked already")
    return tuple(
        _linked(case_id, facts, "cases-linked", [*facts.work.linked, away], away, kind)
        for case_id, facts, away in ((one, first, other), (other, second, one))
    )


def unlink(
    one: UUID, first: CaseFacts, other: UUID, second: CaseFacts
) -> tuple[tuple[UUID, CaseFacts, Draft], ...]:
    """Take a link back; both are as they were.

    Raises:
        Conflict: they are not linked.

    """
    if other not in first.work.linked:
        raise Conflict("they are not linked")
    return tuple(
        _linked(
            case_id,
            facts,
            "cases-unlinked",
            [k for k in facts.work.linked if k != away],
            away,
            None,
        )
        for case_id, facts, away in ((one, first, other), (other, second, one))
    )


def merge(
    one: UUID, first: CaseFacts, other: UUID, second: CaseFacts
) -> tuple[tuple[UUID, CaseFacts, Draft], ...]:
    """Say, as a person, that two cases are of one person, and that the first is worked on.

    Each keeps its report, referrals, notices, consents and tasks: only a name of the other is
    written into both, so that `unmerge` leaves nothing to put back.

    Raises:
        Conflict: they are one case, one of them is erased or of a place, a trial is merged with
            what is none, one of them is merged already, or the other is offered elsewhere.

    """
    if one == other:
        raise Conflict("a case is not merged with itself")
    if first.status in _GONE or second.status in _GONE:
        raise Conflict("one of them is erased")
    if "place" in (first.about, second.about):
        raise Conflict("a place is not a person: link them")
    if first.test != second.test:
        raise Conflict("one of them is a trial")
    if first.work.merged_into or second.work.merged_into or second.work.merged:
        raise Conflict("one of them is merged already: take that back first")
    if second.work.handover is not None:
        raise Conflict(
            "it is offered or handed over: merge the other way", state=second.work.handover
        )
    kept = _with_work(first, merged=[*first.work.merged, other])
    joined = _with_work(second, merged_into=one)
    return _told_of_both("cases-merged", (one, kept), (other, joined))


def unmerge(
    one: UUID, first: CaseFacts, other: UUID, second: CaseFacts
) -> tuple[tuple[UUID, CaseFacts, Draft], ...]:
    """Take a merge back, from either side.

    Raises:
        Conflict: they are not merged.

    """
    if second.work.merged_into != one and first.work.merged_into == other:
        one, first, other, second = other, second, one, first
    if second.work.merged_into != one:
        raise Conflict("they are not merged")
    kept = _with_work(first, merged=[key for key in first.work.merged if key != other])
    joined = _with_work(second, merged_into=None)
    return _told_of_both("cases-unmerged", (one, kept), (other, joined))


def _with_work(facts: CaseFacts, **work: object) -> CaseFacts:
    return msgspec.structs.replace(facts, work=msgspec.structs.replace(facts.work, **work))


def _told_of_both(
    event: str, kept: tuple[UUID, CaseFacts], joined: tuple[UUID, CaseFacts]
) -> tuple[tuple[UUID, CaseFacts, Draft], ...]:
    return tuple(
        (key, facts, told(key, event, facts, Step(kind=kind, cases=[away])))
        for kind, (key, facts), (away, _) in (("kept", kept, joined), ("joined", joined, kept))
    )


def _linked(
    case_id: UUID, facts: CaseFacts, event: str, linked: list[UUID], away: UUID, kind: str | None
) -> tuple[UUID, CaseFacts, Draft]:
    work = msgspec.structs.replace(facts.work, linked=linked)
    new = msgspec.structs.replace(facts, work=work)
    return case_id, new, told(case_id, event, new, Step(kind=kind, cases=[away]))
