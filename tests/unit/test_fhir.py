"""A referral in FHIR R4, and what an updated Task asks for."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.servicerequest import ServiceRequest
from fhir.resources.R4B.task import Task
from hypothesis import given
from hypothesis import strategies as st

from services.referral.domain import check
from services.referral.exchange.api_fhir import bundle_of, capabilities, read_task
from services.referral.exchange.fhir import TASK_STATUS, order_from, request_of, task_of
from services.referral.exchange.fhir_search import Search, parse_search
from services.referral.referral import Delivered, Referral, Summary
from shared.errors import Conflict, Forbidden, InvalidBody
from shared.vocabulary import ReferralState, Urgency
from tests.support.referrals import AT, MINE, referral

BASE = "http://127.0.0.1/referral/fhir/r4"


def full(state: str, **more: Any) -> Referral:
    told = Summary(
        age_band="12-14",
        sex="hijra",
        languages=["bn", "rhg"],
        support=["step_free"],
        with_=2,
        keep_together=True,
        place_now="BD30260038",
    )
    known: dict[str, Any] = {
        "summary": told,
        "assigned_at": AT,
        "respond_by": AT + timedelta(hours=1),
        "deliver_by": AT + timedelta(days=3),
        "reason": "no_capacity" if state in ("declined", "failed", "expired") else None,
        "delivered": Delivered(how_much="part") if state == "delivered" else None,
        "outcome": "safe_at_home" if state == "delivered" else None,
    }
    return referral(state, **(known | more))


@pytest.mark.parametrize("state", ReferralState)
@pytest.mark.parametrize("urgency", Urgency)
def test_every_state_is_a_valid_task_and_request(state: str, urgency: str) -> None:
    one = full(state, urgency=urgency)
    task, request = task_of(one, AT), request_of(one, AT)
    assert Task.model_validate(task).status == TASK_STATUS[state]
    assert ServiceRequest.model_validate(request).id == str(one.referral_id)
    assert task["focus"]["reference"] == f"ServiceRequest/{request['id']}"
    if task["status"] in ("rejected", "cancelled", "failed"):  # the guide's rule
        assert task["statusReason"]["text"]
    assert task["businessStatus"]["coding"][0]["code"] == state


def test_the_person_may_not_be_contacted_before_the_yes() -> None:
    hushed = "contacting-subject-prohibited"
    assert hushed in json.dumps(request_of(full("assigned"), AT))
    assert hushed not in json.dumps(request_of(full("accepted"), AT))


def updated(one: Referral, **changes: Any) -> dict[str, Any]:
    return read_task(json.loads(msgspec.json.encode(task_of(one, AT) | changes)))


REASON = {"statusReason": {"text": "no_capacity"}}


@pytest.mark.parametrize(
    ("state", "status", "verb"),
    [
        ("assigned", "accepted", "accept"),
        ("assigned", "rejected", "decline"),
        ("assigned", "cancelled", "decline"),
        ("accepted", "in-progress", "start"),
        ("accepted", "on-hold", "hold"),
        ("on_hold", "in-progress", "start"),
        ("in_service", "completed", "deliver"),
        ("in_service", "failed", "fail"),
        ("in_service", "cancelled", "fail"),
    ],
)
def test_a_new_status_is_a_verb_that_the_state_allows(state: str, status: str, verb: str) -> None:
    one = full(state)
    order = order_from(updated(one, status=status, **REASON), one, AT, one.version)
    assert order is not None
    assert (order.verb, order.version) == (verb, one.version)
    assert check(one, order, MINE)


def test_how_much_was_delivered_is_an_output() -> None:
    one = full("in_service")
    kind = {"coding": [{"system": "urn:pashe:output", "code": "how-much"}]}
    part = updated(one, status="completed", output=[{"type": kind, "valueString": "part"}])
    order = order_from(part, one, AT, None)
    assert order is not None
    assert order.fields == {"how_much": "part"}
    wrong = updated(one, status="completed", output=[{"type": kind, "valueString": "half"}])
    with pytest.raises(InvalidBody):
        order_from(wrong, one, AT, None)


@pytest.mark.parametrize(
    ("reason", "code", "text"),
    [
        ({"text": "no_capacity"}, "no_capacity", None),
        ({"text": "No bed free tonight"}, "other", "No bed free tonight"),
        (
            {"coding": [{"system": "urn:pashe:reason", "code": "out_of_area"}], "text": "Far"},
            "out_of_area",
            "Far",
        ),
        (None, None, None),
    ],
)
def test_a_reason_is_a_code_of_ours_or_words_that_stay_here(
    reason: Any, code: str | None, text: str | None
) -> None:
    one = full("assigned")
    changes = {"status": "rejected"} | ({"statusReason": reason} if reason else {})
    order = order_from(updated(one, **changes), one, AT, None)
    assert order is not None
    assert (order.reason, order.text) == (code, text)
    if code is None:
        with pytest.raises(InvalidBody):
            check(one, order, MINE)


def test_the_first_contact_and_a_heard_withdrawal_leave_the_status() -> None:
    one = full("accepted")
    met = order_from(updated(one, executionPeriod={"start": "2026-11-28T10:00:00Z"}), one, AT, None)
    assert met is not None
    assert met.verb == "contact"
    gone = full("withdrawn", withdrawn_at=AT)
    heard = {"coding": [{"system": "urn:pashe:referral-state", "code": "withdrawal-acknowledged"}]}
    order = order_from(updated(gone, businessStatus=heard), gone, AT, None)
    assert order is not None
    assert check(gone, order, MINE)
    assert order_from(updated(one), one, AT, None) is None


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"id": str(uuid4())}, InvalidBody),
        ({"owner": {"reference": "Organization/another"}}, InvalidBody),
        ({"for": {"reference": "Patient/another"}}, InvalidBody),
        ({"status": "requested"}, Forbidden),
        ({"status": "entered-in-error"}, Forbidden),
        ({"status": "ready"}, Conflict),
    ],
)
def test_what_an_owner_may_not_change_is_refused(changes: Any, error: type[Exception]) -> None:
    one = full("accepted")
    with pytest.raises(error):
        order_from(updated(one, **changes), one, AT, None)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"resourceType": "Patient"},
        {"resourceType": "Task"},
        {"resourceType": "Task", "status": 5, "intent": "order"},
        {"resourceType": "Task", "status": "accepted", "intent": "order", "invented": "Canary"},
    ],
)
def test_a_body_that_is_no_task_is_refused_without_an_echo(body: Any) -> None:
    with pytest.raises(InvalidBody) as caught:
        read_task(body)
    assert "Canary" not in str(caught.value.members)


def test_a_search_is_read_and_what_is_unknown_is_left_out_unless_strict() -> None:
    asked = [("owner", "Organization/near"), ("status", "requested,accepted"), ("name", "x")]
    search = parse_search(asked, strict=False)
    assert search.states == {"assigned", "accepted", "waitlisted"}
    assert (search.owner, search.used) == ("near", asked[:2])
    with pytest.raises(InvalidBody):
        parse_search(asked, strict=True)


@pytest.mark.parametrize(
    ("value", "bounds"),
    [
        ("gt2026-11-25T00:00:00Z", [(">=", datetime(2026, 11, 25, 0, 0, 0, 1, UTC))]),
        ("ge2026-11-25", [(">=", datetime(2026, 11, 25, tzinfo=UTC))]),
        ("gt2026-11-25", [(">=", datetime(2026, 11, 26, tzinfo=UTC))]),
        ("le2026-11-25", [("<", datetime(2026, 11, 26, tzinfo=UTC))]),
        ("lt2026-11-25T06:00:00+06:00", [("<", datetime(2026, 11, 25, tzinfo=UTC))]),
        ("lt2026-11-25T06:00:00 06:00", [("<", datetime(2026, 11, 25, tzinfo=UTC))]),
    ],
)
def test_dates_compare_as_fhir_says(value: str, bounds: list[tuple[str, datetime]]) -> None:
    assert parse_search([("_lastUpdated", value)], strict=True).bounds == bounds


def test_two_owners_or_no_owner_find_nothing() -> None:
    assert parse_search([("owner", "a"), ("owner", "b")], strict=True).nothing
    assert parse_search([("owner:missing", "true")], strict=True).nothing


@given(st.lists(st.tuples(st.sampled_from(["_id", "_lastUpdated", "owner", "status", "_count",
    "_cursor", "_include", "owner:missing", "x"]), st.text(max_size=30)), max_size=4))  # fmt: skip
def test_any_search_is_read_or_refused(pairs: list[tuple[str, str]]) -> None:
    with contextlib.suppress(InvalidBody):
        assert isinstance(parse_search(pairs, strict=False), Search)


def test_pages_hold_what_is_asked_for_beside_it_and_lead_on() -> None:
    found = [(full("assigned"), AT + timedelta(seconds=n)) for n in range(3)]
    search = parse_search([("_count", "2"), ("_include", "Task:focus")], strict=True)
    page = bundle_of("Task", BASE, search, found)
    assert Bundle.model_validate(page).type == "searchset"
    modes = [entry["search"]["mode"] for entry in page["entry"]]
    assert modes == ["match", "match", "include", "include"]
    following = page["link"][1]["url"].partition("?")[2]
    assert "_count=2" in following
    empty = bundle_of("Task", BASE, search, [])
    assert Bundle.model_validate(empty).entry is None


def test_the_capability_statement_is_valid() -> None:
    said = CapabilityStatement.model_validate(capabilities(BASE))
    assert said.fhirVersion == "4.0.1"
