"""Every event and flag has a name on the page of the history."""

from __future__ import annotations

from services.audit.flags import Flag, names_of
from services.audit.pages.history.names import EVENTS, FLAGS
from shared.events import DATA_TYPES


def test_every_event_that_can_come_has_words() -> None:
    assert DATA_TYPES.keys() <= EVENTS.keys()


def test_every_flag_has_words() -> None:
    assert {name for flag in Flag for name in names_of(flag)} == FLAGS.keys()
