"""Incremental fetches (KIP-227): of many partitions a request names those that changed alone.

aiokafka names every partition in each request, and gets every one back, whether anything is new or
not; of sixty that is a millisecond and a half of two processes for one record. With a session the
broker keeps the list, and a request and an answer hold what changed. aiokafka knows the fields and
leaves them empty; here they are filled. What a session does not survive, an error, a cancelled or
an unanswered request, begins a new one with a whole request: nothing depends on it but the cost.

A reader that nobody waits for may hold its fetches, too: each record would else be a fetch of its
own, and a wake-up of broker and process.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka.protocol.fetch import FetchRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiokafka import AIOKafkaConsumer

REST_MS: Final = 2_000
"""Milliseconds after which aiokafka's fetcher looks around where nothing woke it (its own: 200).

Whatever is new wakes it; thirty consumers that look five times a second took half of all that
referral took at rest.
"""

SINCE: Final = 7
"""The version of the request from which on there are sessions."""

LAST_EPOCH: Final = 2**31 - 1

Place = tuple[str, int]


@dataclass(slots=True)
class Session:
    """What a broker keeps for one reader: which partitions, from where on, and how much of each."""

    id: int = 0
    epoch: int = 0
    kept: dict[Place, tuple[int, int]] = field(default_factory=dict)

    def ask(self, whole: FetchRequest) -> tuple[Incremental, Session]:
        """Return the request that says what changed, and the session after its answer."""
        wanted = {(t, p): (at, most) for t, parts in whole.topics for p, at, most in parts}
        changed = [place for place, how in wanted.items() if self.kept.get(place) != how]
        gone = [place for place in self.kept if place not in wanted]
        after = Session(self.id, 1 if self.epoch == LAST_EPOCH else self.epoch + 1, wanted)
        return Incremental(
            whole, self, [(*place, *wanted[place]) for place in changed], gone
        ), after


class Incremental(FetchRequest):  # type: ignore[misc]  # untyped
    """A request within a session; to a broker without sessions it is the whole one."""

    def __init__(
        self,
        whole: FetchRequest,
        session: Session,
        changed: Iterable[tuple[str, int, int, int]],
        gone: Iterable[Place],
    ) -> None:
        self.__dict__.update(whole.__dict__)
        self._whole = whole
        self._session = session
        topics: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for topic, *part in changed:
            topics[topic].append(tuple(part))  # type: ignore[arg-type]
        self._topics = list(topics.items())
        self._gone: dict[str, list[int]] = defaultdict(list)
        for topic, partition in gone:
            self._gone[topic].append(partition)

    def build(self, request_struct_class: Any) -> Any:  # noqa: ANN401  (aiokafka's, untyped)
        """Build the request in a broker's version."""
        if request_struct_class.API_VERSION < SINCE:
            return self._whole.build(request_struct_class)
        built = super().build(request_struct_class)
        built.session_id, built.session_epoch = self._session.id, self._session.epoch
        built.forgotten_topics_data = list(self._gone.items())
        return built


class Sessions:
    """A reader's client with a session at each broker; everything else is the client's own."""

    def __init__(self, client: Any, every: float = 0.0) -> None:  # noqa: ANN401  (aiokafka's, untyped)
        """Take the client, and how many seconds lie between an answer and the next fetch."""
        self._client = client
        self._every = every
        self._held: dict[int, Session] = {}
        self._due: dict[int, float] = {}

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **more: Any) -> Any:  # noqa: ANN401
        """Send a request; a fetch says what changed since the last that was answered."""
        if type(request) is not FetchRequest:
            return await self._client.send(node_id, request, **more)
        turn = asyncio.get_running_loop().time
        if (early := self._due.get(node_id, 0.0) - turn()) > 0:
            await asyncio.sleep(early)
        asked, after = self._held.pop(node_id, Session()).ask(request)  # gone if anything fails
        answer = await self._client.send(node_id, asked, **more)
        if answer.API_VERSION >= SINCE and not answer.error_code and answer.session_id:
            after.id = answer.session_id
            self._held[node_id] = after
        if answer.topics:
            self._due[node_id] = turn() + self._every
        return answer


def keep_sessions(consumer: AIOKafkaConsumer[Any, Any], *, every: float = 0.0) -> None:
    """Let a started consumer fetch within sessions.

    `every` is how many seconds it waits after an answer that told of something; then one fetch
    gives all that came meanwhile.
    """
    fetcher = consumer._fetcher  # noqa: SLF001  (the one place that sends fetches)
    if not isinstance(fetcher._client, Sessions):  # noqa: SLF001
        fetcher._client = Sessions(fetcher._client, every)  # noqa: SLF001
