"""Fetches within sessions: what a broker keeps after each request is what the reader wants."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.protocol.fetch import (
    FetchRequest,
    FetchRequest_v4,
    FetchRequest_v7,
    FetchRequest_v11,
    FetchResponse_v11,
)
from hypothesis import given
from hypothesis import strategies as st

from shared.fetching import LAST_EPOCH, Session, Sessions

PLACES = st.tuples(st.sampled_from(["cases", "referrals"]), st.integers(0, 3))
WANTED = st.dictionaries(PLACES, st.tuples(st.integers(0, 5), st.just(1000)))


def whole(wanted: dict[tuple[str, int], tuple[int, int]]) -> FetchRequest:
    topics: dict[str, list[tuple[int, int, int]]] = {}
    for (topic, partition), how in wanted.items():
        topics.setdefault(topic, []).append((partition, *how))
    return FetchRequest(500, 1, 10_000, 0, list(topics.items()))


class Broker:
    """Keeps one session as KIP-227 says, and answers with its id."""

    def __init__(self) -> None:
        self.id = self.epoch = 0
        self.kept: dict[tuple[str, int], tuple[int, int]] = {}
        self.asked: list[Any] = []
        self.fails = False

    async def send(self, _node: int, request: FetchRequest) -> Any:
        built = request.build(FetchRequest_v11)
        self.asked.append(built)
        if self.fails:
            raise ConnectionError
        if built.session_epoch == 0:
            self.id, self.epoch, self.kept = self.id + 1, 0, {}
        elif (built.session_id, built.session_epoch) != (self.id, self.epoch + 1):
            return FetchResponse_v11(0, 71, 0, [])
        else:
            self.epoch = built.session_epoch
        for topic, parts in built.topics:
            for partition, _, offset, _, most in parts:
                self.kept[topic, partition] = (offset, most)
        for topic, partitions in built.forgotten_topics_data:
            for partition in partitions:
                del self.kept[topic, partition]
        return FetchResponse_v11(0, 0, self.id, [])


@given(st.lists(st.tuples(WANTED, st.sampled_from(["", "", "fails", "forgotten"]))))
async def test_the_broker_keeps_what_is_wanted_whatever_goes_wrong(steps: list[Any]) -> None:
    broker = Broker()
    sessions = Sessions(broker)
    for wanted, wrong in steps:
        broker.fails = wrong == "fails"
        if wrong == "forgotten":
            broker.id += 1
        try:
            answer = await sessions.send(1, whole(wanted))
        except ConnectionError:
            continue
        if not answer.error_code:
            assert broker.kept == wanted
    broker.fails = False
    for _ in range(2):  # the first may find that its session is gone
        await sessions.send(1, whole({("cases", 0): (7, 1000)}))
    assert broker.kept == {("cases", 0): (7, 1000)}


async def test_a_request_names_what_changed_alone() -> None:
    broker = Broker()
    sessions = Sessions(broker)
    wanted = {("cases", n): (0, 1000) for n in range(12)}
    await sessions.send(1, whole(wanted))
    wanted[("cases", 3)] = (1, 1000)
    del wanted[("cases", 5)]
    await sessions.send(1, whole(wanted))
    first, second = broker.asked
    assert len(first.topics[0][1]) == 12
    assert second.topics == [("cases", [(3, -1, 1, -1, 1000)])]
    assert second.forgotten_topics_data == [("cases", [5])]
    assert (second.session_id, second.session_epoch) == (1, 1)


def test_a_broker_without_sessions_is_asked_for_everything() -> None:
    asked, _ = Session(1, 1, {("cases", 0): (1, 1000)}).ask(whole({("cases", 0): (1, 1000)}))
    assert asked.build(FetchRequest_v4).topics == [("cases", [(0, 1, 1000)])]
    assert asked.build(FetchRequest_v7).topics == []


def test_epochs_begin_again_at_one() -> None:
    assert Session(1, LAST_EPOCH).ask(whole({}))[1].epoch == 1


async def test_a_fetch_waits_after_an_answer_that_told_of_something_and_after_no_other() -> None:
    class Client:
        def __init__(self) -> None:
            self.asked_at: list[float] = []

        async def send(self, *_: object) -> Any:
            self.asked_at.append(asyncio.get_running_loop().time())
            first = len(self.asked_at) == 1
            told: list[Any] = [("cases", [(0, 0, 1, 1, 0, [], b"")])] if first else []
            return FetchResponse_v11(0, 0, 1, told)

    client = Client()
    sessions = Sessions(client, 0.2)
    for _ in range(3):
        await sessions.send(1, whole({("cases", 0): (0, 1000)}))
    first, second, third = client.asked_at
    assert second - first >= 0.2
    assert third - second < 0.2
    await sessions.send(1, "offsets")


async def test_what_is_no_fetch_and_what_is_else_asked_goes_to_the_client() -> None:
    class Client:
        name = "client"

        async def send(self, node: int, request: object, *, group: int = 0) -> object:
            return node, request, group

    sessions = Sessions(Client())
    assert await sessions.send(3, "offsets", group=1) == (3, "offsets", 1)
    assert sessions.name == "client"
    with pytest.raises(AttributeError):
        sessions.nothing  # noqa: B018
