"""The words for the person are there in both languages, for events that there are."""

from __future__ import annotations

from services.audit.telling import LANGUAGES, words
from shared.events import DATA_TYPES


def test_every_word_is_in_both_languages_and_of_an_event_that_exists() -> None:
    known = words()
    assert set(known["events"]) <= set(DATA_TYPES)
    for told in (known["heads"], known["ends"], known["erased"], *known["events"].values()):
        assert set(told) == set(LANGUAGES)
        assert all(told.values())


def test_no_word_that_is_never_said() -> None:
    said = " ".join(text for told in words()["events"].values() for text in told.values())
    for word in ("মামলা", "কেস", "অভিযোগ", "ভিকটিম", "victim", "referral", "case"):
        assert word not in said
