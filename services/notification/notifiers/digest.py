"""`notification.digest`: tells supervisors by SMS, once a shift, how much waits for them.

In place of a notice for each thing: two counts, and no word of what they are about. It has a group
and a lane of its own, beside the pages, and never rings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.notification.notifiers.sms import make_carrier
from services.notification.person_notifier import PersonNotifier
from shared.events import CASES

if TYPE_CHECKING:
    from services.notification.notifiers import Desk, Notifier


def make_notifier(desk: Desk) -> Notifier:
    """Make the notifier of digests."""
    return PersonNotifier(desk, "digest", make_carrier(desk), topics=(CASES,))
