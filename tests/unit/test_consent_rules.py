"""Who may record which consent, and what follows from it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.intake.consent.decide import (
    Circle,
    ConsentRefused,
    Outcome,
    Wish,
    decide,
    load_instruments,
)
from services.intake.consent.gate import agreed_in
from services.intake.consent.record import Consent, state_of
from shared.vocabulary import Role

AT = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
DUTY = {"id": "law-1", "from": date(2026, 1, 1), "to": "", "needs": ["rescue"]}


def wish(**fields: Any) -> Wish:
    known: dict[str, Any] = {
        "decision": "given",
        "given_by": "person",
        "allows": ("refer",),
        "explained": True,
        "how": "spoken",
    }
    return Wish(**(known | fields))


def circle(**fields: Any) -> Circle:
    known: dict[str, Any] = {
        "age": 20,
        "caregiver_alleged": False,
        "alleged_relations": frozenset(),
        "needs": ("legal_aid", "shelter"),
        "role": Role.COORDINATOR,
        "actor": "coordinator:c1",
    }
    return Circle(**(known | fields))


def decided(
    one: Wish, *current: Consent, instruments: tuple[Any, ...] = (), **known: Any
) -> Outcome:
    return decide(current, one, circle(**known), AT, uuid4, instruments)


def why(one: Wish, *current: Consent, **known: Any) -> str:
    with pytest.raises(ConsentRefused) as caught:
        decided(one, *current, **known)
    return str(caught.value.members["why"])


def given(*, age: int = 20, **fields: Any) -> Consent:
    return decided(wish(**fields), age=age).added[0]


def test_a_person_of_18_consents_and_it_ends_by_itself() -> None:
    made = decided(wish(purposes=("legal_aid",), allows=("refer", "share_identity")))
    assert made.events == ["consent-given"]
    (one,) = made.added
    assert (one.purposes, one.share_identity, one.recorded_by) == (
        ("legal_aid",),
        True,
        "coordinator:c1",
    )
    assert one.expires_at == AT + timedelta(days=365)


@pytest.mark.parametrize(
    ("age", "by", "basis", "more", "refused"),
    [
        (20, "third_party", "consent", {}, "third_party"),
        (4, "third_party", "assent_and_caregiver", {}, "third_party"),
        (14, "person", "consent", {}, "not_at_this_age"),
        (None, "person", "consent", {}, "not_at_this_age"),
        (10, "caregiver", "consent", {"relation": "mother"}, "not_at_this_age"),
        (10, "caregiver", "assent_and_caregiver", {}, "relation_missing"),
        (13, "caregiver", "assent_and_caregiver", {"relation": "mother"}, "witness_missing"),
        (20, "person", "consent", {"explained": False}, "not_explained"),
        (20, "person", "consent", {"allows": ("share_identity",)}, "allows_nothing"),
        (20, "person", "consent", {"expires_at": AT}, "expired"),
    ],
)
def test_what_does_not_count_is_refused(
    age: int | None, by: str, basis: str, more: dict[str, Any], refused: str
) -> None:
    assert why(wish(given_by=by, basis=basis, **more), age=age) == refused


@pytest.mark.parametrize(
    ("age", "by", "basis", "more"),
    [
        (4, "caregiver", "consent", {"relation": "mother"}),
        (10, "caregiver", "assent_and_caregiver", {"relation": "aunt"}),
        (13, "caregiver", "assent_and_caregiver", {"relation": "aunt", "witnessed": True}),
        (13, "caregiver", "assent_and_caregiver", {"relation": "aunt", "how": "written"}),
        (16, "person", "consent", {}),
        (16, "caregiver", "assent_and_caregiver", {"relation": "aunt"}),
    ],
)
def test_what_counts_at_each_age(age: int, by: str, basis: str, more: dict[str, Any]) -> None:
    assert decided(wish(given_by=by, basis=basis, **more), age=age).added


def test_providers_that_are_named_are_told_with_their_needs() -> None:
    one = given(providers=("p1",), purposes=("shelter",))
    (grant,) = state_of([one]).grants
    assert (grant.purposes, grant.providers) == (["shelter"], ["p1"])
    assert [g.providers for g in state_of([one, given()]).grants] == [["p1"], []]
    assert state_of([given()]).grants == []


BESIDE = {
    "given_by": "person",
    "basis": "assent_and_trusted_adult",
    "relation": "teacher",
    "witnessed": True,
    "purposes": ("legal_aid",),
}


@pytest.mark.parametrize("age", [6, 11, 12, 14])
def test_a_child_agrees_beside_an_adult_it_trusts(age: int) -> None:
    (one,) = decided(wish(**BESIDE), age=age, caregiver_alleged=True).added
    assert (one.given_by, one.basis) == ("person", "assent_and_trusted_adult")


@pytest.mark.parametrize(
    ("age", "more", "refused"),
    [
        (5, {}, "not_at_this_age"),
        (None, {}, "not_at_this_age"),
        (16, {}, "not_at_this_age"),
        (10, {"given_by": "caregiver"}, "not_at_this_age"),
        (10, {"relation": None}, "relation_missing"),
        (10, {"relation": " Uncle "}, "alleged_adult"),
        (10, {"witnessed": False}, "witness_missing"),
        (10, {"purposes": ()}, "purposes_missing"),
        (10, {"purposes": ("shelter",)}, "decision_body_missing"),
    ],
)
def test_beside_whom_and_for_what_a_child_does_not_agree(
    age: int | None, more: dict[str, Any], refused: str
) -> None:
    known = {"age": age, "alleged_relations": frozenset({"uncle"})}
    assert why(wish(**(BESIDE | more)), **known) == refused


def test_a_tick_in_a_report_is_no_word_beside_a_trusted_adult() -> None:
    tick = {
        "given_by": "person",
        "basis": "assent_and_trusted_adult",
        "allows": ["refer"],
        "how": "written",
    }
    assert agreed_in({"consent": [tick]}, {}, 10, AT, uuid4()) is None


def test_an_alleged_caregiver_neither_gives_nor_takes_back() -> None:
    one = wish(given_by="caregiver", basis="consent", relation="Father")
    assert why(one, age=4, caregiver_alleged=True) == "alleged_caregiver"
    assert why(one, age=4, alleged_relations=frozenset({"father"})) == "alleged_caregiver"
    taken = wish(decision="withdrawn", given_by="caregiver", relation="father")
    assert why(taken, given(), alleged_relations=frozenset({"father"})) == "alleged_caregiver"


def best(**fields: Any) -> Wish:
    known = {
        "given_by": "decision_body",
        "basis": "best_interest",
        "purposes": ("medical",),
        "reasoned": True,
        "explained": False,
    }
    return wish(**(known | fields))


def test_best_interest_needs_a_supervisor_a_reason_and_for_parting_a_body() -> None:
    boss: dict[str, Any] = {"role": Role.SUPERVISOR}
    assert why(best()) == "supervisor_only"
    assert why(best(reasoned=False), **boss) == "reason_missing"
    assert why(best(given_by="person"), **boss) == "decision_body_only"
    assert why(best(purposes=()), **boss) == "purposes_missing"
    assert why(best(purposes=("shelter",)), **boss) == "decision_body_missing"
    made = decided(best(purposes=("shelter",), decision_body="court"), **boss)
    assert made.added[0].decision_body == "court"
    assert decided(best(), **boss).events == ["consent-given"]


def test_legal_duty_needs_an_instrument_in_force_and_none_is_shipped() -> None:
    boss: dict[str, Any] = {"role": Role.SUPERVISOR}
    duty = best(basis="legal_duty", purposes=("rescue",), instrument="law-1")
    assert load_instruments() == ()
    assert why(duty, **boss) == "no_instrument"
    old = DUTY | {"to": date(2026, 6, 1)}
    assert why(duty, instruments=(old,), **boss) == "no_instrument"
    assert why(best(basis="legal_duty", instrument="law-1"), instruments=(DUTY,), **boss) == (
        "no_instrument"
    )
    assert why(duty, instruments=(DUTY,)) == "supervisor_only"
    assert decided(duty, instruments=(DUTY,), **boss).added[0].instrument == "law-1"


def test_a_person_takes_back_everything_or_one_purpose() -> None:
    one = given(allows=("refer", "share_identity"))
    whole = decided(wish(decision="withdrawn"), one)
    assert (whole.left, whole.events) == ([], ["consent-withdrawn"])
    part = decided(wish(decision="withdrawn", purposes=("legal_aid",)), one)
    assert state_of(part.left).purposes == ["shelter"]
    assert state_of(part.left).share_identity
    assert part.events == ["consent-withdrawn"]
    assert part.added[0].expires_at == one.expires_at


def test_a_child_may_take_back_what_a_caregiver_gave_and_a_caregiver_not_the_childs_own() -> None:
    by_aunt = given(given_by="caregiver", basis="assent_and_caregiver", relation="aunt", age=16)
    assert decided(wish(decision="withdrawn"), by_aunt, age=16).left == []
    taken = wish(decision="withdrawn", given_by="caregiver", relation="aunt")
    assert decided(taken, by_aunt, age=16).left == []
    assert why(taken, given(age=16), age=16) == "nothing_to_withdraw"


def test_nobody_but_a_supervisor_ends_an_override() -> None:
    boss: dict[str, Any] = {"role": Role.SUPERVISOR}
    override = decided(best(), **boss).added[0]
    assert why(wish(decision="withdrawn"), override) == "nothing_to_withdraw"
    ends = wish(decision="withdrawn", given_by="decision_body", reasoned=True)
    assert why(ends, override) == "supervisor_only"
    assert decided(ends, override, **boss).left == []


def test_a_third_party_takes_nothing_back() -> None:
    assert why(wish(decision="withdrawn", given_by="third_party"), given()) == "third_party"


def test_a_change_ends_the_old_and_tells_what_it_narrows() -> None:
    old = given(allows=("refer", "share_identity"))
    made = decided(wish(decision="changed", purposes=("legal_aid",)), old)
    assert made.ended == [old]
    assert made.events == ["consent-withdrawn", "consent-given"]
    wider = decided(wish(decision="changed", allows=("refer", "share_identity")), *made.left)
    assert wider.events == ["consent-given"]
    assert why(wish(decision="changed")) == "nothing_to_change"
