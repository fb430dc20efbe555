"""Reading the items of a committee's batch."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.channels.committee import AdditionItem, ReportItem, read_item
from shared.errors import InvalidBody
from shared.vocabulary import Channel

ID, OWN = str(uuid4()), str(uuid4())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NAMES = st.sampled_from(["id", "report", "adds_to", "base_version", "text", "places", "channel"])


def added(**said: Any) -> dict[str, Any]:
    return {"id": ID, "adds_to": OWN, "base_version": 1, **said}


@pytest.mark.parametrize("claimed", [{}, {"channel": "partner"}, {"channel": "web"}])
def test_a_report_of_a_batch_came_by_the_committee_whatever_it_says(claimed: Any) -> None:
    item = read_item({"id": ID, "report": {"narrative": "invented", **claimed}})
    assert isinstance(item, ReportItem)
    assert item.report.channel is Channel.COMMITTEE


@pytest.mark.parametrize(
    ("said", "heavy"),
    [
        ({"text": "more"}, ()),
        ({"danger_now": False}, ("risk",)),
        ({"danger_now": True}, ("risk",)),
        ({"places": [{"role": "now", "text": "market"}]}, ("place",)),
        ({"safe_contact": {"allowed": False}}, ("safe_contact",)),
        ({"text": "x", "danger_now": True, "places": [{}]}, ("risk", "place")),
    ],
)
def test_risk_place_and_safe_contact_are_for_a_person(
    said: dict[str, Any], heavy: tuple[str, ...]
) -> None:
    item = read_item(added(**said))
    assert isinstance(item, AdditionItem)
    assert item.heavy == heavy


@pytest.mark.parametrize(
    "bad",
    [
        *(None, [], "text", {}, {"id": ID}, {"id": "no uuid", "report": {}}),
        *(added(), added(text=""), added(text="x", unknown=1), added(text="x", base_version=0)),
        *({"id": ID, "report": []}, {"id": ID, "report": {"persons": [{"count": 0}]}}),
    ],
)
def test_a_bad_item_is_told_its_rule_and_echoes_nothing(bad: object) -> None:
    with pytest.raises(InvalidBody) as raised:
        read_item(bad)
    assert raised.value.members["errors"]
    assert "no uuid" not in str(raised.value.members)


@given(JSON | st.dictionaries(NAMES, JSON))
def test_whatever_comes_is_an_item_or_refused(value: object) -> None:
    try:
        item = read_item(value)
    except InvalidBody:
        return
    assert isinstance(item, ReportItem | AdditionItem)
