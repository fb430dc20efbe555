"""Names meet by sound, and what two cases have in common is weighed and said in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.intake.alike.comparing import compare, levels_of, load_reasons, models
from services.intake.alike.features import Features, age_range
from services.intake.alike.sounds import parts_of
from services.intake.blind import Blind
from tests.bench.linkage import LEVELS, judge, pairs_of
from tests.support.alike_set import BOYS, GIRLS, make_set

AT = datetime(2026, 11, 25, tzinfo=UTC)
BLIND = Blind(b"k" * 32)


def features(name: str = "", phone: str = "", **more: Any) -> Features:
    own = frozenset(BLIND.marks({"name": name, "phone": phone}).alike)
    return Features(uuid4(), uuid4(), AT, own=own, **more)


@pytest.mark.parametrize(
    "spellings",
    [
        "রহিমা Rohima Rahema",
        "আয়েশা Ayesha Aisha",
        "সুমাইয়া Sumaiya Sumaia Sumaya",
        "ফাতেমা Fatema Phatema",
        "নুসরাত Nusrat Nushrat",
        "খাদিজা Khadija Kadiza",
        "স্বপ্না Shopna Swapna",
        "রাকিব Rakib Rakeeb",
    ],
)
def test_spellings_of_one_name_have_one_sound(spellings: str) -> None:
    assert len({parts_of(word) for word in spellings.split()}) == 1


@pytest.mark.parametrize(
    "pair", ["Rina Rony", "Rohima Rima", "Salma Halima", "রিনা রনি", "Sumon Salma"]
)
def test_other_names_have_another_sound(pair: str) -> None:
    one, other = pair.split()
    assert parts_of(one) != parts_of(other)


def test_titles_and_names_that_many_bear_tell_nobody_apart_unless_there_is_nothing_else() -> None:
    assert parts_of("Mst. Rina Begum") == parts_of("মোছাঃ রিনা আক্তার") == parts_of("rina")
    assert parts_of("বেগম") != ()
    assert parts_of("…!") == ()


def test_most_spellings_of_the_made_names_meet_their_bangla() -> None:
    rows = [*GIRLS, *BOYS]
    met = [parts_of(row[0])[0].rough == parts_of(word)[0].rough for row in rows for word in row[1:]]
    assert sum(met) / len(met) > 0.95


def test_what_is_not_known_weighs_nothing_and_what_differs_speaks_against() -> None:
    nothing = levels_of(features(), features())
    assert nothing == {"time": "days"}, "when it happened neither of them says"
    same = compare(features("Rina", "01712345678"), features("রিনা", "+8801712345678"))
    assert same.kind == "same_person"
    assert same.levels["phone"] == "own"
    twin = compare(features("Rina", "01712345678"), features("Moushumi", "01712345678"))
    assert twin.person < same.person


def test_a_number_that_many_came_with_says_little() -> None:
    one, other = features("Rina", "01712345678"), features("Mim", "01712345678")
    crowd = frozenset(mark for mark in one.own if mark.startswith("p"))
    assert levels_of(one, other, crowd)["phone"] == "crowded"
    assert compare(one, other, crowd).person < compare(one, other).person


def test_the_number_of_the_alleged_in_the_other_report_is_noticed() -> None:
    marks = frozenset(BLIND.marks({"phone": "01712345678"}).alike)
    one, other = features("Rina", alleged=marks), features("Mim", near=marks)
    assert levels_of(one, other)["phone"] == "alleged"


def test_ages_places_and_times_are_compared_by_how_far_apart_they_are() -> None:
    here = features("Rina", age=(12, 12), upazila="BD302608", district="BD3026")
    there = replace(here, case_id=uuid4(), age=(14, 15), upazila="BD302614")
    later = replace(there, received_at=AT + timedelta(days=20), age=(18, 18), district="BD2022")
    assert {k: levels_of(here, there)[k] for k in ("age", "place", "time")} == {
        "age": "far",
        "place": "district",
        "time": "days",
    }
    assert {k: levels_of(here, later)[k] for k in ("age", "place", "time")} == {
        "age": "other",
        "place": "other",
        "time": "month",
    }
    once, twice = replace(here, happened=AT), replace(later, happened=AT - timedelta(days=2))
    assert levels_of(once, twice)["happened"] == "days"
    assert "happened" not in levels_of(once, later)
    assert age_range({"min": 10, "max": 12}, 15) == (15, 15)  # people corrected it
    assert age_range({"min": None, "max": 9}, None) == (9, 9)


def test_every_level_has_its_words_in_both_languages_and_its_weight() -> None:
    told = load_reasons()
    for field, levels in LEVELS.items():
        assert set(told[field]) == set(levels)
        assert all(set(words) == {"bn", "en"} for words in told[field].values())
    for model in models():
        assert {field: set(weights) for field, weights in model.weights.items()} == {
            field: set(levels) for field, levels in LEVELS.items()
        }
        for field, levels in LEVELS.items():
            assert model.weights[field][levels[0]] > 0, "what is most alike speaks for"
            assert model.weights[field]["other"] <= 0, "what differs never does"
        assert model.weights["phone"]["alleged"] > 0


def test_reasons_come_strongest_first_and_grounds_hold_nothing_of_a_person() -> None:
    alike = compare(features("Canary Rina", "01712345678"), features("Canary Rina", "01712345678"))
    weights = [abs(reason["weight"]) for reason in alike.reasons]
    assert weights == sorted(weights, reverse=True)
    assert alike.grounds == ("name:whole", "phone:own", "time:days")


def test_a_seed_makes_the_same_set() -> None:
    assert make_set(3, incidents=5) == make_set(3, incidents=5)
    assert make_set(3, incidents=5) != make_set(4, incidents=5)


def test_most_of_what_a_person_looks_at_is_so_on_a_set_that_nothing_was_fitted_on() -> None:
    pairs, so = pairs_of(make_set(31, incidents=150, upazilas=8))
    found = judge(pairs, so, models())["either"]
    assert found.precision > 0.5
    assert found.recall > 0.6
