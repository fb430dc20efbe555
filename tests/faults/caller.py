"""Sends one attempt over HTTP until its outcome is known or its time is up, always with one key."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from shared.access import make_token
from tests.faults.attempts import Attempt, Kind, Log, Outcome, judge

if TYPE_CHECKING:
    from shared.vocabulary import Role

PATIENCE = 45.0
"""Seconds over which an unknown attempt is sent again."""

TIMEOUT = httpx.Timeout(8.0, connect=2.0)


@dataclass(slots=True)
class Caller:
    """Mints a token for each attempt, so that the history names the attempt that acted."""

    client: httpx.AsyncClient
    seed: bytes
    log: Log

    def token(self, role: Role, mark: str, org: str | None) -> dict[str, str]:
        return {"authorization": f"Bearer {make_token(self.seed, role, subject=mark, org=org)}"}

    async def attempt(  # one attempt is what it sends and as whom
        self,
        kind: Kind,
        mark: str,
        path: str,
        *,
        role: Role | None = None,
        org: str | None = None,
        about: str = "",
        sends_after_ok: int = 0,
        **request: Any,
    ) -> Attempt:
        """Post until known. `sends_after_ok` repeats a known attempt: the same answer must come."""
        headers = {"idempotency-key": mark}
        if role is not None:
            headers |= self.token(role, mark, org)
        started = time.monotonic()
        statuses: list[int] = []
        bodies: list[bytes] = []
        pause = 0.1
        while True:
            status, body = await self._send(path, headers, request)
            statuses.append(status)
            if 200 <= status < 300:
                bodies.append(body)
            outcome = judge(tuple(statuses))
            again = outcome is Outcome.OK and len(bodies) <= sends_after_ok
            waiting = outcome is not Outcome.OK and (status in (-1, 0) or status >= 500)
            if not (again or waiting) or time.monotonic() - started > PATIENCE:
                break
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
        answer = httpx.Response(200, content=bodies[0]).json() if bodies else {}
        return self.log.add(
            Attempt(
                mark=mark,
                kind=kind,
                outcome=outcome,
                started=started,
                ended=time.monotonic(),
                about=about,
                case_ids=tuple(answer.get("case_ids", ())) if role is not None else (),
                sends=len(statuses) - max(0, len(bodies) - 1),
                statuses=tuple(statuses),
                answers=len(set(bodies)) or 1,
            )
        )

    async def _send(
        self, path: str, headers: dict[str, str], request: dict[str, Any]
    ) -> tuple[int, bytes]:
        """Return status and body; 0 when no answer came, -1 when nothing was ever sent."""
        try:
            response = await self.client.post(path, headers=headers, timeout=TIMEOUT, **request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            return -1, b""
        except httpx.HTTPError:
            return 0, b""
        return response.status_code, response.content
