"""`notification.sms`: tells people by SMS what the policy allows, neutrally and once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.notification.carrier import BySms
from services.notification.person_notifier import PersonNotifier
from shared.sms import load_sms_settings, make_gateway

if TYPE_CHECKING:
    from services.notification.carrier import Carrier
    from services.notification.notifiers import Desk, Notifier


def make_carrier(desk: Desk) -> Carrier | None:
    """Return the SMS gateway of the process, None when it has none.

    Raises:
        SettingsError: a setting of the gateway is wrong.

    """
    gateway = make_gateway(load_sms_settings(), desk.callbacks)
    return None if gateway is None else BySms(gateway)


def make_notifier(desk: Desk) -> Notifier:
    """Make the SMS notifier."""
    return PersonNotifier(desk, "sms", make_carrier(desk))
