"""What the texts of notices may hold: each in every language, with the longest values."""

from __future__ import annotations

import shutil
import unicodedata
from typing import TYPE_CHECKING

import pytest
import smsutil
from hypothesis import given
from hypothesis import strategies as st

from services.notification.templates import (
    FOLDER,
    LANGUAGES,
    LONGEST,
    Audience,
    clean_value,
    faults_of,
    load_forbidden,
    load_templates,
)
from shared.errors import SettingsError
from shared.sms import count_segments
from tests.support import notices_page

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATES = load_templates()
FORBIDDEN = load_forbidden()
NEUTRAL = FORBIDDEN[Audience.PERSONS]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", sorted(TEMPLATES.names))
def test_a_text_is_one_sms_and_gives_nothing_away(name: str, language: str) -> None:
    audience = TEMPLATES.audience(name)
    text = TEMPLATES.text(name, language, LONGEST)
    assert faults_of(text, audience, FORBIDDEN[audience]) == []
    assert count_segments(text).parts == 1
    split = smsutil.split(text)  # counted by somebody else
    assert len(split.parts) == 1
    if audience is Audience.PERSONS:  # nothing is filled in
        assert TEMPLATES.text(name, language) == text
        assert not TEMPLATES.is_letter(name)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Pashe has news", "word pashe"),
        ("পাশে থেকে খবর", "word পাশে"),
        ("Your CASE has news", "word case"),
        ("আপনার আশ্রয়ের খবর", "word আশ্রয়"),
        ("Call 1098", "number"),
        ("১০৯৮", "number"),
        ("See x.org", "link"),
        ("https://x", "link"),
        ("a" * 161, "long"),
        ("ক" * 71, "long"),
        (" ", "empty"),
        ("two\nlines", "empty"),
        ("Hello {name}", "place to fill"),
    ],
)
def test_a_text_that_gives_something_away_is_found(text: str, fault: str) -> None:
    found = faults_of(text, Audience.PERSONS, NEUTRAL)
    assert unicodedata.normalize("NFC", fault) in found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the templates to spoil."""
    return shutil.copytree(FOLDER, tmp_path / "templates")


@pytest.mark.parametrize(
    ("file", "added", "says"),
    [
        ("bn/persons.ftl", "only_here = খবর আছে", "only_here"),
        ("en/persons.ftl", "only_here = There is news", "only_here"),
        ("en/persons.ftl", "news = twice", "persons.ftl"),
        ("en/persons.ftl", "this is no Fluent", "persons.ftl"),
        ("en/staff.ftl", "news = for another", "two audiences"),
        *(
            (f"{{}}/{audience}.ftl", "spoilt = " + text, says)
            for audience, text, says in (
                ("persons", "Call me: { $code }", "place to fill"),
                ("persons", "The shelter has news", "word shelter"),
                ("persons", "Look at www.example.org", "link"),
                ("persons", "a" * 161, "long"),
                ("persons", "News\n    .subject = News\n    .body = News", "a letter to a person"),
                ("providers", "The victim waits", "word victim"),
                ("providers", "See { $url }", "link"),
                ("providers", "{ $code }" * 41, "long"),
                ("providers", "{ $nobody }", "nothing fills"),
                ("providers", "A\n    .subject = The victim\n    .body = B", "word victim"),
            )
        ),
    ],
)
def test_a_template_that_may_not_be_stops_the_start(
    folder: Path, file: str, added: str, says: str
) -> None:
    for path in {file.format(language) for language in LANGUAGES}:
        spoilt = folder / path
        spoilt.write_text(f"{spoilt.read_text('utf-8')}\n{added}\n", "utf-8")
    with pytest.raises(SettingsError, match=says):
        load_templates(folder)


@pytest.mark.parametrize("name", ["never.txt", "forbidden.txt", "bn/staff.ftl"])
def test_a_missing_file_stops_the_start(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(SettingsError, match="cannot be read"):
        load_templates(folder)


HOSTILE = (
    "12\r\nBcc: all@example.org",
    "{ $url }",
    "{news}",
    "\u202e4321",
    "<b>1</b>",
    "1\x00\x1b[31m2",
    "9" * 5000,
    "%s%(x)s{0.__class__}",
)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_stays_a_value_of_one_line(value: str, language: str) -> None:
    for name in sorted(TEMPLATES.names):
        values = dict.fromkeys(LONGEST, value)
        text = TEMPLATES.text(name, language, values)
        assert len(text) <= len(TEMPLATES.text(name, language, LONGEST))
        assert text.isprintable()
        if TEMPLATES.is_letter(name):
            letter = TEMPLATES.letter(name, language, values)
            plain = TEMPLATES.letter(name, language, LONGEST)
            assert letter.subject == plain.subject
            assert letter.body.count("\n") == plain.body.count("\n")


@given(st.text(), st.sampled_from(sorted(LONGEST)))
def test_any_value_is_one_line_and_no_longer_than_its_place(value: str, place: str) -> None:
    found = clean_value(place, value)
    assert len(found) <= len(LONGEST[place])
    assert not set(found) & set("\n\r\t\x00\u202e\u2028")


def test_the_page_that_people_read_is_what_the_files_say() -> None:
    assert notices_page.PAGE.read_text("utf-8") == notices_page.render()
