"""`notification.provider`: tells workers of a provider without a system what it is asked, by SMS.

With the code to answer by. It has a group and a lane of its own, beside the notices to persons; a
provider with no number here goes on to the notifier of mail, and one with neither hears of it by
its system, which is no notice of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.notification.notifiers.sms import make_carrier
from services.notification.person_notifier import PersonNotifier

if TYPE_CHECKING:
    from services.notification.notifiers import Desk, Notifier


def make_notifier(desk: Desk) -> Notifier:
    """Make the notifier of providers' workers."""
    return PersonNotifier(desk, "provider", make_carrier(desk))
