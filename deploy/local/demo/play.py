"""One play of the demonstration: what it made and saw, and waiting for others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from deploy.local.demo.actors import Client, ProviderSystem
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx
    from rich.console import Console

    Token = Callable[[Role, str | None], str]

SETTLE: Final = 60.0
"""Seconds that everything may take to come to rest."""


@dataclass(slots=True)
class Play:
    """What this run made and saw."""

    name: str
    console: Console
    http: httpx.AsyncClient
    token: Token
    reporter: Client
    partner: Client
    coordinator: Client
    supervisor: Client
    auditor: Client
    silent: list[None] = field(default_factory=list)
    systems: dict[str, ProviderSystem] = field(default_factory=dict)
    followers: list[asyncio.Task[None]] = field(default_factory=list)
    accepted_reports: int = 0
    submissions: list[dict[str, Any]] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)
    released: int = 0

    def follow(self, name: str, declines: int = 0) -> None:
        """Start the system of a provider, unless it runs: it follows its feed and answers."""
        if name in self.systems:
            return
        secret = self.token(Role.PROVIDER_SYSTEM, name)
        client = Client(self.http, secret)
        system = ProviderSystem(name, client, self.http, secret, self.silent, declines)
        self.systems[name] = system
        self.followers.append(asyncio.create_task(system.follow()))


async def until(
    what: str, condition: Callable[[], Awaitable[bool]], within: float = SETTLE
) -> None:
    """Wait until a condition of other processes holds.

    Raises:
        RuntimeError: it did not within `within` seconds.

    """
    try:
        async with asyncio.timeout(within):
            while not await condition():  # noqa: ASYNC110  (the condition is another process's)
                await asyncio.sleep(0.25)
    except TimeoutError:
        message = f"not within {within:.0f} s: {what}"
        raise RuntimeError(message) from None
