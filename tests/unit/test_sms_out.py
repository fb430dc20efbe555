"""SMS out: parts counted as the standards say, and a gateway's answer made an honest word."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

import pytest
import smsutil
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import SettingsError
from shared.sms import (
    Encoding,
    Refused,
    Segments,
    Sent,
    Unknown,
    count_segments,
    load_sms_settings,
    make_gateway,
    parse_mobile,
    without_plus,
)
from shared.sms.external import External, ExternalSettings, escape_for, fill
from shared.sms.file import FILE, FileOutbox
from shared.sms.segments import ROOM
from shared.text import PhoneInvalid

if TYPE_CHECKING:
    from pathlib import Path

NUMBER = "+8801712345678"
GSM7, UCS2 = Encoding.GSM7, Encoding.UCS2


# --- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", Segments(GSM7, 0, 1)),
        ("a" * 160, Segments(GSM7, 160, 1)),
        ("a" * 161, Segments(GSM7, 161, 2)),
        ("a" * 306, Segments(GSM7, 306, 2)),
        ("a" * 307, Segments(GSM7, 307, 3)),
        ("€" * 80, Segments(GSM7, 160, 1)),
        ("€" * 81, Segments(GSM7, 162, 2)),
        ("a" * 152 + "€" + "a" * 152, Segments(GSM7, 306, 3)),  # the euro is not cut in two
        ("[x] {y} ~|\\^", Segments(GSM7, 20, 1)),
        ("àéùÅßñ Ω £¥§", Segments(GSM7, 12, 1)),
        ("ç", Segments(UCS2, 1, 1)),  # only the capital Ç is in the alphabet
        ("`", Segments(UCS2, 1, 1)),
        ("a" * 69 + "\u2019", Segments(UCS2, 70, 1)),
        ("a" * 70 + "\u2019", Segments(UCS2, 71, 2)),
        ("ক" * 70, Segments(UCS2, 70, 1)),
        ("ক" * 71, Segments(UCS2, 71, 2)),
        ("ক" * 134, Segments(UCS2, 134, 2)),
        ("ক" * 135, Segments(UCS2, 135, 3)),
        ("😀" * 35, Segments(UCS2, 70, 1)),
        ("😀" * 36, Segments(UCS2, 72, 2)),
        ("😀" * 67, Segments(UCS2, 134, 3)),  # 33 whole pairs a part, not 33 and a half
    ],
)
def test_parts_against_known_values(text: str, found: Segments) -> None:
    assert count_segments(text) == found


@given(st.text())
def test_parts_hold_all_units_and_no_part_is_in_vain(text: str) -> None:
    found = count_segments(text)
    alone, each = ROOM[found.encoding]
    assert (found.parts == 1) == (found.units <= alone)
    if found.encoding is UCS2:
        assert found.units == len(text.encode("utf-16-le", "surrogatepass")) // 2
    if found.parts > 1:
        assert (found.parts - 1) * (each - 1) < found.units <= found.parts * each


@given(st.text(st.sampled_from("ab €[]{}^কখগঘ\u200cং।😀")))
def test_parts_are_those_that_another_library_makes(text: str) -> None:
    assert count_segments(text).parts == max(1, len(smsutil.split(text).parts))


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["01712345678", "8801712345678", "008801712345678", "+880 1712-345678", "০১৭১২৩৪৫৬৭৮"]
)
def test_a_mobile_number_is_read_however_it_is_written(text: str) -> None:
    assert parse_mobile(text) == NUMBER
    assert without_plus(parse_mobile(text)) == "8801712345678"


@pytest.mark.parametrize("text", ["01112345678", "+4915123456789", "999", "", "0171234567"])
def test_what_is_no_mobile_number_of_bangladesh_is_refused(text: str) -> None:
    with pytest.raises(PhoneInvalid):
        parse_mobile(text)


# --- templates ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "template", "filled"),
    [
        ("application/x-www-form-urlencoded", "t={{text}}", "t=a%26b+%22%E0%A6%95%22"),
        ("application/json", '{"t": {{ text }}}', '{"t": "a&b \\"ক\\""}'),
        ("text/xml; charset=utf-8", "<t>{{text}}</t>", "<t>a&amp;b &quot;ক&quot;</t>"),
        ("application/json", "{{nobody}}", '""'),
    ],
)
def test_a_value_is_escaped_as_the_body_wants_it(
    content_type: str, template: str, filled: str
) -> None:
    assert fill(template, {"text": 'a&b "ক"'}, escape_for(content_type)) == filled


# --- the external gateway -------------------------------------------------------------------------


@dataclass(slots=True)
class Line:
    """A gateway of one's own making: what it answers is bytes, or None to say nothing more."""

    answer: bytes | None = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    hang: bool = False
    got: list[tuple[str, str, bytes]] = field(default_factory=list)
    connections: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None] | None] = field(default_factory=set)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/send"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(t for t in self._tasks if t), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(
                (
                    int(n.split(":")[1])
                    for n in head.split("\r\n")
                    if n.lower()[:15] == "content-length:"
                ),
                0,
            )
            method, path, _ = head.split("\r\n")[0].split(" ")
            self.got.append((method, path, await reader.readexactly(length)))
            if self.answer:
                writer.write(self.answer)
                await writer.drain()
            if self.hang:
                await asyncio.Event().wait()
        writer.close()


def said(status: int, *headers: str, body: str = "") -> bytes:
    lines = "".join(f"{line}\r\n" for line in headers)
    return f"HTTP/1.1 {status} x\r\n{lines}content-length: {len(body)}\r\n\r\n{body}".encode()


async def ask(line: Line, text: str = "hello", **changes: object) -> Sent | Refused | Unknown:
    settings = ExternalSettings(line.url, timeout=timedelta(seconds=20))
    gateway = External(replace(settings, **changes))  # type: ignore[arg-type]
    try:
        return await gateway.send(NUMBER, text, "key-1")
    finally:
        await gateway.close()


async def test_a_message_is_posted_once_as_the_template_says() -> None:
    async with Line() as line:
        assert await ask(line, "খবর & more", sender="+8809612") == Sent(None, 200)
    [(method, path, body)] = line.got
    assert (method, path) == ("POST", "/send")
    assert parse_qs(body.decode()) == {
        "id": ["key-1"],
        "text": ["খবর & more"],
        "to": [NUMBER],
        "from": ["+8809612"],
    }


async def test_a_get_gateway_has_everything_in_its_url() -> None:
    async with Line() as line:
        url = line.url + "?msisdn={{to_no_plus}}&sms={{text}}&csms_id={{uuid}}"
        assert isinstance(await ask(line, "a b", url=url, method="GET"), Sent)
    [(method, path, body)] = line.got
    assert (method, body) == ("GET", b"")
    assert parse_qs(urlsplit(path).query) == {
        "msisdn": ["8801712345678"],
        "sms": ["a b"],
        "csms_id": ["key-1"],
    }


@pytest.mark.parametrize(
    ("answer", "changes", "outcome"),
    [
        (said(202), {}, Sent(None, 202)),
        (said(202), {"success": frozenset({200})}, Unknown("unexpected-answer", 202)),
        (said(200, body="0|queued"), {"check": "queued"}, Sent(None, 200)),
        (said(200, body="FAILED"), {"check": "queued"}, Unknown("unexpected-answer", 200)),
        (said(400), {}, Refused("refused", status=400)),
        # nothing of what a gateway says about a number is kept
        (said(400, f"x-to: {NUMBER}", body=NUMBER), {}, Refused("refused", status=400)),
        (said(200, body=NUMBER), {"check": "queued"}, Unknown("unexpected-answer", 200)),
        (said(401), {}, Refused("refused", status=401)),
        (said(404), {}, Refused("refused", status=404)),
        (said(429), {}, Refused("busy", again=True, status=429)),
        (
            said(429, "retry-after: 30"),
            {},
            Refused("busy", again=True, after=timedelta(seconds=30), status=429),
        ),
        (
            said(503, "retry-after: 99999999"),
            {},
            Refused("busy", again=True, after=timedelta(days=1), status=503),
        ),
        (said(503, "retry-after: soon"), {}, Refused("busy", again=True, status=503)),
        (said(500), {}, Unknown("server-error", 500)),
        (said(504), {}, Unknown("server-error", 504)),
        (said(302, "location: http://127.0.0.1:9/"), {}, Unknown("redirect", 302)),
        (b"", {}, Unknown("protocol")),  # read, and hung up on
        (b"HTTP/1.1 2", {}, Unknown("protocol")),
        (b"no http at all\r\n\r\n", {}, Unknown("protocol")),
    ],
)
async def test_what_an_answer_means(
    answer: bytes, changes: dict[str, object], outcome: object
) -> None:
    async with Line(answer) as line:
        assert await ask(line, **changes) == outcome  # type: ignore[arg-type]
        assert len(line.got) == 1


async def test_silence_after_the_request_is_unknown_and_ends_in_time() -> None:
    async with Line(None, hang=True) as line:
        assert await ask(line, timeout=timedelta(seconds=1)) == Unknown("timeout")
        assert len(line.got) == 1


async def test_a_body_that_drips_does_not_change_a_status() -> None:
    async with Line(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\no", hang=True) as line:
        assert await ask(line) == Sent(None, 200)


async def test_nobody_listening_is_certainly_not_sent() -> None:
    async with Line() as line:
        url = line.url
    gateway = External(ExternalSettings(url, timeout=timedelta(seconds=20)))
    assert await gateway.send(NUMBER, "x", "k") == Refused("connection", again=True)
    await gateway.close()


async def test_a_text_longer_than_the_gateway_takes_is_not_sent() -> None:
    async with Line() as line:
        assert await ask(line, "x" * 161, max_length=160) == Refused("too-long")
        assert line.connections == 0


async def test_a_text_that_is_none_is_refused_for_good() -> None:
    async with Line() as line:
        assert await ask(line, "\ud800") == Refused("malformed")
        assert await ask(line, "\ud800", content_type="application/json") == Refused("malformed")
        assert line.got == []


async def test_each_message_has_a_connection_of_its_own() -> None:
    async with Line() as line:
        gateway = External(ExternalSettings(line.url))
        for _ in range(3):
            assert isinstance(await gateway.send(NUMBER, "x", "k"), Sent)
        await gateway.close()
        assert line.connections == 3


# --- the file outbox ------------------------------------------------------------------------------


async def test_the_outbox_has_a_line_a_message_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "sms"
    outboxes = [FileOutbox(folder) for _ in range(4)]
    await asyncio.gather(
        *(outboxes[i % 4].send(NUMBER, f"খবর\n{i}" * 50, f"k{i}") for i in range(200))
    )
    lines = (folder / FILE).read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert {one["key"] for one in found} == {f"k{i}" for i in range(200)}
    assert len(found) == 200
    assert set(found[0]) == {"at", "key", "number", "text", "parts"}
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_folder_that_cannot_be_written_is_certainly_not_sent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outbox = FileOutbox(tmp_path / "file" / "sms")
    assert await outbox.send(NUMBER, "x", "k") == Refused("connection", again=True)


# --- settings -------------------------------------------------------------------------------------


def test_the_environment_chooses_the_gateway(tmp_path: Path) -> None:
    assert make_gateway(load_sms_settings({})) is None
    file = make_gateway(load_sms_settings({"SMS_OUTBOX_DIR": str(tmp_path)}))
    both = {"SMS_OUTBOX_DIR": str(tmp_path), "SMS_EXTERNAL_URL": "https://sms.example.org/send"}
    external = make_gateway(load_sms_settings(both))
    assert [g.name for g in (file, external) if g] == ["file", "external"]


def test_a_gateways_password_is_in_no_picture_of_its_settings() -> None:
    env = {"SMS_EXTERNAL_URL": "http://10.0.0.5:13013/", "SMS_EXTERNAL_AUTHORIZATION": "Basic c2Vj"}
    assert "c2Vj" not in repr(load_sms_settings(env))


@pytest.mark.parametrize(
    "env",
    [
        {"SMS_EXTERNAL_URL": "sms.example.org"},
        {"SMS_EXTERNAL_URL": "http://sms.example.org/send"},
        {"SMS_EXTERNAL_URL": "ftp://10.0.0.1/"},
        {"SMS_EXTERNAL_URL": "https://[::1/"},
        {"SMS_EXTERNAL_URL": "https://sms.example.org/\u0995"},
        {"SMS_EXTERNAL_METHOD": "PUT"},
        {"SMS_EXTERNAL_MAX_LENGTH": "many"},
        {"SMS_EXTERNAL_MAX_LENGTH": "0"},
        {"SMS_EXTERNAL_TIMEOUT": "0"},
        {"SMS_EXTERNAL_SUCCESS": "yes"},
        {"SMS_EXTERNAL_AUTHORIZATION": "a\nb"},
    ],
)
def test_a_wrong_variable_stops_the_start_without_echo(env: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as raised:
        load_sms_settings({"SMS_EXTERNAL_URL": "https://sms.example.org/", **env})
    assert all(value not in str(raised.value) for value in env.values() if len(value) > 3)
