"""What every notifier to people sends by: one message in, and an honest word about it.

A carrier is one way (`sms`, `whatsapp`, `call`, `push`, `email`); the words that it takes of a
message are its own business. Numbers and addresses are arguments, and are kept nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import timedelta

    from services.notification.templates import Letter
    from shared.sms import Asks, Fate, Gateway, Outcome, Question


@dataclass(frozen=True, slots=True)
class Message:
    """What is said: `text` of one SMS; `letter` when the template may go as mail."""

    template: str
    language: str
    text: str
    letter: Letter | None = None


class Carrier(Protocol):
    """One way to people; an instance serves a whole process."""

    @property
    def name(self) -> str:
        """A short word for metrics: `twilio`, `cloud`, `smtp`."""
        ...

    @property
    def asks(self) -> Asks:
        """What it can be asked by, when it is not known whether it sent."""
        ...

    @property
    def exchange(self) -> timedelta:
        """How long one send may take at most."""
        ...

    async def send(self, address: str, message: Message, key: str) -> Outcome:
        """Send one message, once; never raises but for a cancel, whose outcome is unknown.

        `address`: an E.164 number, a mail address, or a push subscription, as the way has it. `key`
        is the notice's id.
        """
        ...

    async def ask(self, question: Question) -> Fate | None:
        """Ask what became of a message; None when that is not known."""
        ...

    async def close(self) -> None:
        """Let go of connections; nothing is sent afterwards."""
        ...


class BySms:
    """The SMS gateway of the process, as a carrier."""

    def __init__(self, gateway: Gateway) -> None:
        """Take the gateway."""
        self._gateway = gateway
        self.name = gateway.name
        self.asks = gateway.asks
        self.exchange = gateway.exchange

    async def send(self, address: str, message: Message, key: str) -> Outcome:
        """Send its text."""
        return await self._gateway.send(address, message.text, key)

    async def ask(self, question: Question) -> Fate | None:
        """Ask the gateway."""
        return await self._gateway.ask(question)

    async def close(self) -> None:
        """Let go of connections."""
        await self._gateway.close()
