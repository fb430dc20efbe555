"""Notification's consumers: one group a notifier, so that each scales and fails separately."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.notification.reach import CaseReach
from shared.consumer import UNHURRIED, DurableConsumer
from shared.events import CASES, NOTICES
from shared.parked import tell_of_parked

HURRIED = frozenset({"webhook"})
"""Notifiers whose receivers are programs that wait."""

if TYPE_CHECKING:
    from services.notification.notifiers import Notifier
    from shared.runtime import Service


def make_consumer(service: Service, notifier: Notifier) -> DurableConsumer[Any]:
    """Make the durable consumer of a notifier; after each commit relay and notifier are woken."""
    return DurableConsumer(
        f"notification.{notifier.name}",
        notifier.topics,
        notifier.handler,
        service.flow,
        guards=notifier.guards,
        pace=0.0 if notifier.name in HURRIED else UNHURRIED,
        on_parked=tell_of_parked(service.outbox, NOTICES),
        wake=notifier.wake,
        wake_relay=service.waker.wake,
    )


def make_cases(service: Service) -> DurableConsumer[Any]:
    """Make the consumer that keeps who may see a case, and has an erased one's events blanked."""
    return DurableConsumer(
        "notification.cases",
        (CASES,),
        CaseReach(),
        service.flow,
        guards=True,
        pace=UNHURRIED,
        on_parked=tell_of_parked(service.outbox, NOTICES),
        wake_relay=service.waker.wake,
    )
