"""What a provider may learn of a person, and what consents come to."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.intake.casework.review import Attempt
from services.intake.consent.record import SHAREABLE, Consent, narrows, state_of
from services.intake.disclosure.cut import (
    REPORTED,
    Reported,
    fields_for,
    may_know,
    reported_in,
    safe_phone,
)
from shared.errors import Conflict, NotFound, Problem
from shared.events import CaseFacts
from shared.vocabulary import Need, ReferralState

AT = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
HIDDEN = Reported(agreed=False, is_person=False)
SHARED = Reported(agreed=True, is_person=False)


def consent(**fields: Any) -> Consent:
    base = Consent(uuid4(), "person", "consent", AT, "coordinator:c1", share_identity=True)
    return dataclasses.replace(base, **fields)


def attempt(**fields: Any) -> Attempt:
    known = {"need": "legal_aid", "state": "accepted", "provider_id": "p1"} | fields
    return Attempt(uuid4(), known["need"], 1, known["state"], None, "T2", 3, known["provider_id"])


def facts(**fields: Any) -> CaseFacts:
    return CaseFacts(report_id=uuid4(), channel="web", **fields)


def known(
    one: Attempt | None = None,
    *consents: Consent,
    provider: str = "p1",
    reported: Reported = HIDDEN,
    case: CaseFacts | None = None,
    at: datetime = AT,
) -> tuple[str, ...]:
    return may_know(
        one or attempt(), case or facts(), consents or (consent(),), provider, reported, at
    )


def refused(*args: Any, **more: Any) -> Problem:
    with pytest.raises((Conflict, NotFound)) as caught:
        known(*args, **more)
    return caught.value


@pytest.mark.parametrize("state", list(ReferralState))
def test_only_an_accepted_referral_that_has_not_ended_tells_anything(state: ReferralState) -> None:
    one = attempt(state=str(state))
    if state in ("accepted", "in_service", "on_hold"):
        assert "name" in known(one)
    else:
        assert refused(one).members["why"] == "not_accepted_or_ended"


def test_another_providers_referral_is_not_there() -> None:
    assert isinstance(refused(None, provider="p2"), NotFound)
    assert isinstance(refused(attempt(provider_id=None)), NotFound)


def test_an_excluded_provider_learns_nothing_even_after_it_accepted() -> None:
    assert isinstance(refused(case=facts(excluded=["p1"])), NotFound)


def test_an_erased_case_tells_nothing() -> None:
    assert refused(case=facts(status="erased")).members["why"] == "erased"


@pytest.mark.parametrize(
    "given",
    [
        {"share_identity": False},
        {"purposes": ("education",)},
        {"providers": ("p2",)},
        {"expires_at": AT},
    ],
)
def test_without_a_consent_for_this_provider_and_purpose_nothing_is_told(
    given: dict[str, Any],
) -> None:
    assert refused(None, consent(**given)).members["why"] == "no_consent"


def test_a_consent_serves_until_it_ends() -> None:
    ends = consent(expires_at=AT + timedelta(seconds=1))
    assert known(None, ends)
    assert refused(None, ends, at=AT + timedelta(seconds=1))


def test_fields_are_cut_to_consent_and_purpose() -> None:
    assert known(None, consent(fields=("name",))) == ("name",)
    assert known(attempt(need="information"), consent(fields=("name",))) == ()
    two = (consent(fields=("name",), purposes=("legal_aid",)), consent(fields=("phone",)))
    assert known(None, *two) == ("name", "phone")


@pytest.mark.parametrize("need", list(Need))
def test_the_reporters_name_and_words_are_told_only_if_the_reporter_agreed(need: Need) -> None:
    one = attempt(need=str(need))
    assert not set(known(one)) & REPORTED
    assert set(known(one, reported=SHARED)) == set(fields_for(need))
    assert set(fields_for(need)) <= set(SHAREABLE)
    assert "alleged" not in fields_for(need)


def test_a_reporter_is_shielded_by_default() -> None:
    assert reported_in({}) == HIDDEN
    assert reported_in({"reporter": {"identity": "hidden", "kind": "neighbour"}}) == HIDDEN
    assert reported_in({"reporter": {"identity": "shared", "kind": "neighbour"}}).open
    assert reported_in({"reporter": {"identity": "hidden", "kind": "self"}}).open


@pytest.mark.parametrize(
    ("contact", "stopped", "told"),
    [
        (None, False, False),
        ({"allowed": False}, False, False),
        ({"allowed": True}, False, True),
        ({"allowed": True}, True, False),
    ],
)
def test_a_number_is_told_only_where_contact_is_safe(
    contact: dict[str, Any] | None, *, stopped: bool, told: bool
) -> None:
    shown = safe_phone({"name": "x", "phone": "y", "safe_contact": contact}, stopped=stopped)
    assert (shown["phone"] is not None) is told
    assert shown["name"] == "x"


def test_several_consents_come_to_their_union() -> None:
    one = consent(purposes=("legal_aid",), share_identity=False)
    two = consent(purposes=("shelter",), basis="assent_and_caregiver")
    state = state_of([one, two])
    assert state.purposes == ["legal_aid", "shelter"]
    assert (state.given, state.share_identity, state.basis) == (True, True, "assent_and_caregiver")
    assert state_of([one, consent()]).purposes == []
    assert state_of([]).given is False


@pytest.mark.parametrize(
    ("old", "new", "less"),
    [
        ({}, {}, False),
        ({}, {"purposes": ("legal_aid",)}, True),
        ({"purposes": ("legal_aid",)}, {}, False),
        ({"purposes": ("legal_aid",)}, {"purposes": ("legal_aid", "shelter")}, False),
        ({"purposes": ("legal_aid", "shelter")}, {"purposes": ("legal_aid",)}, True),
        ({}, {"providers": ("p1",)}, True),
        ({}, {"fields": ("name",)}, True),
        ({"fields": ("name",)}, {}, False),
        ({}, {"share_identity": False}, True),
        ({"share_identity": False}, {}, False),
    ],
)
def test_a_change_that_allows_less_is_a_withdrawal_too(
    old: dict[str, Any], new: dict[str, Any], *, less: bool
) -> None:
    assert narrows([consent(**old)], [consent(**new)]) is less
    assert narrows([consent(**old)], []) is True
