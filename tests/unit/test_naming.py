"""A name where a key belongs stays behind: it is sealed, and a person looks."""

from __future__ import annotations

import json
import os
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.api import TriageIn
from services.intake.channels.sms.inbound import Inbound
from services.intake.consent.api import DecisionIn
from services.intake.domain import open_cases
from services.intake.naming import NOT_A_KEY, provider_key, rename_persons
from services.intake.preparing import Secrets, prepare
from services.intake.report import ReportIn
from services.intake.vault import Vault
from shared.bodies import validate
from shared.errors import InvalidBody
from tests.support.room import AT

NAME = "Canaryrina"


def _body(*refs: str | None, **more: Any) -> dict[str, Any]:
    return {"persons": [{"ref": ref, "with": []} for ref in refs], "consent": []} | more


@pytest.mark.parametrize(
    ("said", "kept"),
    [("usso-bd10040009", True), ("police", True), ("up_chair", True), ("c9", True)]
    + [(word, False) for word in (NAME, "canary rina", "01799123456", "+8801799123456", "রিনা", "")],
)
def test_only_what_looks_like_a_key_is_one(said: str, kept: bool) -> None:  # noqa: FBT001
    assert provider_key(said) == (said if kept else NOT_A_KEY)


def test_a_person_called_by_name_inside_a_report_is_called_otherwise_everywhere() -> None:
    body = _body(NAME, "p1", "a", None, consent=[{"person": NAME}, {"person": None}])
    body["persons"][1]["with"] = [{"ref": NAME}, {"ref": "Canarymother"}]
    rename_persons(body)
    assert [p["ref"] for p in body["persons"]] == ["p2", "p1", "a", None]
    assert body["persons"][1]["with"] == [{"ref": "p2"}, {"ref": "p3"}]
    assert body["consent"] == [{"person": "p2"}, {"person": None}]


@given(st.lists(st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True), max_size=8))
def test_who_was_one_person_stays_one_and_two_stay_two(refs: list[str]) -> None:
    body = _body(*refs)
    rename_persons(body)
    new = [p["ref"] for p in body["persons"]]
    assert [refs.index(r) for r in refs] == [new.index(n) for n in new]
    again = [*new]
    rename_persons(body)
    assert [p["ref"] for p in body["persons"]] == again


def test_nothing_of_it_is_in_the_coarse_report_and_the_case_waits_for_a_person() -> None:
    report = ReportIn.model_validate(
        {
            "channel": "web",
            "persons": [{"ref": NAME, "with": [{"ref": NAME}]}],
            "exclude": {"providers": [f"Member {NAME}", "c9"]},
            "consent": [{"person": NAME, "allows": ["refer"], "providers": [f"Apa {NAME}"]}],
        }
    )
    secrets = Secrets(os.urandom(32), os.urandom(32), os.urandom(32), "http://test")
    made = prepare(
        report, channel="web", caller=None, vault=Vault(os.urandom(32)), secrets=secrets, at=AT
    )
    coarse = json.dumps(made.submission.report)
    assert NAME not in coarse + str(made.person_refs)
    (_, facts, _) = open_cases(made.submission, None, AT)[0]
    assert facts.conflict
    assert facts.excluded == [NOT_A_KEY, "c9"]
    # an agreement that names one provider by name must not become one for all of them
    assert made.submission.report["consent"][0]["providers"] == [NOT_A_KEY]
    assert isinstance(made.submission.submission_id, UUID)


@pytest.mark.parametrize(
    ("said", "kept"),
    [("SM0f01711123456a", True), ("4711", True), ("1345678901", True), ("", None)]
    + [(f"{number}-17", False) for number in ("01799123456", "+8801799123456", "০১৭৯৯১২৩৪৫৬")]
    + [("Rina", False), ("Rina 17", False), ("রিনা১৭", False), ("fm-817", True)]
    + [("1799123456", False), ("a1799123456b", False), ("01811123456", False)],
)
def test_a_gateways_id_that_is_made_of_a_number_is_not_kept(said: str, kept: bool | None) -> None:  # noqa: FBT001
    assert Inbound("01799123456", "x", said).own_id == (said if kept else None)


def test_staff_are_told_that_a_name_is_no_key() -> None:
    for model, field in ((TriageIn, "excluded"), (DecisionIn, "providers")):
        body = {"decision": "given", "given_by": "person"} if model is DecisionIn else {}
        assert validate(model, body | {field: ["usso-bd10040009"]})
        with pytest.raises(InvalidBody) as refused:
            validate(model, body | {field: [f"Apa {NAME}"]})
        assert NAME not in json.dumps(refused.value.members)
