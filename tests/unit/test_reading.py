"""What a careful reader concludes from a message; what is not said stays unknown."""

from __future__ import annotations

import json
import time
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.reading import read
from services.intake.reading.signals import load_rules
from services.intake.reading.words import LEXICON
from shared.vocabulary import Concern, Sex, Urgency

TODAY = date(2026, 11, 25)
DATA = Path(__file__).parents[1] / "data"
INBOUND = json.loads((DATA / "inbound.json").read_text(encoding="utf-8"))
MESSAGES = tomllib.loads((DATA / "messages.toml").read_text(encoding="utf-8"))["message"]
MORE = tomllib.loads((DATA / "ages.toml").read_text(encoding="utf-8"))["age"]


def load_lexicon(table: str) -> list[dict[str, Any]]:
    """Return the rows of a table in all files of the lexicon."""
    files = [tomllib.loads(p.read_text(encoding="utf-8")) for p in sorted(LEXICON.glob("*.toml"))]
    return [row for tables in files for row in tables.get(table, ())]


@pytest.mark.parametrize("message", INBOUND, ids=lambda message: message["text"][:30])
def test_the_sample_set_is_read_as_a_careful_reader_reads_it(message: dict[str, Any]) -> None:
    reading = read(message["text"], today=TODAY)
    assert set(message["concerns"]) <= set(reading.concerns)
    assert message["concerns"] or not reading.concerns
    assert reading.place == message["place"]
    assert reading.age == message["age"]
    assert reading.sex == message["sex"]
    assert reading.language == message["language"]
    least = message["urgency_at_least"]
    assert least is None or (reading.urgency is not None and reading.urgency <= least)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["text"][:30])
def test_messages_of_our_own(message: dict[str, Any]) -> None:
    reading = read(message["text"], today=TODAY)
    assert set(message["concerns"]) <= set(reading.concerns)
    assert message["concerns"] or not reading.concerns
    assert not set(message.get("absent", ())) & set(reading.concerns)
    for field in ("age", "sex", "place", "noise", "command"):
        assert getattr(reading, field) == message.get(field), field
    least = message.get("urgency")
    assert least is None or (reading.urgency is not None and reading.urgency <= least)
    most = message.get("most")
    assert most is None or reading.urgency is None or reading.urgency >= most
    assert set(message.get("conflict", ())) <= set(reading.possible_conflict)
    for said, field in (
        ("home", "place_home"),
        ("tell_nobody", "tell_nobody"),
        ("shared_phone", "shared_phone"),
        ("family_alleged", "family_alleged"),
        ("several", "several"),
        ("self_harm", "self_harm"),
        ("child", "child"),
    ):
        assert message.get(said, getattr(reading, field)) == getattr(reading, field), field
    count = message.get("count")
    assert count is None or reading.count == tuple(count)


@pytest.mark.parametrize("case", MORE, ids=lambda case: case["text"][:30])
def test_an_age_is_read_only_when_it_is_one(case: dict[str, Any]) -> None:
    assert read(case["text"], today=TODAY).age == case.get("years")


@pytest.mark.parametrize(
    ("text", "sex"),
    [
        ("আমি একজন মেয়ে", Sex.FEMALE),
        ("ami 15, chele", Sex.MALE),
        ("একটা ছেলে আমার বোনকে মারে", Sex.FEMALE),
        ("ছেলে মেয়ে দুইজনই কাজ করে", None),
        ("আমার ভাইকে আটকে রাখছে", Sex.MALE),
        ("ভাই, আমাকে সাহায্য করেন", None),
        ("বাবা আমাকে মারে", None),
        ("হিজড়া বলে বাসা থেকে বের করে দিছে", Sex.HIJRA),
        ("he is 12 and works in a shop", Sex.MALE),
        ("She beats me every day, I am 11", None),
        ("12/m welding shop", Sex.MALE),
        ("a boy and a girl are locked in", None),
        ("my girlfriend is missing", None),
        ("ek lok amake niye gese", None),
    ],
)
def test_the_sex_is_that_of_the_person_at_risk(text: str, sex: Sex | None) -> None:
    assert read(text, today=TODAY).sex == sex


@pytest.mark.parametrize(
    "text",
    ["বাবা মারে না", "no child labour here", "sold our land last year", "কাজ করে না সে", "not missing"],
)
def test_a_not_is_heard(text: str) -> None:
    assert read(text, today=TODAY).concerns == (Concern.UNSURE,)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("stop", "stop"),
        (" STOP. ", "stop"),
        ("বন্ধ", "stop"),
        ("বন্ধ করেন", "stop"),
        ("please stop", "stop"),
        ("stop beating him", None),
        ("ওদের বন্ধ করেন, মারতেছে", None),
        ("nombor", "receipt_request"),
        ("আমার গোপন নম্বর দিন", "receipt_request"),
        ("amar number 01712345678", None),
        ("4821773055169048", "receipt_code"),
        ("৪৮২১-৭৭৩০-৫৫১৬-৯০৪৮", "receipt_code"),
        ("my code is 4821 7730 5516 9048", "receipt_code"),
        ("4821 7730 5516", None),
        ("help 4821 7730 5516 9048 they beat me", None),
    ],
)
def test_a_command_is_the_whole_message(text: str, command: str | None) -> None:
    assert read(text, today=TODAY).command == command


def test_a_stop_takes_nothing_from_what_is_told() -> None:
    reading = read("আমার বোনকে দালাল নিয়ে যাচ্ছে, বন্ধ করেন, বয়স ১৪", today=TODAY)
    assert reading.command is None
    assert Concern.CHILD_TRAFFICKING in reading.concerns


def test_thoughts_of_dying_are_danger_in_three_ways_of_writing() -> None:
    for text in ("মরে যেতে ইচ্ছা করে, আত্মহত্যা করব", "ar bachte chai na", "i want to kill myself"):
        reading = read(text, today=TODAY)
        assert reading.self_harm
        assert reading.urgency == Urgency.T0


@pytest.mark.parametrize(
    "text",
    [
        "gamcha golay bandhsi",
        "ফ্যানে ওড়না বাঁধছি",
        "চলে যাচ্ছি চিরদিনের জন্য",
        "sobai ke sesh biday",
        "standing on the bridge",
        "ছাদের কিনারায় আছি",
        "তেলাপোকার ওষুধ খাইছি",
        "ate rat poison",
        "ami ar bachbo na",
        "আমি মরব",
        "মরতে চাই",
        "more jabo ami",
    ],
)
def test_a_way_of_dying_is_heard_whatever_it_is_called(text: str) -> None:
    reading = read(text, today=TODAY)
    assert reading.self_harm
    assert reading.urgency == Urgency.T0


@pytest.mark.parametrize(
    "text",
    [
        "bathroom e lukaisi, ora khujtese",
        "move us before sunrise",
        "ভোরের আগে গাড়ি ছাড়বে",
        "amader ke truck e uthaise",
        "roshi diye gach e badha",
        "খুঁটির সাথে বেঁধে রাখছে ছেলেটারে",
    ],
)
def test_danger_without_the_word_danger_is_heard(text: str) -> None:
    reading = read(text, today=TODAY)
    assert reading.urgency == Urgency.T0
    assert not reading.self_harm


@pytest.mark.parametrize(
    "text",
    [
        "ami morbo na, lorbo",
        "আমি মরব না, লড়ব",
        "মরতে চাই না, বাঁচতে চাই",
        "goru roshi diye gach e badha",
        "কাল বাস ছাড়বে কয়টায়?",
        "ট্রাকে ইট তুলছে",
    ],
)
def test_courage_beasts_and_buses_are_no_danger(text: str) -> None:
    reading = read(text, today=TODAY)
    assert not reading.self_harm
    assert reading.urgency != Urgency.T0


@pytest.mark.parametrize("text", ["Avwg wec‡` AvwQ", "Avgvi †g‡q nvwi‡q †M‡Q"])
def test_text_in_an_old_bangla_encoding_stays_unknown_and_is_no_noise(text: str) -> None:
    reading = read(text, today=TODAY)
    assert reading.noise is None
    assert reading.concerns == (Concern.UNSURE,)
    assert (reading.age, reading.sex, reading.place) == (None, None, None)


def test_reasons_are_ids_of_the_lexicon_and_never_words_of_the_message() -> None:
    known = {f"rule:{rule.id}" for rule in load_rules()}
    entries = load_lexicon("entry")
    known |= {entry["id"] for entry in entries}
    for message in MESSAGES:
        for reason in read(message["text"], today=TODAY).reasons:
            assert reason in known or reason.startswith("command:")


def test_every_entry_of_the_lexicon_has_a_reason_and_its_own_id() -> None:
    entries = load_lexicon("entry")
    assert all(entry["reason"] for entry in entries)
    assert len({entry["id"] for entry in entries}) == len(entries)
    rules = [*load_lexicon("rule"), *load_lexicon("danger")]
    assert all(rule["reason"] for rule in rules)
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert all(mood["reason"] for mood in load_lexicon("mood"))


def test_every_rule_hears_signals_that_exist_and_reads_words_of_the_vocabulary() -> None:
    entries = load_lexicon("entry")
    signals = {entry["signal"] for entry in entries} | {"is_child", "is_adult", "age_open"}
    for rule in load_rules():
        assert frozenset().union(rule.none, *rule.all, *rule.of) <= signals, rule.id
        assert rule.concern is None or rule.concern in set(Concern)
        assert rule.urgency in set(Urgency)


WORDS = st.sampled_from(
    [word for message in (*INBOUND, *MESSAGES) for word in message["text"].split()],
)


@settings(deadline=None)  # the first call loads data
@given(
    st.text(st.characters(codec=None), max_size=400)
    | st.lists(WORDS).map(" ".join)
    | st.tuples(st.lists(WORDS, min_size=1, max_size=30).map(" ".join), st.integers(1, 200)).map(
        lambda pair: ((pair[0] + " ") * pair[1])[:20_000],
    ),
)
def test_no_text_makes_the_reader_fail(text: str) -> None:
    reading = read(text, today=TODAY)
    assert reading.command or reading.concerns
    assert reading.age is None or 0 <= reading.age <= 110


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00\x01\x02",
        "\ud800\udfff",
        "😢" * 5_000,
        "a" * 10_000,
        "১" * 10_000,
        "1 " * 5_000,
        "না " * 3_333,
        "আমার মেয়ে ১৪ কাজ করে " * 450,
        "amar meye 14 bochor kaj kore na " * 320,
        "kidney " * 1_500,
        "না খেয়ে, " * 1_000,
        "\u09cd" * 10_000,
        "1-" * 5_000,
        "(" * 10_000,
        "আমার নাম " * 2_200,
        "দিনাজপুর নামে " * 1_400,
        "দিনাজপুর ভোলা সিলেট সদর " * 800,
        "বয়স ১২ বছর, ১৪ " * 1_250,
        "তেরো বছর বয়স " * 1_400,
        "amar bari dinajpur sadar upazila " * 600,
        "😢🙏" * 10_000,
        "ঢাকা dhaka 12 বছর years " * 800,
    ],
    ids=lambda text: repr(text[:8]),
)
def test_a_strange_or_long_text_is_read_in_bounded_time(text: str) -> None:
    read("warm ঢাকা", today=TODAY)
    began = time.process_time()  # of this process: a busy machine does not count
    read(text, today=TODAY)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("danger", ["ar bachte chai na", "ওরা দরজা ভাঙতেছে, বাঁচান"])
def test_danger_at_the_end_of_the_longest_text_is_heard(danger: str) -> None:
    text = ("আমাদের গ্রামে অনেক মানুষ থাকে। " * 700)[: 19_990 - len(danger)] + ". " + danger
    assert read(text, today=TODAY).urgency == Urgency.T0
