"""The example clients of `docs/clients`, run as they are written, against a whole stack.

Each is told of a referral, is killed, misses something, comes back, and tells that once.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from confluent_kafka import Consumer

from deploy.local import front
from shared.vocabulary import Role
from tests.support.stack import free_port
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.stack import Stack

SUBSCRIPTIONS = "/notification/v1/subscriptions"


@dataclass(slots=True)
class Client:
    """One example as a process of its own, in a folder of its own; what it printed so far."""

    name: str
    folder: Path
    env: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        script = front.CLIENTS / f"{self.name}_client.py"
        with (self.folder / "printed").open("ab") as printed:
            self.process = subprocess.Popen(
                [sys.executable, script],
                cwd=self.folder,
                env=os.environ | self.env,
                stdout=printed,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def told(self, referral_id: str) -> list[str]:
        """Return the states that it printed of a referral, in order."""
        lines = (self.folder / "printed").read_text("utf-8").splitlines()
        return [line.split()[2] for line in lines if line.startswith(referral_id)]


@dataclass(slots=True)
class Centre:
    """The running stack as the rest of the centre and as one provider's system."""

    stack: Stack
    http: httpx.AsyncClient
    provider: str = ""

    async def ask(self, method: str, path: str, role: Role, body: Any = None) -> Any:
        org = self.provider if role is Role.PROVIDER_SYSTEM else "example-partner"
        headers = self.stack.bearer(role, org) | {"idempotency-key": str(uuid4())}
        answer = await self.http.request(method, path, json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def subscriptions(self) -> dict[str, str]:
        """Return the ids of the provider's subscriptions, by notifier."""
        found = await self.ask("GET", SUBSCRIPTIONS, Role.PROVIDER_SYSTEM)
        return {one["notifier"]: one["id"] for one in found["items"]}

    async def leave(self) -> None:
        """End the subscriptions, and the user of Kafka: others share this stack."""
        for one in (await self.subscriptions()).values():
            await self.ask("DELETE", f"{SUBSCRIPTIONS}/{one}", Role.PROVIDER_SYSTEM)
        self.stack.pashe("kafka", "revoke", "provider", self.provider)

    async def refer(self) -> dict[str, Any]:
        """Report what goes out at once, and return the referral that came of it."""
        body = {
            "channel": "partner",
            "persons": [{"ref": "a", "age": {"min": 16, "max": 16}, "sex": "male"}],
            "places": [{"role": "now", "pcode": "BD30260038"}],
            "needs": ["education"],
            "consent": [
                {"person": "a", "given_by": "person", "basis": "consent", "allows": ["refer"]}
            ],
        }
        made = await self.ask("POST", "/intake/v1/reports", Role.PARTNER, body)
        path = f"/referral/v1/referrals?case_id={made['case_ids'][0]}&state=assigned"

        async def look() -> Any:
            return (await self.ask("GET", path, Role.COORDINATOR))["items"]

        found: dict[str, Any] = (await eventually(look, 30, "a referral"))[0]
        return found


@contextlib.contextmanager
def clients(envs: dict[str, dict[str, str]], folder: Path) -> Iterator[list[Client]]:
    made = []
    for name, env in envs.items():
        (folder / name).mkdir()
        made.append(Client(name, folder / name, env))
    try:
        for client in made:
            client.start()
        yield made
    finally:
        for client in made:
            client.kill()


async def prepare(centre: Centre) -> dict[str, dict[str, str]]:
    """Make the provider's user of Kafka and its subscriptions; return what each client is told."""
    granted = json.loads(centre.stack.pashe("kafka", "grant", "provider", centre.provider))
    made = await centre.ask("POST", SUBSCRIPTIONS, Role.PROVIDER_SYSTEM, {"notifier": "kafka"})
    assert made["topic"] == granted["topic"]
    port = str(free_port())
    hook = await centre.ask(
        "POST", SUBSCRIPTIONS, Role.PROVIDER_SYSTEM, {"url": f"http://127.0.0.1:{port}/"}
    )
    bearer = centre.stack.bearer(Role.PROVIDER_SYSTEM, centre.provider)["authorization"]
    by_http = {"PASHE_URL": centre.stack.origin, "PASHE_TOKEN": bearer.removeprefix("Bearer ")}
    return {
        "kafka": {
            "KAFKA_BOOTSTRAP": granted["bootstrap"],
            "KAFKA_SECURITY": "SASL_PLAINTEXT",  # the embedded Kafka listens on loopback alone
            "KAFKA_USERNAME": granted["username"],
            "KAFKA_PASSWORD": granted["password"],
            "KAFKA_TOPIC": granted["topic"],
        },
        "polling": by_http,
        "sse": by_http,
        "webhook": {"PASHE_SECRET": hook["secret"], "PORT": port},
    }


def read_another(env: dict[str, str], topic: str) -> str:
    """Say what Kafka says when a provider's user reads a topic that is not its own."""
    consumer = Consumer(
        {
            "bootstrap.servers": env["KAFKA_BOOTSTRAP"],
            "security.protocol": env["KAFKA_SECURITY"],
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": env["KAFKA_USERNAME"],
            "sasl.password": env["KAFKA_PASSWORD"],
            "group.id": env["KAFKA_USERNAME"],
        }
    )
    consumer.subscribe([topic])
    try:
        record = consumer.poll(20)
        assert record is not None
        error = record.error()
        return error.name() if error else "ok"
    finally:
        consumer.close()


@pytest.mark.timeout(180)
@pytest.mark.slow
async def test_each_example_client_goes_on_where_it_was_and_tells_nothing_twice(
    whole_stack: Stack, tmp_path: Path
) -> None:
    async with httpx.AsyncClient(base_url=whole_stack.origin, timeout=30) as http:
        centre = Centre(whole_stack, http)
        centre.provider = str((await centre.refer())["provider_id"])
        envs = await prepare(centre)
        with clients(envs, tmp_path) as examples:
            referral = await centre.refer()
            assert referral["provider_id"] == centre.provider
            referral_id = str(referral["referral_id"])

            def all_told(*states: str) -> bool:
                return all(one.told(referral_id)[-1:] == [*states][-1:] for one in examples)

            await eventually(lambda: all_told("assigned"), 30, "all four know of the referral")
            for one in examples:
                one.kill()
            await centre.ask(
                "POST", f"/referral/v1/referrals/{referral_id}/accept", Role.PROVIDER_SYSTEM, {}
            )
            for one in examples:
                one.start()
            await eventually(lambda: all_told("accepted"), 30, "all four know what they missed")
            for one in examples:
                assert (one.name, one.told(referral_id)) == (one.name, ["assigned", "accepted"])

            path = f"{SUBSCRIPTIONS}/{(await centre.subscriptions())['webhook']}"
            again = await centre.ask("POST", f"{path}/replay", Role.PROVIDER_SYSTEM, {"after": 0})
            assert again["notices"] >= 2

            async def all_taken() -> bool:
                return bool((await centre.ask("GET", path, Role.PROVIDER_SYSTEM))["waiting"] == 0)

            await eventually(all_taken, 20, "the replay")
            hook = next(one for one in examples if one.name == "webhook")
            assert hook.told(referral_id) == ["assigned", "accepted"]
            forged = await http.post(f"http://127.0.0.1:{envs['webhook']['PORT']}/", content=b"{}")
            assert forged.status_code == 400
        for topic in ("provider.example-other", "referrals"):
            assert read_another(envs["kafka"], topic) == "TOPIC_AUTHORIZATION_FAILED"
        await centre.leave()
