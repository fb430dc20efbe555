"""Two persons erase, never under a hold; what is left says nothing of the person."""

from __future__ import annotations

from uuid import uuid4

import pytest

from services.intake.erasure.rules import Proposal, erase, must_propose, without_person
from shared.errors import Conflict, Forbidden
from shared.events import CaseFacts
from shared.vocabulary import Role

FACTS = CaseFacts(
    report_id=uuid4(),
    channel="web",
    age=15,
    upazila="BD30260038",
    district="BD3026",
    concerns=["child_labour"],
    needs=["shelter"],
    excluded=["p1"],
    urgency="T1",
)
MINE = Proposal("s1", "person", "document")
THEIRS = Proposal("c1", "person", "call_back")


def test_the_first_proposes_and_only_another_supervisor_approves() -> None:
    assert must_propose(FACTS, MINE, Role.SUPERVISOR, None, held=False)
    assert must_propose(FACTS, THEIRS, Role.COORDINATOR, MINE, held=False)
    assert not must_propose(FACTS, MINE, Role.SUPERVISOR, THEIRS, held=False)


def test_nobody_approves_an_own_proposal_whatever_role_it_was_made_in() -> None:
    same = Proposal("s1", "person", "call_back")
    with pytest.raises(Forbidden):
        must_propose(FACTS, MINE, Role.SUPERVISOR, same, held=False)


def test_what_is_approved_is_what_was_proposed() -> None:
    for other in (Proposal("c1", "court", "order"), Proposal("c1", "person", "document", True)):  # noqa: FBT003
        with pytest.raises(Conflict):
            must_propose(FACTS, MINE, Role.SUPERVISOR, other, held=False)


def test_a_legal_hold_stops_proposal_and_approval() -> None:
    for proposed in (None, THEIRS):
        with pytest.raises(Conflict) as caught:
            must_propose(FACTS, MINE, Role.SUPERVISOR, proposed, held=True)
        assert caught.value.members["why"] == "legal_hold"


def test_what_is_erased_is_erased_once_and_says_nothing() -> None:
    left, draft = erase(uuid4(), FACTS)
    assert left == CaseFacts(report_id=FACTS.report_id, channel="web", status="erased")
    assert (draft.type, draft.data, draft.needs) == ("case-erased", left, ())
    with pytest.raises(Conflict):
        must_propose(left, MINE, Role.SUPERVISOR, THEIRS, held=False)


def test_a_coarse_report_loses_one_person_or_everything() -> None:
    report = {
        "persons": [{"ref": "a"}, {"ref": "b"}],
        "consent": [{"person": "a"}, {"person": "b"}],
        "concerns": ["child_labour"],
    }
    assert without_person(report, "a", last=False) == {
        "persons": [{"ref": "b"}],
        "consent": [{"person": "b"}],
        "concerns": ["child_labour"],
    }
    assert without_person(report, "a", last=True) == {}
    form = {"version": "1", "content": "00ff"}  # the same form may come once more by an app
    assert without_person({**report, "form": form}, "a", last=True) == {"form": {"content": "00ff"}}
