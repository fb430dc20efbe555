"""Notifiers: each a module found by its name, and a consumer group of its own.

`NOTIFICATION_NOTIFIERS` chooses which of them a process runs. A notifier decides in its consumer's
transaction what is to be told, and sends outside of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.notification.outbound import Outbound
    from services.notification.seal import Sealer
    from services.notification.settings import WebhookSettings
    from shared.consumer import Handler
    from shared.runtime import Service

NAMES: Final = (
    *("webhook", "kafka"),
    *("sms", "page", "provider", "digest", "whatsapp", "voice", "push", "email"),
)
"""Every notifier that this version has."""


CALLBACKS: Final = "/notification/callbacks"
"""Under it gateways tell of deliveries."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a notifier is given."""

    service: Service
    settings: WebhookSettings
    sealer: Sealer
    outbound: Outbound

    @property
    def callbacks(self) -> str:
        """Where gateways tell of deliveries, without the gateway's name."""
        return f"{self.service.settings.public_url}{CALLBACKS}"


class Notifier(Protocol):
    """The one interface of a notifier. Its group is `notification.<name>`."""

    @property
    def name(self) -> str:
        """The name it is found by."""
        ...

    @property
    def topics(self) -> tuple[str, ...]:
        """What its group reads; nothing, and it has no group."""
        ...

    @property
    def guards(self) -> bool:
        """Whether it is the one consumer here that parks what nobody can read in its topics."""
        ...

    @property
    def handler(self) -> Handler[Any]:
        """What it does with a batch of events."""
        ...

    def wake(self) -> None:
        """Look for what is to be sent; called after each commit of the consumer."""
        ...

    async def run(self) -> None:
        """Send what is due until cancelled."""
        ...


def make_notifiers(desk: Desk, only: Iterable[str]) -> list[Notifier]:
    """Make the chosen notifiers, or all when none is chosen.

    Raises:
        KeyError: a chosen notifier does not exist.

    """
    chosen = tuple(only) or NAMES
    unknown = set(chosen) - set(NAMES)
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    return [
        import_module(f"services.notification.notifiers.{name}").make_notifier(desk)
        for name in NAMES
        if name in chosen
    ]
