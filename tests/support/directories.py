"""Small directories of every kind, for properties that must hold of all of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from services.referral.eligibility import Offer, Question, Record
from shared import places

AT = datetime(2026, 7, 1, 12, tzinfo=UTC)
KERANIGANJ = "BD30260038"
AREAS = places.ancestors(KERANIGANJ)

_BOTH = frozenset({"shelter", "medical"})

_OF = [
    ("upazila", KERANIGANJ),
    ("upazila", "BD30260072"),
    ("district", "BD3026"),
    ("district", "BD1004"),
    ("division", "BD30"),
    ("country", "BD"),
    ("union", "u1"),
]


def _mostly(odds: list[Any]) -> st.SearchStrategy[Any]:
    """Draw the first, which fits, three times of four: then one fact alone often decides."""
    return st.sampled_from(odds[:1] * 3 * (len(odds) - 1) + odds[1:])


@st.composite
def offers(draw: st.DrawFn) -> list[Offer]:
    found = []
    for number in range(draw(st.integers(0, 12))):
        level, code = draw(st.one_of(st.sampled_from([_OF[0], _OF[2]]), st.sampled_from(_OF)))
        found.append(
            Offer(
                offer_id=str(number),
                provider_id=draw(st.sampled_from("abcd")),
                needs=draw(_mostly([_BOTH, *(frozenset({need}) for need in sorted(_BOTH))])),
                area_level=level,
                area_pcode=code,
                min_age=draw(_mostly([None, 10, 20])),
                max_age=draw(_mostly([None, 12, 60])),
                sex=draw(_mostly(["any", "female", "male"])),
                kinds=draw(
                    _mostly([frozenset({"ngo"}), frozenset({"ngo", "police"}), frozenset()])
                ),
                enrolment=draw(_mostly(["active", "listed"])),
                accepting=draw(_mostly([True, False])),
                serves_hijra=draw(st.sampled_from([None, True, False])),
                accepts_children=draw(_mostly([None, True, False])),
                court_order=draw(_mostly([False, True])),
                places_free=draw(st.one_of(st.none(), st.integers(0, 5))),
                capacity_at=draw(st.sampled_from([None, AT, AT - timedelta(days=40)])),
                open_referrals=draw(st.integers(0, 3)),
                languages=frozenset(draw(st.sets(st.sampled_from(["bn", "rhg"])))),
                schedules=draw(st.sampled_from([(), ("FREQ=WEEKLY;BYDAY=MO|09:00|17:00||",)])),
                max_boy_age_with_mother=draw(st.sampled_from([None, 5])),
                step_free=draw(st.sampled_from([None, True, False])),
                trained_until=draw(_mostly([None, date(2026, 6, 1)])),
                records=draw(st.sampled_from([(), (("shelter", Record(1, 4, 30.0, 2)),)])),
            )
        )
    return found


questions = st.builds(
    Question,
    need=st.sampled_from(["shelter", "medical"]),
    areas=_mostly([AREAS, AREAS[1:], ("BD",)]),
    age=_mostly([15, None, 5, 40]),
    sex=st.sampled_from(["female", "male", "hijra", "not_said", "unknown"]),
    places_needed=st.integers(1, 4),
    excluded=_mostly([frozenset(), frozenset({"a"}), frozenset({"b", "police"})]),
    languages=st.sampled_from([frozenset(), frozenset({"rhg"})]),
    support=_mostly([frozenset(), frozenset({"step_free"})]),
    boys=_mostly([(), (8,)]),
    tried=_mostly([frozenset(), frozenset({"0"}), frozenset({"1", "2"})]),
)
