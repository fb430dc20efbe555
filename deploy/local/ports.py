"""Free ports on loopback, below the ephemeral range, and held until the stack ends.

A reservation is a bound socket that does not listen. It is bound without SO_REUSEADDR, so that a
port in any use is refused, and gets the option afterwards: then the program it is meant for, which
sets the option too (as Kafka, PostgreSQL and uvicorn do), may bind and listen beside it, now and
after each restart, while another stack's search cannot take it.
"""

from __future__ import annotations

import random
import socket
from typing import Final

from deploy.local.errors import StackError

LOWEST: Final = 10_240
HIGHEST: Final = 32_767
"""Linux takes the ports of outgoing connections from 32768 on; a clash with one was seen."""

_TRIES: Final = 200


class Ports:
    """Reservations of one stack; `close` gives them back."""

    def __init__(self) -> None:
        """Reserve nothing yet."""
        self._held: list[socket.socket] = []
        self._random = random.SystemRandom()

    def reserve(self, host: str = "127.0.0.1") -> int:
        """Return a free port of `host` that nobody else will be given.

        Raises:
            StackError: none of many was free.

        """
        for _ in range(_TRIES):
            port = self._random.randint(LOWEST, HIGHEST)
            held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                held.bind((host, port))
            except OSError:
                held.close()
                continue
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._held.append(held)
            return port
        message = f"no free port on {host} between {LOWEST} and {HIGHEST}"
        raise StackError(message)

    def close(self) -> None:
        """Give every reservation back."""
        for held in self._held:
            held.close()
        self._held.clear()


def listen(host: str, port: int) -> socket.socket:
    """Listen on the origin's port; the socket is handed to the proxy and outlives its restarts.

    Raises:
        StackError: the port is taken or not allowed.

    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        message = (
            f"port {port} on {host} cannot be used ({error.strerror}): "
            "end what uses it, or choose another with PASHE_PORT"
        )
        raise StackError(message) from error
    return listener
