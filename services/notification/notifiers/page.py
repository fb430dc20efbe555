"""`notification.page`: pages whoever is on duty when somebody is in danger now, by SMS.

A page is to staff: no consent and no safe hours are asked for, and its words say nothing either. It
has a group and a lane of its own, so that notices to persons never hold it up. What cannot be sent
is an event, at which intake pages the next person.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from services.notification.notifiers.sms import SmsHandler, SmsNotifier
from shared.events import CASES

if TYPE_CHECKING:
    from services.notification.notifiers import Desk, Notifier
    from services.notification.notifiers.sms import Planning
    from shared.events import CaseFacts, Event
    from shared.outbox import Stamp

PAGED: Final = "duty-paged"


class PageHandler(SmsHandler):
    """Plans the notice of each page that names somebody."""

    def wants(self, event_type: str, needs: frozenset[str]) -> bool:
        """Care about pages alone."""
        del needs
        return event_type == PAGED

    def decide(self, state: Planning, event: Event, stamp: Stamp) -> None:
        """Plan it; a page that found nobody on duty is an alert and no notice."""
        facts: CaseFacts = event.data
        if facts.step is not None and facts.step.to is not None:
            super().decide(state, event, stamp)


class PageNotifier(SmsNotifier):
    """The notifier of pages: each is sent, also minutes after another to the same person."""

    name = "page"
    topics = (CASES,)
    window = timedelta()
    handler_type = PageHandler


def make_notifier(desk: Desk) -> Notifier:
    """Make the notifier of pages."""
    return PageNotifier(desk)
