"""Where a webhook may go, purely: which URLs are taken, and which addresses may be connected to.

A subscription's URL is chosen by an outsider, so it must never reach into our own network
(SAFETY 23). The URL is checked when it is given; every address that its name resolves to is checked
again at each connection, which then goes to that very address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from ipaddress import IPv4Network, IPv6Network

Address = IPv4Address | IPv6Address

MAX_URL: Final = 2048
"""Characters of a URL."""

HTTPS: Final = 443
FIRST_FREE_PORT: Final = 1024
"""Below it only 443 is taken: the rest are other services' ports."""

_OTHERS_PORTS: Final = frozenset(
    {1433, 1521, 2049, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 4369, 5432, 5672, 5984, 6000}
    | {6379, 6443, 6667, 8086, 9042, 9092, 9093, 9200, 9300, 10250, 10255, 11211, 15672, 27017}
)
"""Ports where databases, brokers and cluster managers listen."""

_INNER_NAMES: Final = (
    "localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "private",
    "home.arpa", "svc", "cluster.local", "test", "invalid", "example", "onion", "alt",
)  # fmt: skip
"""Names (with all below them) that are not of the public DNS."""

DENIED: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
        "168.63.129.16/32",  # a cloud's own host service on a public address
        "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32",
        "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
"""Special-purpose networks (IANA registries, RFC 6890) and tunnels that carry any IPv4 address."""

UNICAST: Final = ip_network("2000::/3")
"""All that IANA has given out of IPv6: the rest is special, reserved, or carries IPv4 within."""

_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
_PLAIN: Final = re.compile(r"[!-~]+")


class TargetRefused(Exception):  # noqa: N818  (a state of the target)
    """A URL or address that no webhook goes to. `rule` is a short stable word."""

    def __init__(self, rule: str) -> None:
        """Keep the rule that it breaks; the URL itself is in no message."""
        super().__init__(rule)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart. `address` is set when the host is an address; `loopback` is for trials."""

    scheme: str
    host: str
    port: int
    address: Address | None
    loopback: bool


def check_url(url: str, *, allow_loopback: bool = False) -> Target:
    """Take a URL apart and check its form.

    Raises:
        TargetRefused: `url-too-long`, `url-malformed`, `https-required`, `credentials-in-url`,
            `fragment-in-url`, `host-not-allowed` or `port-not-allowed`.

    """
    if len(url) > MAX_URL:
        raise TargetRefused("url-too-long")
    if not _PLAIN.fullmatch(url) or "\\" in url:
        raise TargetRefused("url-malformed")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise TargetRefused("url-malformed") from None
    if "@" in parts.netloc:
        raise TargetRefused("credentials-in-url")
    if "#" in url:
        raise TargetRefused("fragment-in-url")
    address = _address(host, bracketed="[" in parts.netloc)
    loopback = allow_loopback and (
        host == "localhost" or (address is not None and is_loopback(address))
    )
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise TargetRefused("https-required")
    if not loopback:
        if address is None:
            _check_name(host)
        else:
            check_address(address)
    chosen = port if port is not None else (HTTPS if parts.scheme == "https" else 80)
    if not loopback and not _port_is_sane(chosen):
        raise TargetRefused("port-not-allowed")
    return Target(parts.scheme, host, chosen, address, loopback)


def is_loopback(address: Address) -> bool:
    """Say so of 127.0.0.0/8 and ::1; Python 3.13 says it of an IPv4 inside an IPv6 address, too."""
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def _port_is_sane(port: int) -> bool:
    return port == HTTPS or (port >= FIRST_FREE_PORT and port not in _OTHERS_PORTS)


def _address(host: str, *, bracketed: bool) -> Address | None:
    """Return the address that the host is, None for a name; other spellings are refused.

    `0177.0.0.1`, `2130706433`, `0x7f.1` and `127.1` are addresses to many resolvers.
    """
    if not host or "%" in host:
        raise TargetRefused("host-not-allowed")
    if bracketed or ":" in host:
        try:
            return IPv6Address(host)
        except ValueError:
            raise TargetRefused("host-not-allowed") from None
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        try:
            return IPv4Address(host)
        except ValueError:
            raise TargetRefused("host-not-allowed") from None
    return None


def _check_name(host: str) -> None:
    labels = host.split(".")
    inner = any(host == name or host.endswith(f".{name}") for name in _INNER_NAMES)
    sane = len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)  # noqa: PLR2004  (RFC 1035)
    if inner or not sane or len(labels) < 2:  # noqa: PLR2004  (a name of one label is not public)
        raise TargetRefused("host-not-allowed")


def check_address(address: Address, denied: Iterable[IPv4Network | IPv6Network] = ()) -> None:
    """Check that an address is a global unicast one, and on no deny-list.

    Raises:
        TargetRefused: `address-not-global`.

    """
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    plain: Address = inner or address
    if (
        not plain.is_global
        or plain.is_multicast
        or (isinstance(plain, IPv6Address) and (plain.scope_id is not None or plain not in UNICAST))
        or any(plain.version == net.version and plain in net for net in (*DENIED, *denied))
    ):
        raise TargetRefused("address-not-global")


def check_answers(
    target: Target, answers: Sequence[str], denied: Iterable[IPv4Network | IPv6Network] = ()
) -> list[Address]:
    """Check every address that a name resolved to; one bad address spoils them all.

    Raises:
        TargetRefused: `address-not-global`, or `name-unresolved` when there is none.

    """
    if not answers:
        raise TargetRefused("name-unresolved")
    found: list[Address] = []
    for answer in answers:
        try:
            address = ip_address(answer)
        except ValueError:
            raise TargetRefused("address-not-global") from None
        if not (target.loopback and address.is_loopback):
            check_address(address, denied)
        if address not in found:
            found.append(address)
    return found
