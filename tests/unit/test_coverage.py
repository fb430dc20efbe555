"""The nationwide directory: every place and need is routed, and the table of gaps is fresh."""

from __future__ import annotations

import pytest

from services.referral.eligibility import IN
from tests.support.coverage import (
    NEEDS,
    PERSONS,
    TABLE,
    decide,
    load_world,
    places_of,
    render,
)


def test_a_case_of_every_district_and_thana_is_routed_for_each_need() -> None:
    world = load_world()
    found = places_of()
    assert len(found) == 64 + 61
    for place in found:
        for need in NEEDS:
            decision, _ = decide(world, place, need, "girl")
            verdicts = [c.verdict for c in decision.considered]
            assert verdicts.count(IN) == len(decision.ranking)
            for offer in decision.ranking:
                assert need in offer.needs
                assert "police" not in offer.kinds


def test_the_table_of_needs_and_places_is_fresh() -> None:
    if TABLE.read_text("utf-8") != render():
        pytest.fail("the table is old: python -m tests.support.coverage, and look at what changed")


def test_no_place_of_the_country_lacks_the_lines_that_serve_everywhere() -> None:
    world = load_world()
    for place in places_of():
        for person in PERSONS:
            assert decide(world, place, "information", person)[0].chosen is not None
