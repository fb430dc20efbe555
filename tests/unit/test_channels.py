"""Channels in one process: the room, the turn and the failure of each are its own."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import APIRouter, Request, Response

from services.intake import channels
from services.intake.channels import ussd
from services.intake.channels.fence import Bounds, Fence
from services.intake.committer import MAX_QUEUE, OWN_ROOM, Committer
from services.intake.lanes import Lanes
from services.intake.preparing import Secrets
from shared import telemetry
from shared.errors import SettingsError, Unavailable
from shared.http import App, direct, make_app

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


def failures(channel: str, what: str) -> float:
    return telemetry.REGISTRY.get_sample_value(
        "pashe_channel_failures_total", {"channel": channel, "what": what}
    ) or 0.0  # fmt: skip


def lab() -> App:
    service: Any = SimpleNamespace(
        settings=SimpleNamespace(service="lab"), tokens=None, started=True
    )
    return make_app(service, "lab", "a lab")


@dataclass
class _Desk:
    """As much of a desk as the frame itself touches."""

    committer: Any


def module(name: str, made: APIRouter | Exception) -> ModuleType:
    def make_router(desk: object) -> APIRouter:
        if isinstance(made, Exception):
            raise made
        return made

    found = ModuleType(f"services.intake.channels.{name}")
    found.make_router = make_router  # type: ignore[attr-defined]
    return found


def routes(name: str) -> APIRouter:
    router = APIRouter()

    @router.get(f"/intake/channels/{name}/well", response_model=None)
    async def well() -> Response:
        return Response("well")

    @router.get(f"/intake/channels/{name}/bug", response_model=None)
    @direct
    async def bug(request: Request) -> Response:
        raise ZeroDivisionError

    @router.get(f"/intake/channels/{name}/other/{{which}}", response_model=None)
    async def other(which: str) -> Response:
        raise RuntimeError(which)

    return router


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "NAMES", {"trial": Bounds(), "broken": Bounds()})
    for name, made in (("trial", routes("trial")), ("broken", ImportError("no"))):
        key = f"services.intake.channels.{name}"
        monkeypatch.setitem(sys.modules, key, module(name, made))


def opened(*chosen: str, alone: bool = False) -> channels.Opened:
    committer: Any = Committer(None, lambda: None)  # type: ignore[arg-type]
    desk: Any = _Desk(committer.door())
    return channels.open_channels(desk, chosen, alone=alone)


async def test_what_raises_in_one_channel_is_its_own_503(two: None) -> None:
    app, before = lab(), failures("broken", "start")
    found = opened("trial", "broken")
    app.fences |= found.fences
    for router in found.routers:
        app.include_router(router)
    assert failures("broken", "start") == before + 1
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://lab"
    ) as client:
        before = failures("trial", "request")
        for path in ("trial/bug", "trial/other/1", "broken/anything"):
            answer = await client.get(f"/intake/channels/{path}")
            assert answer.status_code == 503, path
            assert answer.headers["retry-after"]
        assert failures("trial", "request") == before + 2
        assert (await client.get("/intake/channels/trial/well")).text == "well"
        assert (await client.get("/intake/channels/trial/nothing")).status_code == 404


async def test_what_a_channel_does_not_take_is_counted_with_why(two: None) -> None:
    def refused(channel: str, why: str) -> float:
        labels = {"channel": channel, "why": why}
        return telemetry.REGISTRY.get_sample_value("pashe_submission_rejections_total", labels) or 0

    app = lab()
    found = opened("trial", "broken")
    app.fences |= found.fences
    for router in found.routers:
        app.include_router(router)
    before = refused("trial", "other"), refused("broken", "unavailable")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://lab"
    ) as client:
        await client.post("/intake/channels/trial/nothing")
        await client.get("/intake/channels/trial/nothing")  # it brought nothing
        await client.post("/intake/channels/broken/anything")
    assert refused("trial", "other") == before[0] + 1
    assert refused("broken", "unavailable") == before[1] + 1


def test_the_only_channel_of_a_process_must_start(two: None) -> None:
    with pytest.raises(ImportError):
        opened("broken", alone=True)


def test_names_choose_and_a_wrong_one_is_told() -> None:
    assert channels.choose(()) == tuple(channels.NAMES)
    assert channels.choose({"sms"}) == ("sms",)
    assert channels.choose({"cases"}) == ()
    with pytest.raises(KeyError, match="pigeon"):
        channels.choose({"sms", "pigeon"})


async def test_a_channel_works_on_so_many_lets_so_many_wait_and_refuses_the_rest() -> None:
    go, inside = asyncio.Event(), 0

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal inside
        inside += 1
        await go.wait()

    fenced: Any = Fence("trial", Bounds(at_once=2, waiting=1))(slow)
    asked = [asyncio.create_task(fenced({}, None, None)) for _ in range(4)]
    done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION)
    assert [type(task.exception()) for task in done] == [Unavailable]
    assert inside == 2
    go.set()
    await asyncio.gather(*asked, return_exceptions=True)
    assert inside == 3


async def test_whoever_never_ends_gives_the_place_back() -> None:
    async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    before = failures("trial", "time")
    fenced: Any = Fence("trial", Bounds(at_once=1, seconds=0.01))(hangs)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await fenced({}, None, None)
    assert failures("trial", "time") == before + 2


def test_channels_and_senders_have_a_turn_each() -> None:
    lanes: Lanes[str] = Lanes()
    for n in range(100):
        lanes.add(f"flood{n}", behind=False, channel="ussd", sender=b"one")
    lanes.add("of another sender", behind=False, channel="ussd", sender=b"two")
    lanes.add("of another channel", behind=False, channel="sms")
    taken = lanes.take(4)
    assert taken == ["flood0", "of another channel", "of another sender", "flood1"]
    assert (lanes.of("ussd"), lanes.of("sms"), len(lanes)) == (98, 0, 98)
    assert lanes.take(500) == [f"flood{n}" for n in range(2, 100)]
    assert len(lanes) == 0


async def test_one_channel_that_fills_the_room_leaves_the_others_theirs() -> None:
    committer = Committer(None, lambda: None)  # type: ignore[arg-type]
    flood, quiet = committer.door("ussd"), committer.door("sms")
    prepared: Any = SimpleNamespace(size=1000, sender=None)
    asked = [asyncio.create_task(flood.commit(prepared)) for _ in range(MAX_QUEUE)]
    asked += [asyncio.create_task(quiet.commit(prepared)) for _ in range(OWN_ROOM)]
    await asyncio.sleep(0)
    assert committer.waiting == MAX_QUEUE + OWN_ROOM
    for door in (flood, quiet):
        with pytest.raises(Unavailable):
            door.check_room()
    committer.door("voice").check_room()
    for task in asked:
        task.cancel()


def test_settings_errors_of_a_shared_process_close_the_channel_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "NAMES", {"trial": Bounds()})
    key = "services.intake.channels.trial"
    monkeypatch.setitem(sys.modules, key, module("trial", SettingsError("X is not set")))
    assert opened("trial").fences["/intake/channels/trial"].closed


# --- What proves a gateway of USSD ----------------------------------------------------------------


def ussd_door(**environ: str) -> App:
    service: Any = SimpleNamespace(flow=None, outbox=None)
    secrets = Secrets(pepper=b"p" * 32, index=b"i" * 32, receipt_seed=b"r" * 32, issuer="")
    desk: Any = SimpleNamespace(environ=environ, secrets=secrets, service=service, vault=None)
    app = lab()
    app.include_router(ussd.make_router(desk))
    return app


@pytest.mark.parametrize(
    ("address", "path", "let_in"),
    [
        ("203.0.113.9", "/a-secret", True),
        ("198.51.100.7", "/a-secret", True),
        ("203.0.114.9", "/a-secret", False),
        ("203.0.113.9", "/another", False),
        ("203.0.113.9", "", False),
        ("?", "/a-secret", False),
    ],
)
async def test_ussd_is_proved_by_secret_and_address(
    address: str, path: str, *, let_in: bool
) -> None:
    app = ussd_door(
        USSD_AFRICASTALKING_SECRET="a-secret",
        USSD_AFRICASTALKING_ADDRESSES="203.0.113.0/24, 198.51.100.7",
    )
    transport = httpx.ASGITransport(app=app, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://lab") as client:
        where = f"/intake/channels/ussd/africastalking{path}"
        answer = await client.post(where, data={"sessionId": "1", "text": ""})
    assert answer.status_code == (200 if let_in else 403)
    assert answer.text.startswith("END ") is let_in  # there is no database: said politely


def test_an_address_that_is_none_is_told_at_the_start() -> None:
    with pytest.raises(SettingsError, match="USSD_AFRICASTALKING_ADDRESSES"):
        ussd_door(USSD_AFRICASTALKING_ADDRESSES="203.0.113.0/24,here")
