"""The health check of a container: `python -m shared.alive` asks the process beside it `/live`."""

from __future__ import annotations

import http.client
import os
import sys
from typing import Final

TIMEOUT: Final = 2.0
"""Seconds."""


def is_alive(port: int) -> bool:
    """Say whether the event loop of the service on this port turns."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/live")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_alive(int(os.environ.get("HTTP_PORT", "8080"))) else 1)
