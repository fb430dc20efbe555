"""What proves a gateway that does not sign: a secret it was given, and its addresses."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Self

from shared.errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_secret(known: str, said: str) -> None:
    """Compare a shared secret in constant time.

    Raises:
        Forbidden: it is another, or none.

    """
    if not hmac.compare_digest(known.encode(), said.encode("utf-8", "replace")):
        raise Forbidden("the secret does not fit")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a gateway may come from; without any network, from anywhere."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, written: Iterable[str]) -> Self:
        """Read addresses and networks (`203.0.113.0/24`).

        Raises:
            ValueError: one is neither.

        """
        return cls(tuple(ip_network(one.strip()) for one in written if one.strip()))

    def check(self, said: str) -> None:
        """Compare where a request came from.

        Raises:
            Forbidden: it is none of the networks', or no address.

        """
        if not self.networks:
            return
        try:
            address = ip_address(said)
        except ValueError:
            raise Forbidden("the address is not known") from None
        if not any(address in network for network in self.networks):
            raise Forbidden("the address is not known")
