"""The places of Bangladesh, and which of them a text names."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.gazetteer import ACCEPT, list_mentions
from shared.name_index import list_names
from shared.places import (
    Level,
    PlaceUnknown,
    all_places,
    ancestors,
    coarse,
    district_of,
    find,
    resolve,
)

SOUGHT = (Level.DISTRICT, Level.UPAZILA, Level.CITY_CORPORATION, Level.THANA, Level.UNION)
CODES = st.sampled_from(sorted(all_places()))
NAMES = [(name, code) for name, code, _ in list_names() if all_places()[code].level in SOUGHT]


@settings(deadline=None)  # the first call loads data
@given(CODES)
def test_every_place_lies_in_the_country_by_way_of_its_parents(pcode: str) -> None:
    chain = ancestors(pcode)
    assert chain[0] == pcode
    assert chain[-1] == "BD"
    assert [all_places()[code].parent for code in chain] == [*chain[1:], None]


@settings(deadline=None)  # the first call loads data
@given(CODES)
def test_an_event_never_names_a_union(pcode: str) -> None:
    place = find(coarse(pcode))
    assert place is not None
    assert place.level is not Level.UNION
    assert place.pcode in ancestors(pcode)
    assert coarse(place.pcode) == place.pcode


def test_the_tree_is_whole() -> None:
    levels = [place.level for place in all_places().values()]
    assert [levels.count(level) for level in Level] == [1, 8, 64, 495, 12, 61, 4524]


def test_a_metropolitan_thana_lies_in_its_city_corporation() -> None:
    assert ancestors("BD302648") == ("BD302648", "BD30262500", "BD3026", "BD30", "BD")
    assert coarse("BD302648") == "BD302648"
    assert district_of("BD302648") == "BD3026"


def test_a_parent_is_not_the_prefix_of_a_code() -> None:
    moved = [p for p in all_places().values() if p.parent and not p.pcode.startswith(p.parent)]
    assert moved


def test_a_union_is_found_by_its_code_and_by_its_own_id() -> None:
    assert find("BD10040913") == find("U2393")
    without_code = find("U2398")
    assert without_code is not None
    assert without_code.parent == "BD10040009"


def test_an_unknown_code_is_said_to_be_unknown() -> None:
    assert find("BD9999") is None
    for ask in (ancestors, coarse, district_of):
        with pytest.raises(PlaceUnknown):
            ask("BD9999")


def test_every_name_and_alias_with_its_district_is_itself_or_a_tie_with_itself() -> None:
    """All 14,382 names and spellings of the geography, each beside the name of its district."""
    lost = []
    for name, pcode in NAMES:
        district = all_places()[district_of(pcode) or ""]
        beside = district.name_en if name.isascii() else district.name_bn
        text = name if pcode == district.pcode else f"{name}, {beside}"
        found = {candidate.pcode for candidate in resolve(text)}
        # A union may give way to the upazila, thana or district that bears the same name.
        larger = all_places()[pcode].level is Level.UNION and found
        if pcode not in found and not larger:
            lost.append((text, pcode))
    assert len(NAMES) > 14_000
    assert lost == []


@pytest.mark.parametrize(
    ("text", "pcode"),
    [
        ("Jessore", "BD4041"),
        ("Comilla", "BD2019"),
        ("Chittagong", "BD2015"),
        ("Bogra", "BD5010"),
        ("Barisal", "BD1006"),
        ("Coxbazar", "BD2022"),
        ("keranigonj", "BD30260038"),
        ("কেরানীগঞ্জ", "BD30260038"),
        ("কেরাণীগঞ্জে", "BD30260038"),
        ("যশোহর", "BD4041"),
        ("চট্টগ্রামের", "BD2015"),
        ("ঢাকায়", "BD3026"),
        ("dhakate", "BD3026"),
        ("Benapole", "BD40410090"),
        ("বেনাপোলে", "BD40410090"),
        ("Daulatdia", "BD30820029"),
        ("টঙ্গী", "BD3033"),
        ("mirpur, dhaka", "BD302648"),
        ("mirpur kushtia", "BD40500094"),
        ("Bogra sadar", "BD50100020"),
        ("cumilla sodor", "BD20190067"),
        ("sherpur", "BD4589"),
        ("sherpur bogura", "BD50100088"),
        ("Faridpur Pabna", "BD50760033"),
        ("kaliganj gazipur", "BD30330034"),
        ("রমপুরা, ঢাকা", "BD302667"),
        ("moymonsingh trisal", "BD45610094"),
        ("Rajshahi, Godagary", "BD50810034"),
        ("টেকনাফ, চট্টগ্রাম", "BD20220090"),
        ("তালা, সাতক্ষীরা", "BD40870090"),
        ("ঢাকা বিভাগ", "BD30"),
        ("সুনামগঞ্জ জেলার ছাতক উপজেলার নোয়ারাই ইউনিয়ন", "BD60902376"),
        ("লালমনিরহাট এর পাটগ্রাম এর বুড়িমারী", "BD55520070"),
    ],
)
def test_names_and_spellings_in_use(text: str, pcode: str) -> None:
    best, *others = resolve(text)
    assert best.pcode == pcode
    assert best.score >= ACCEPT
    assert not others


@pytest.mark.parametrize("text", ["Kaliganj", "শিবগঞ্জ", "Mirpur", "Daulatpur", "দুর্গাপুর", "kachua"])
def test_a_name_of_several_places_is_a_tie_without_its_district(text: str) -> None:
    found = resolve(text)
    assert len(found) > 1
    assert len({candidate.score for candidate in found}) == 1
    assert found[0].score < ACCEPT


def test_an_upazila_of_the_division_and_a_union_of_the_district_are_a_tie() -> None:
    assert {c.pcode for c in resolve("নাজিরপুর, বরিশাল")} == {"BD10066971", "BD10790076"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "সাহস পাই না",
        "ঘরে তালা দিয়ে রাখে",
        "মুখ ঢাকা ছিল",
        "এ কথা ভোলা যায় না",
        "apnara kothay",
        "amar bari jabo",
        "my name is Ramu",
        "help me please",
    ],
)
def test_a_word_is_no_place(text: str) -> None:
    assert resolve(text) == ()


def test_a_lock_in_satkhira_is_not_the_upazila_tala() -> None:
    assert [c.pcode for c in resolve("তালা দিয়ে রাখে, সাতক্ষীরা")] == ["BD4087"]


def test_a_union_is_not_taken_from_a_word_elsewhere_in_the_text() -> None:
    assert [c.pcode for c in resolve("সাহস পাই না, খুলনা")] == ["BD4047"]


def test_two_places_are_two_mentions_in_order() -> None:
    mentions = list_mentions("gazipur theke dhaka niye gese")
    assert [m.candidates[0].pcode for m in mentions] == ["BD3033", "BD3026"]
    assert mentions[0].start == 0


@settings(deadline=None)  # the first call loads data
@given(st.text(max_size=300))
def test_any_text_can_be_asked(text: str) -> None:
    for candidate in resolve(text):
        assert 0 < candidate.score <= 100
        assert 0 <= candidate.start < candidate.end <= len(text)


def test_a_long_text_takes_bounded_time() -> None:
    began = time.perf_counter()
    resolve("kono ekta gramer manush khobor dise " * 300)
    resolve("ক্ষতিগ্রস্তজনপদে অচেনাগ্রাম " * 400)
    assert time.perf_counter() - began < 2


def test_threads_get_the_same_answer() -> None:
    texts = ["Jessore sharsha", "কেরানীগঞ্জ, ঢাকা", "Kaliganj", "teknaf"] * 20
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(resolve, texts)) == [resolve(text) for text in texts]
