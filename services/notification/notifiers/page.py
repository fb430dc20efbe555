"""`notification.page`: pages whoever is on duty when somebody is in danger now.

A page is to staff: no consent and no safe hours are asked for, and its words say nothing either. It
has a group and a lane of its own, so that notices to persons never hold it up. It goes by SMS, or
is given to the notifier of calls or of push when that is the way of whoever is paged. What cannot
be sent is an event, at which intake pages the next person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.notification.notifiers.sms import make_carrier
from services.notification.person_notifier import PersonNotifier
from services.notification.planning import PersonHandler
from shared.events import CASES

if TYPE_CHECKING:
    from services.notification.notifiers import Desk, Notifier
    from services.notification.planning import Planning
    from shared.events import CaseFacts, Event
    from shared.outbox import Stamp

PAGED: Final = "duty-paged"


class PageHandler(PersonHandler):
    """Plans the notice of each page that names somebody."""

    def decide(self, state: Planning, event: Event, stamp: Stamp) -> None:
        """Plan it; a page that found nobody on duty is an alert and no notice."""
        facts: CaseFacts = event.data
        if facts.step is not None and facts.step.to is not None:
            super().decide(state, event, stamp)


def make_notifier(desk: Desk) -> Notifier:
    """Make the notifier of pages."""
    carrier = make_carrier(desk)
    return PersonNotifier(desk, "page", carrier, topics=(CASES,), handler_type=PageHandler)
