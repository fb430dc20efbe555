"""Small directories of every kind, for properties that must hold of all of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import strategies as st

from services.referral.eligibility import Offer, Question, Record
from shared import places

AT = datetime(2026, 7, 1, 12, tzinfo=UTC)
KERANIGANJ = "BD30260038"
AREAS = places.ancestors(KERANIGANJ)

_OF = [
    ("upazila", KERANIGANJ),
    ("upazila", "BD30260072"),
    ("district", "BD3026"),
    ("district", "BD1004"),
    ("division", "BD30"),
    ("country", "BD"),
    ("union", "u1"),
]
_ages = st.one_of(st.none(), st.integers(0, 80))


@st.composite
def offers(draw: st.DrawFn) -> list[Offer]:
    found = []
    for number in range(draw(st.integers(0, 12))):
        level, code = draw(st.sampled_from(_OF))
        found.append(
            Offer(
                offer_id=str(number),
                provider_id=draw(st.sampled_from("abcd")),
                needs=frozenset(draw(st.sets(st.sampled_from(["shelter", "medical"]), min_size=1))),
                area_level=level,
                area_pcode=code,
                min_age=draw(_ages),
                max_age=draw(_ages),
                sex=draw(st.sampled_from(["any", "female", "male"])),
                kinds=frozenset(draw(st.sets(st.sampled_from(["ngo", "police"])))),
                enrolment=draw(st.sampled_from(["active", "active", "listed"])),
                accepting=draw(st.booleans()),
                serves_hijra=draw(st.sampled_from([None, True, False])),
                accepts_children=draw(st.sampled_from([None, True, False])),
                court_order=draw(st.booleans()),
                places_free=draw(st.one_of(st.none(), st.integers(0, 5))),
                capacity_at=draw(st.sampled_from([None, AT, AT - timedelta(days=40)])),
                open_referrals=draw(st.integers(0, 3)),
                languages=frozenset(draw(st.sets(st.sampled_from(["bn", "rhg"])))),
                schedules=draw(st.sampled_from([(), ("FREQ=WEEKLY;BYDAY=MO|09:00|17:00||",)])),
                max_boy_age_with_mother=draw(st.sampled_from([None, 5])),
                step_free=draw(st.sampled_from([None, True, False])),
                trained_until=draw(st.sampled_from([None, date(2026, 6, 1)])),
                records=draw(st.sampled_from([(), (("shelter", Record(1, 4, 30.0, 2)),)])),
            )
        )
    return found


questions = st.builds(
    Question,
    need=st.sampled_from(["shelter", "medical"]),
    areas=st.sampled_from([AREAS, AREAS[1:], ("BD",)]),
    age=_ages,
    sex=st.sampled_from(["female", "male", "hijra", "not_said", "unknown"]),
    places_needed=st.integers(1, 4),
    excluded=st.frozensets(st.sampled_from(["a", "b", "police"])),
    languages=st.sampled_from([frozenset(), frozenset({"rhg"})]),
    support=st.sampled_from([frozenset(), frozenset({"step_free"})]),
    boys=st.sampled_from([(), (8,)]),
    tried=st.frozensets(st.sampled_from(["0", "1", "2"])),
)
