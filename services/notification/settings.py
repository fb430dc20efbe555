"""What notification alone is told; everything is read once, at the start."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Network, IPv6Network

SCHEDULE: Final = "0,5,300,1800,7200,18000,36000,86400"
"""Seconds before each attempt, the first included: Standard Webhooks' own example."""

TIMEOUT: Final = 15.0
"""Seconds that a whole attempt may take, from the look-up of the name to the status line."""

LEASE_MARGIN: Final = timedelta(seconds=15)
"""How much longer than an attempt a claim holds; then another worker takes it again."""

GAP_WAIT: Final = 3600.0
"""Seconds that entries wait for one before them in the feed that is not parked and does not come.

It is never lost between the centre's own services, only late; this is for a Kafka that lost it."""


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """How webhooks are sent. `denied` is the second layer, beside the built-in networks."""

    schedule: tuple[timedelta, ...]
    timeout: timedelta
    gap_wait: timedelta
    denied: tuple[IPv4Network | IPv6Network, ...]

    @property
    def lease(self) -> timedelta:
        """How long a claim holds."""
        return self.timeout + LEASE_MARGIN


def load_settings(env: Mapping[str, str] | None = None) -> WebhookSettings:
    """Read how webhooks are sent.

    `NOTIFICATION_SCHEDULE`, `NOTIFICATION_TIMEOUT` and `NOTIFICATION_GAP_WAIT` are seconds,
    `NOTIFICATION_DENIED` names networks; lists are divided by commas.

    Raises:
        SettingsError: a variable is wrong; the message names it.

    """
    source = os.environ if env is None else env
    try:
        schedule = tuple(
            _seconds(word) for word in (source.get("NOTIFICATION_SCHEDULE") or SCHEDULE).split(",")
        )
    except ValueError:
        raise SettingsError("NOTIFICATION_SCHEDULE is not a list of seconds") from None
    try:
        timeout = _seconds(source.get("NOTIFICATION_TIMEOUT") or str(TIMEOUT))
        gap_wait = _seconds(source.get("NOTIFICATION_GAP_WAIT") or str(GAP_WAIT))
    except ValueError:
        raise SettingsError("NOTIFICATION_TIMEOUT or NOTIFICATION_GAP_WAIT is wrong") from None
    try:
        denied = tuple(
            ip_network(word.strip())
            for word in source.get("NOTIFICATION_DENIED", "").split(",")
            if word.strip()
        )
    except ValueError:
        raise SettingsError("NOTIFICATION_DENIED is not a list of networks") from None
    if not timeout:
        raise SettingsError("NOTIFICATION_TIMEOUT must be more than 0")
    return WebhookSettings(schedule, timeout, gap_wait, denied)


def _seconds(word: str) -> timedelta:
    value = timedelta(seconds=float(word))
    if value < timedelta(0):
        raise ValueError(word)
    return value
