"""The conversation of every channel that asks: whole in both languages, short, neutral, total."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.report import ReportIn
from services.intake.talk.body import further_words, recordings_of, report_of
from services.intake.talk.definition import FILE, LANGUAGES, load_definition, parse_definition
from services.intake.talk.engine import Talk, ask, follow, screen

TALK = load_definition()
TELLS = (
    "pashe", "পাশে", "1098", "১০৯৮", "child", "শিশু", "মেয়ে", "নির্যাতন", "পাচার", "traffick",
    "abuse", "case", "মামলা", "কেস", "report", "রিপোর্ট", "অভিযোগ", "http", "www", "police", "পুলিশ",
    "victim", "ভিকটিম", "রসিদ", "name", "নাম", "help", "সাহায্য", "danger", "বিপদ",
)  # fmt: skip
GSM = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The basic alphabet of 3GPP TS 23.038: what is outside of it makes a screen UCS-2."""


def fits(text: str) -> bool:
    """Whether a text is one USSD screen: 182 characters of GSM-7, or 70 units of UCS-2."""
    if set(text) <= GSM:
        return len(text) <= 182
    return len(text.encode("utf-16-be")) // 2 <= 70


def texts() -> list[str]:
    said = [screen(Talk("start"), TALK)]
    for language in LANGUAGES:
        for question in TALK.question:
            said.append(question.of(language))
            said += [answer.of(language) for answer in question.answers]
        said += [words.of(language) for words in TALK.says.values()]
    return said


def test_nothing_on_a_screen_tells_what_it_is_about_or_asks_for_a_name() -> None:
    said = " ".join(texts()).lower()
    assert [tell for tell in TELLS if tell in said] == []


def test_the_least_is_asked_and_everything_can_be_passed_over() -> None:
    assert len(TALK.question) <= 6
    for language, pass_over in product(("1", "2"), (TALK.unsure.digit, TALK.unsaid.digit)):
        talk = follow(TALK, [language, *[pass_over] * len(TALK.question)])
        assert talk.stage == "end"
        body = report_of(talk, TALK, channel="ussd", phone=None, pcode=None)
        report = ReportIn.model_validate(body)
        assert (report.danger_now, report.persons, report.narrative) == (None, [], None)
        assert report.reporter.safe_contact.allowed is False


@pytest.mark.parametrize("language", ["1", "2"])
@pytest.mark.parametrize("line", [None, "999"])
@pytest.mark.parametrize("again", [False, True])
def test_every_screen_fits(language: str, line: str | None, *, again: bool) -> None:
    for asked in range(len(TALK.question)):
        answers = [language, *["1"] * asked, *(["77"] if again else [])]
        shown = screen(follow(TALK, answers), TALK, line=line)
        assert fits(shown), (len(shown), shown)


def test_every_other_text_fits_a_screen_and_one_sms() -> None:
    for name, language in product(TALK.says, ("bn", "en")):
        if name.startswith("say_") or name == "press":
            continue
        filled = {"line": "999", "receipt": "1234 5678 9012 3456"}
        said = TALK.says[name].of(language).format(**filled)
        assert fits(said), said
        assert len(said) <= (160 if set(said) <= GSM else 70), "one SMS"


def test_danger_now_shows_who_helps_at_once_and_only_then() -> None:
    assert "৯৯৯" in screen(follow(TALK, ["1", "1"]), TALK, line="999")
    assert "999" in screen(follow(TALK, ["2", "1"]), TALK, line="999")
    for path in (["1"], ["1", "2"], ["1", "9"], ["1", "1", "1"]):
        assert "৯৯৯" not in screen(follow(TALK, path), TALK, line="999")


def test_the_answers_become_a_report() -> None:
    talk = follow(TALK, ["১", "১", "2", "২", "সাভার, ঢাকা", "1", "তাকে আটকে রেখেছে"])
    body = report_of(talk, TALK, channel="ussd", phone="+8801700000001", pcode=None)
    report = ReportIn.model_validate(body)
    assert talk.stage == "end"
    assert (report.danger_now, report.language, report.about) == (True, "bn", "people")
    (person,) = report.persons
    assert person.age is not None
    assert (person.age.min, person.age.max) == (12, 17)
    assert report.places[0].text == "সাভার, ঢাকা"
    assert report.reporter.safe_contact.channel == "call"
    assert report.narrative == "তাকে আটকে রেখেছে"


def test_a_drop_at_any_answer_is_a_report_already() -> None:
    path = ["1", "1", "2", "2", "সাভার", "1", "কথা"]
    for length in range(len(path) + 1):
        body = report_of(follow(TALK, path[:length]), TALK, channel="ussd", phone=None, pcode=None)
        ReportIn.model_validate(body)


def test_what_was_recorded_is_kept_as_an_address_and_never_as_words() -> None:
    talk = follow(TALK, ["1", "9", "9", "9", "recorded:https://x.example.org/1", "2", "recorded:b"])
    body = report_of(talk, TALK, channel="voice", phone=None, pcode=None)
    assert recordings_of(talk) == ["https://x.example.org/1", "b"]
    assert "narrative" not in body
    assert "places" not in body


def test_a_question_is_added_without_code() -> None:
    more = """
[[question]]
id = "school"
bn = "স্কুলে যায়?"
en = "At school?"
answers = [{ digit = "1", value = "yes", bn = "হ্যাঁ", en = "Yes" }]
"""
    talk = parse_definition(FILE.read_text("utf-8").replace("[says]", more + "\n[says]"))
    done = ask(talk, "en", ["9", "9", "9", "9", "9", "9", "1"])
    body = report_of(done, talk, channel="ussd", phone=None, pcode=None)
    assert body["narrative"] == "At school? Yes"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('en = "Under 12"', 'en = " "'),
        ('en = "Under 12"', ""),
        ('digit = "3"', 'digit = "2"'),
        ('digit = "3"', 'digit = "9"'),
        ('id = "age"', 'id = "whom"'),
        ('fills = "age"', 'fills = "reporter"'),
        ('fills = "age"', 'fills = "name"'),
    ],
)
def test_a_definition_that_would_not_do_is_refused(old: str, new: str) -> None:
    text = FILE.read_text("utf-8")
    assert old in text
    with pytest.raises(Exception, match=r"."):
        parse_definition(text.replace(old, new, 1))


def test_what_came_after_a_drop_is_told_to_the_desk() -> None:
    before = follow(TALK, ["2", "2"])
    later = follow(TALK, ["2", "2", "1", "3", "Savar", "9", "0"])
    told = further_words(later, before, TALK)
    assert told is not None
    assert told.splitlines() == [
        "For whom? Myself",
        "How old? 18 or more",
        "Which area? Write upazila and district. Savar",
    ]


PRESSED = st.lists(
    st.one_of(st.sampled_from("0123456789"), st.text(max_size=30), st.sampled_from("০১২৩৪৯")),
    max_size=14,
)


@given(PRESSED)
def test_any_path_has_a_next_screen_that_fits_and_a_report(path: list[str]) -> None:
    talk = follow(TALK, path)
    assert talk == follow(TALK, list(path))
    assert fits(screen(talk, TALK, line="999"))
    body: dict[str, Any] = report_of(talk, TALK, channel="ussd", phone=None, pcode=None)
    ReportIn.model_validate(body)
