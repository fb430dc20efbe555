"""A running stack as the benches use it: its services' own addresses, tokens, processes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import msgspec

from shared.paging import encode_cursor
from shared.vocabulary import Role
from tests.bench.reports import PARTNER, PATH
from tests.bench.wire import WireError, ask, post, request
from tests.support.stack import SERVICES
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.support.stack import Stack

PAGE = 1000
"""Entries of the history read at once."""

READS = "accesses"
"""The stream on which reading the history is itself written."""


class Line(msgspec.Struct):
    """What is needed of an entry of the history."""

    index: int
    type: str
    stream: str
    subject: str | None
    recorded_at: str


class _Page(msgspec.Struct):
    items: list[Line]
    next: str | None


class _Status(msgspec.Struct):
    size: int


_pages = msgspec.json.Decoder(_Page)


def referral_of(case_id: str, need: str) -> str:
    """Return the id of the first referral of a need of a case."""
    return str(uuid5(UUID(case_id), f"{need}/1"))


@dataclass
class Site:
    """A stack; `urls` go past the proxy unless `origin` is asked for."""

    stack: Stack
    urls: dict[str, str] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, stack: Stack) -> Site:
        """Look a running stack up."""
        site = cls(stack)
        for part in stack.status()["parts"]:
            site.pids[part["name"]] = part["pid"]
            if part["name"] in SERVICES:
                site.urls[part["name"]] = f"http://127.0.0.1:{part['port']}"
        return site

    def bearer(self, role: Role, org: str | None = None) -> dict[str, str]:
        return self.stack.bearer(role, org)

    @cached_property
    def partner(self) -> dict[str, str]:
        """The headers of the partner that reports: a system keeps its token."""
        return self.bearer(Role.PARTNER, PARTNER)

    async def get(self, service: str, path: str, role: Role) -> bytes:
        """Read as a role.

        Raises:
            WireError: it was not answered 200.

        """
        rendered = request("GET", path, self.bearer(role))
        answer = await ask(self.urls[service], rendered)
        if answer.status != 200:
            message = f"{path}: {answer.status} {answer.body[:200]!r}"
            raise WireError(message)
        return answer.body

    async def report(self, body: bytes) -> str:
        """Send a partner's report; return the id of its case."""
        return str((await self.submit(body))["case_ids"][0])

    async def submit(self, body: bytes) -> Mapping[str, Any]:
        """Send a partner's report; return the answer.

        Raises:
            WireError: it was not taken.

        """
        answer = await ask(self.urls["intake"], post(PATH, self.partner, body))
        if answer.status != 201:
            message = f"the report was not taken: {answer.status} {answer.body[:300]!r}"
            raise WireError(message)
        taken: Mapping[str, Any] = msgspec.json.decode(answer.body)
        return taken

    async def provider_of(self, body: bytes) -> str:
        """Send a report and return to which provider it goes."""
        case_id = await self.report(body)

        async def look() -> str | None:
            path = f"/referral/v1/referrals?case_id={case_id}"
            found = msgspec.json.decode(await self.get("referral", path, Role.COORDINATOR))
            return next((i["provider_id"] for i in found["items"] if i["provider_id"]), None)

        return str(await eventually(look, 30, "a referral that was assigned"))

    # --- What audit says ---------------------------------------------------------------------

    async def log_size(self) -> int:
        """Ask audit how many entries the log has."""
        body = await self.get("audit", "/audit/v1/log", Role.AUDITOR)
        return msgspec.json.decode(body, type=_Status).size

    async def lines(self, start: int, until: int) -> AsyncIterator[Line]:
        """Read the history from an index to another, without what reading it adds."""
        after: str | None = encode_cursor([start, until])
        while after is not None and start < until:
            path = f"/audit/v1/entries?limit={PAGE}&after={after}"
            page = _pages.decode(await self.get("audit", path, Role.COORDINATOR))
            for line in page.items:
                if line.stream != READS:
                    yield line
            after = page.next

    async def settled(self, within: float) -> int:
        """Wait until the log has stood still for a second; return its size."""
        last, since = -1, 0.0

        async def still() -> bool:
            nonlocal last, since
            size, at = await self.log_size(), time.monotonic()
            if size != last:
                last, since = size, at
            return at - since >= 1

        await eventually(still, within, "a log that stands still", every=0.5)
        return last

    async def subscribe(self, provider: str, url: str | None, types: list[str]) -> str:
        """Subscribe a webhook of a provider, or its topic; return the subscription's id."""
        where = {"url": url} if url else {"notifier": "kafka"}
        made = await self._tell(provider, "", {**where, "types": types})
        return str(made["id"])

    async def replay(self, provider: str, subscription: str) -> int:
        """Have a webhook sent all of its feed again; return how many messages that are."""
        made = await self._tell(provider, f"/{subscription}/replay", {"after": 0})
        return int(made["notices"])

    async def _tell(self, provider: str, end: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        headers = self.bearer(Role.PROVIDER_SYSTEM, provider)
        rendered = post(f"/notification/v1/subscriptions{end}", headers, msgspec.json.encode(body))
        answer = await ask(self.urls["notification"], rendered)
        if answer.status not in (201, 202):
            message = f"the subscription was not taken: {answer.status} {answer.body[:300]!r}"
            raise WireError(message)
        found: Mapping[str, Any] = msgspec.json.decode(answer.body)
        return found

    async def unsubscribe(self, provider: str, subscription: str) -> None:
        """End a subscription."""
        headers = self.bearer(Role.PROVIDER_SYSTEM, provider)
        path = f"/notification/v1/subscriptions/{subscription}"
        await ask(self.urls["notification"], request("DELETE", path, headers))
