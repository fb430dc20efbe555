"""What a report says about its cases: nothing guessed, nothing released by a machine's reading."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.intake.domain import Submission, age_of, consent_of, open_cases, place_of
from services.intake.preparing import _coarse
from services.intake.reading import read
from services.intake.report import ReportIn
from services.intake.triage import Triage, triage
from shared import places
from shared.errors import Conflict
from shared.events import CaseFacts

AT = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)


def submission(*, entitled: bool = False, cases: int = 1, **body: Any) -> Submission:
    body = {"channel": "web", **body}
    report = ReportIn.model_validate(body).model_dump(mode="json", by_alias=True)
    ids = tuple(uuid4() for _ in range(cases))
    return Submission(uuid4(), body["channel"], ids, _coarse(report), entitled, AT, test=False)


def one(found: Submission, text: str | None = None) -> CaseFacts:
    reading = None if text is None else read(text, today=date(2026, 11, 25))
    return open_cases(found, reading, AT)[0][1]


@pytest.mark.parametrize(
    ("age", "known"),
    [
        (None, None),
        ({"min": 14, "max": 14}, 14),
        ({"min": 14, "max": 16}, 15),
        ({"min": 15, "max": None}, 15),
        ({"min": None, "max": 12}, 12),
        ({"min": 15, "max": 19}, None),
        ({"min": 5, "max": 12}, None),
        ({"min": 18, "max": 20}, 19),
    ],
)
def test_an_age_range_gives_one_age_or_none(age: dict[str, Any] | None, known: int | None) -> None:
    assert age_of(age) == known


def test_help_is_needed_where_the_person_is_now() -> None:
    given = [
        {"role": "home", "pcode": "BD30260072"},
        {"role": "now", "pcode": "BD30260038"},
    ]
    assert place_of(given) == ("BD30260038", "BD3026")


def test_a_place_abroad_is_not_where_help_can_be_given() -> None:
    given: list[dict[str, Any]] = [
        {"role": "now", "country": "IN", "pcode": None},
        {"role": "home", "pcode": "BD30260038"},
    ]
    assert place_of(given) == ("BD30260038", "BD3026")


def test_a_district_alone_leaves_the_upazila_unknown() -> None:
    assert place_of([{"role": "event", "pcode": "BD2022"}]) == (None, "BD2022")


def test_each_person_at_risk_gets_a_case_and_they_are_kept_together() -> None:
    found = submission(
        cases=2,
        persons=[
            {"ref": "a", "age": {"min": 9, "max": 9}, "with": [{"ref": "b"}]},
            {"ref": "b", "age": {"min": 7, "max": 7}},
        ],
    )
    cases = open_cases(found, None, AT)
    assert [facts.age for _, facts, _ in cases] == [9, 7]
    assert {facts.household_id for _, facts, _ in cases} == {found.case_ids[0]}


def test_the_ages_of_boys_who_stay_with_their_mother_are_told_and_no_others() -> None:
    kept = [{"ref": ref, "as": "child", "keep_together": True} for ref in "bcd"]
    others = [
        {"ref": "b", "role": "accompanying", "sex": "male", "age": {"min": 9, "max": 9}},
        {"ref": "c", "role": "accompanying", "sex": "female", "age": {"min": 4, "max": 4}},
        {"ref": "d", "role": "accompanying", "sex": "male"},
        {"ref": "e", "role": "accompanying", "sex": "male", "age": {"min": 12, "max": 12}},
    ]
    mother = {"ref": "a", "sex": "female", "age": {"min": 30, "max": 30}, "with": kept}
    assert one(submission(persons=[mother, *others])).boys_with == [9]


def test_a_report_without_a_person_is_about_a_place() -> None:
    assert one(submission(about="place", places=[{"pcode": "BD30260038"}])).about == "place"
    assert one(submission()).about == "place"
    assert one(submission(about="people")).about == "person"
    assert one(submission(reporter={"kind": "self"})).about == "person"


def test_what_was_said_by_hand_wins_over_what_a_machine_read() -> None:
    found = submission(concerns=["child_marriage"], places=[{"pcode": "BD2022"}])
    facts = one(found, "ইটভাটায় ১০ বছরের দুইটা ছেলে কাজ করে, সাভার")
    assert facts.concerns == ["child_marriage"]
    assert facts.district == "BD2022"


def test_a_machine_read_report_is_never_entitled() -> None:
    facts = one(submission(channel="sms"), "child working in welding shop, 11 yrs, Bogra sadar")
    assert facts.concerns == ["hazardous_child_labour"]
    assert facts.needs
    assert facts.entitled is False


def test_needs_that_nobody_named_are_never_entitled() -> None:
    assert one(submission(entitled=True, concerns=["child_labour"])).entitled is False
    assert one(submission(entitled=True, needs=["education"])).entitled is True


def test_a_command_opens_no_case() -> None:
    assert open_cases(submission(channel="sms"), read("STOP", today=date(2026, 11, 25)), AT) == []


def test_noise_opens_a_case_all_the_same() -> None:
    assert one(submission(channel="sms"), ".").concerns == ["unsure"]


def test_an_alleged_office_is_a_conflict_and_is_routed_around() -> None:
    facts = one(
        submission(
            alleged=[{"office": "up chairman", "provider_id": "up-u1"}],
            exclude={"kinds": ["police"], "providers": ["thana-x"]},
        )
    )
    assert facts.conflict is True
    assert set(facts.excluded) == {"police", "thana-x", "up-u1"}


def test_an_excluded_area_is_no_finer_than_an_upazila() -> None:
    upazila = "BD30260038"
    union = next(p.pcode for p in places.all_places().values() if p.parent == upazila)
    for area in (upazila, union):
        assert one(submission(exclude={"area": area})).excluded == [f"area:{upazila}"]


def test_danger_now_and_self_harm_are_t0() -> None:
    assert one(submission(danger_now=True)).urgency == "T0"
    assert one(submission(concerns=["self_harm_risk"])).urgency == "T0"


def test_sexual_violence_sets_the_medical_deadline_and_an_unknown_time_counts_as_today() -> None:
    assert one(submission(concerns=["child_sexual_abuse"])).medical_until == AT + timedelta(
        hours=72
    )
    long_ago = (AT - timedelta(days=10)).isoformat()
    told = one(submission(concerns=["child_sexual_abuse"], happened={"from": long_ago}))
    assert told.medical_until is None


def consent(age: int | None, **given: Any) -> bool:
    person = {"ref": "a", "age": None if age is None else {"min": age, "max": age}}
    tick = {"person": "a", "allows": ["refer"], "explained": True, "how": "written", **given}
    found = submission(persons=[person], consent=[tick])
    return consent_of(found.report, found.report["persons"][0], age, AT).given


@pytest.mark.parametrize(
    ("age", "by", "basis", "counts"),
    [
        (20, "person", "consent", True),
        (16, "person", "consent", True),
        (14, "person", "consent", False),
        (14, "caregiver", "assent_and_caregiver", True),
        (16, "caregiver", "assent_and_caregiver", True),
        (16, "caregiver", "consent", False),
        (18, "caregiver", "assent_and_caregiver", False),
        (10, "caregiver", "consent", False),
        (10, "caregiver", "assent_and_caregiver", True),
        (4, "caregiver", "consent", True),
        (None, "person", "consent", False),
        (20, "third_party", "consent", False),
        (20, "person", "legal_duty", False),
    ],
)
def test_only_who_may_consent_at_that_age_consents(
    age: int | None, by: str, basis: str, *, counts: bool
) -> None:
    assert consent(age, given_by=by, basis=basis) is counts


@pytest.mark.parametrize(
    ("age", "how", "witness", "counts"),
    [
        (13, "spoken", None, False),
        (13, "spoken", "Invented Witness", True),
        (13, "written", None, True),
        (13, None, None, False),
        (10, "spoken", None, True),
    ],
)
def test_from_12_to_14_assent_is_written_or_said_before_a_witness(
    age: int, how: str | None, witness: str | None, *, counts: bool
) -> None:
    given = {"given_by": "caregiver", "basis": "assent_and_caregiver"}
    assert consent(age, how=how, witness=witness, **given) is counts


def test_an_alleged_caregiver_never_consents() -> None:
    found = submission(
        persons=[{"ref": "a", "age": {"min": 4, "max": 4}}],
        alleged=[{"relation": "father"}],
        consent=[{"person": "a", "given_by": "caregiver", "basis": "consent", "allows": ["refer"]}],
    )
    assert consent_of(found.report, found.report["persons"][0], 4, AT).given is False


def test_an_expired_consent_is_none() -> None:
    past = (AT - timedelta(days=1)).isoformat()
    assert consent(20, given_by="person", basis="consent", expires_at=past) is False


def test_triage_makes_a_case_entitled_and_leaves_the_rest() -> None:
    facts = one(submission(concerns=["child_labour"], places=[{"pcode": "BD2022"}]))
    new, draft = triage(uuid4(), facts, Triage(needs=["education"], urgency="T2"))
    assert (new.entitled, new.needs, new.district) == (True, ["education"], "BD2022")
    assert draft.type == "case-triaged"
    assert draft.needs == ("education",)


def test_a_closed_case_is_not_triaged() -> None:
    facts = CaseFacts(report_id=uuid4(), channel="web", status="closed")
    with pytest.raises(Conflict):
        triage(uuid4(), facts, Triage())


def test_the_coarse_report_holds_no_name_phone_text_or_fine_place() -> None:
    body = {
        "channel": "web",
        "reporter": {"name": "Canary A", "phone": "01711111111"},
        "persons": [
            {
                "ref": "a",
                "name": "Canary B",
                "phone": "01722222222",
                "support": ["step_free", "canary l"],
            }
        ],
        "alleged": [{"name": "Canary C", "relation": "canary d", "office": "canary e"}],
        "places": [{"pcode": "BD10040913", "text": "canary f", "site": "canary g"}],
        "narrative": "canary h",
        "consent": [{"person": "a", "witness": "Canary i"}],
        "told_before": [{"who": "canary j", "reference": "canary k"}],
    }
    coarse = str(_coarse(ReportIn.model_validate(body).model_dump(mode="json", by_alias=True)))
    assert "anary" not in coarse
    assert "017" not in coarse
    assert "BD10040913" not in coarse
    assert "BD10040009" in coarse
    assert "'support': ['step_free']" in coarse
