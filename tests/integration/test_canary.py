"""Names, numbers, places, stories: said by every way in, and in no place that is not for them.

What is said is `tests/support/canary_words.py` and `canary_world.py`, where is looked for it
`canary_sinks.py`, and how `canary.py`. Allowed are: ciphertext in intake; the answer to a provider
that accepted, and to a person of the desk who gives a reason; a number with a neutral text in the
SMS outbox, which stands for the telephone network. A record that somebody forges in Kafka is its
forger's word: it stays where records are kept, and is in no log, list or trace.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import pytest

from tests.support.canary import complaints, table
from tests.support.canary_sinks import LOGS, Places
from tests.support.canary_words import BANGLA, NAME
from tests.support.canary_world import Parrot, World
from tests.support.receiver import Receiver, in_thread
from tests.support.stack import SERVICES
from tests.support.wait import eventually

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = pytest.mark.timeout(580)


@pytest.mark.slow
async def test_what_people_say_is_nowhere_that_it_should_not_be(
    whole_stack: Stack, collector: Receiver
) -> None:
    async with contextlib.AsyncExitStack() as open_now:
        parrot = await open_now.enter_async_context(Parrot())
        hook = open_now.enter_context(in_thread(Receiver()))
        http = open_now.enter_context(whole_stack.client(timeout=30))
        world = World(whole_stack, http, collector, hook, parrot)
        await world.say_everything()
        await eventually((whole_stack.home / "sms").exists, 30, "an SMS")
        before = len(collector.received)
        await eventually(lambda: len(collector.received) > before, 30, "the last spans")
        found = await Places(world).search()
        planted = await _plant(world)
    logs = {path.stem for path in whole_stack.logs()}
    assert {*SERVICES, "kafka", "postgres", "proxy", "supervisor"} <= logs
    print(table(found, [f"{len(world.teller.refused)} refused, {world.teller.taken} taken"]))
    assert list(complaints(found)) == []
    assert all(NAME in text for text in world.allowed)  # it is kept, for those whom it is for
    assert world.teller.taken > 30
    assert len(world.teller.refused) > 80
    assert planted == {"columns of audit": BANGLA, LOGS: NAME}


async def _plant(world: World) -> dict[str, str]:
    """Leak on purpose, into a table and a log, and return which sinks tell of what."""
    conn = await world.superuser()
    log = world.stack.home / "logs" / "planted.log"
    try:
        await conn.execute("CREATE TABLE audit.planted (said jsonb)")
        await conn.execute("INSERT INTO audit.planted VALUES ($1)", json.dumps({"name": BANGLA}))
        await asyncio.to_thread(log.write_text, f'{{"event": "x", "name": "{NAME}"}}\n')
        places = Places(world)
        found = [await places.columns(conn, "audit"), *await places.folders(LOGS)]
        return {sink.name: hit.what for sink in found for hit in sink.hits}
    finally:
        await conn.execute("DROP TABLE IF EXISTS audit.planted")
        await conn.close()
        log.unlink()
