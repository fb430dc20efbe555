"""Where a webhook may go: every spelling of an inner address is refused (SAFETY 23)."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from services.notification.outbound import Outbound, parse_retry_after
from services.notification.targets import TargetRefused, check_answers, check_url

if TYPE_CHECKING:
    from collections.abc import Sequence

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)

INNER = [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.5.4", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "168.63.129.16",
    "192.0.0.192", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:1::1",
    "2001:db8::1", "100::1",
]  # fmt: skip
OUTER = ["1.1.1.1", "93.184.215.14", "103.4.145.245", "2606:4700::1111", "2a00:1450:4001::1"]


def _literal(address: str) -> str:
    return f"https://[{address}]/hook" if ":" in address else f"https://{address}/hook"


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_refused_as_url_and_as_answer(address: str) -> None:
    with pytest.raises(TargetRefused) as refused:
        check_url(_literal(address))
    assert refused.value.rule == "address-not-global"
    target = check_url("https://hooks.ngo.org/")
    with pytest.raises(TargetRefused):
        check_answers(target, [address])
    with pytest.raises(TargetRefused):  # one bad address spoils a good one
        check_answers(target, [OUTER[0], address])


@pytest.mark.parametrize("address", OUTER)
def test_a_global_address_is_taken(address: str) -> None:
    assert str(check_url(_literal(address)).address) == address
    assert [str(a) for a in check_answers(check_url("https://hooks.ngo.org/"), [address])]


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "0177.1", "127.1", "127.0.1",
        "127.0.0.1.", "1.1.1.1.", "017700000001", "0x7f.1", "1.1.1.256", "1.2.3.4.5", "1.0x1",
        "[::1%25lo]", "[fe80::1%25eth0]", "[not-an-address]",
        "localhost", "LOCALHOST", "a.localhost", "localhost.", "db", "postgres.internal",
        "metadata.google.internal", "printer.local", "kafka.default.svc",
        "api.default.svc.cluster.local", "router.lan", "a..b.org", "-a.org", "a-.org", ".org",
        "a" * 64 + ".org", ("a" * 60 + ".") * 5 + "org", "hooks.ngo.org.",
    ],
)  # fmt: skip
def test_a_host_that_is_no_public_name_is_refused(host: str) -> None:
    with pytest.raises(TargetRefused):
        check_url(f"https://{host}/hook")


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://hooks.ngo.org/", "https-required"),
        ("ftp://hooks.ngo.org/", "https-required"),
        ("//hooks.ngo.org/", "https-required"),
        ("https:///x", "host-not-allowed"),
        ("https://user@hooks.ngo.org/", "credentials-in-url"),
        ("https://user:pw@hooks.ngo.org/", "credentials-in-url"),
        ("https://hooks.ngo.org@10.0.0.1/", "credentials-in-url"),
        ("https://hooks.ngo.org/#x", "fragment-in-url"),
        ("https://hooks.ngo.org/a b", "url-malformed"),
        ("https://hooks.ngo.org\\@10.0.0.1/", "url-malformed"),
        ("https://hooks.ngo.org/\r\nx: y", "url-malformed"),
        ("https://হুক.org/", "url-malformed"),
        ("https://①②⑦.0.0.1/", "url-malformed"),
        ("https://[::1/", "url-malformed"),
        ("https://hooks.ngo.org:99999/", "url-malformed"),
        ("https://hooks.ngo.org:x/", "url-malformed"),
        ("https://hooks.ngo.org:0/", "port-not-allowed"),
        ("https://hooks.ngo.org:22/", "port-not-allowed"),
        ("https://hooks.ngo.org:80/", "port-not-allowed"),
        ("https://hooks.ngo.org:5432/", "port-not-allowed"),
        ("https://hooks.ngo.org:9092/", "port-not-allowed"),
        ("https://hooks.ngo.org/" + "a" * 2048, "url-too-long"),
        ("", "url-malformed"),
    ],
)
def test_a_url_of_another_form_is_refused_by_its_rule(url: str, rule: str) -> None:
    with pytest.raises(TargetRefused) as refused:
        check_url(url)
    assert refused.value.rule == rule


@pytest.mark.parametrize(
    "url", ["https://hooks.ngo.org", "https://hooks.ngo.org:8443/a?b=c", "https://xn--45b.org/"]
)
def test_an_ordinary_url_is_taken(url: str) -> None:
    assert check_url(url).scheme == "https"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/", "http://localhost:8080/", "https://[::1]:8443/"]
)
def test_loopback_is_taken_only_when_it_is_allowed(url: str) -> None:
    assert check_url(url, allow_loopback=True).loopback
    with pytest.raises(TargetRefused):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "https://10.0.0.1/", "http://hooks.ngo.org/", "http://[::ffff:10.0.0.1]/"]
)  # fmt: skip
def test_allowing_loopback_allows_nothing_else(url: str) -> None:
    with pytest.raises(TargetRefused):
        check_url(url, allow_loopback=True)


def _outbound(*answers: Sequence[str] | Exception, allow_loopback: bool = False) -> Outbound:
    """Make an outbound whose name server gives these answers, one after the other."""
    left = list(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Outbound(
        timeout=timedelta(seconds=2), connections=4, allow_loopback=allow_loopback, resolve=resolve
    )


@pytest.mark.parametrize("address", ["10.0.0.5", "127.0.0.1", "::1", "169.254.169.254", "fd00::1"])
async def test_a_name_that_resolves_inside_is_never_connected_to(address: str) -> None:
    outbound = _outbound([address], allow_loopback=True)
    with pytest.raises(TargetRefused):
        await outbound.check("https://hooks.ngo.org/")
    answer = await outbound.post("https://hooks.ngo.org/", {}, b"{}", AT)
    assert (answer.status, answer.trouble) == (None, "target-refused")
    await outbound.close()


async def test_a_name_that_changes_after_the_check_is_still_not_connected_to() -> None:
    hits = 0

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hits
        hits += 1
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outbound = _outbound(["1.1.1.1"], ["127.0.0.1"], allow_loopback=True)
    url = f"https://hooks.ngo.org:{port}/"
    await outbound.check(url)
    answer = await outbound.post(url, {}, b"{}", AT)
    assert answer.trouble == "target-refused"
    assert hits == 0
    server.close()
    await outbound.close()


async def test_a_name_that_cannot_be_looked_up_is_said_so() -> None:
    outbound = _outbound(socket.gaierror())
    with pytest.raises(TargetRefused, match="name-unresolved"):
        await outbound.check("https://hooks.ngo.org/")
    assert (await outbound.post("https://hooks.ngo.org/", {}, b"", AT)).trouble == "dns"
    await outbound.close()


async def test_an_operators_deny_list_holds_for_names_and_addresses() -> None:
    from ipaddress import ip_network  # noqa: PLC0415  (for this test alone)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["93.184.215.14"]

    outbound = Outbound(
        timeout=timedelta(seconds=2),
        connections=1,
        denied=[ip_network("93.184.0.0/16")],
        resolve=resolve,
    )
    for url in ("https://hooks.ngo.org/", "https://93.184.215.14/"):
        with pytest.raises(TargetRefused):
            await outbound.check(url)
    await outbound.close()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("Wed, 25 Nov 2026 12:01:00 GMT", 60.0),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0.0),
        ("-1", None),
        ("soon", None),
        ("9" * 400, None),
        ("১২", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    found = parse_retry_after(value, AT)
    assert (None if found is None else found.total_seconds()) == seconds
