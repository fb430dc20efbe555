"""How a verifier gets the published log: tiles over HTTP, with the standard library alone."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from services.audit import tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from services.audit.tiles import Tile

PREFIX: Final = "/audit/log"
"""Where the log lies below the origin."""

TIMEOUT: Final = 20.0
"""Seconds for one answer."""

TRIES: Final = 3
"""Tries of one request before the verifier cannot tell."""

MOST_BYTES: Final = 32 * 1024 * 1024
"""Bytes of one answer; a full bundle of the largest entries is half of it."""

EVERY: Final = 2.0
"""Seconds between two lines of progress."""


class HistoryBroken(Exception):  # noqa: N818  (the finding)
    """What the log shows contradicts what it signed, now or earlier."""


class CannotTell(Exception):  # noqa: N818  (the finding)
    """The log, the network or the state folder gave no answer; nothing is proven either way."""


class Fetcher:
    """Fetches from one origin over one connection that is kept open."""

    def __init__(self, origin: str) -> None:
        """Take an http or https origin; a path before `/audit/log` is allowed.

        Raises:
            CannotTell: it is no such address.

        """
        parts = urlsplit(origin.rstrip("/"))
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        if parts.scheme not in kinds or not parts.hostname:
            raise CannotTell("the address must begin with http:// or https://")
        self._path = parts.path + PREFIX
        self._connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=TIMEOUT)

    def fetch(self, path: str) -> bytes:
        """Return the bytes of a resource of the log; a dropped connection is tried again.

        Raises:
            CannotTell: no answer, or another one than 200.

        """
        for turn in range(1, TRIES + 1):
            try:
                self._connection.request("GET", f"{self._path}/{path}")
                answer = self._connection.getresponse()
                body: bytes = answer.read(MOST_BYTES)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if turn == TRIES:
                    message = f"the log does not answer ({type(error).__name__})"
                    raise CannotTell(message) from None
                continue
            if answer.status == http.HTTPStatus.OK:
                return body
            if answer.status < http.HTTPStatus.INTERNAL_SERVER_ERROR or turn == TRIES:
                message = f"the log answers {answer.status} for {path}"
                raise CannotTell(message)
            time.sleep(turn * 0.5)
        raise CannotTell("the log does not answer")

    def bundles(self, size: int, say: Callable[[str], None]) -> Iterator[list[bytes]]:
        """Fetch the entries bundle by bundle, telling progress.

        Raises:
            HistoryBroken: a bundle is not one.
            CannotTell: see `fetch`.

        """
        said = time.monotonic()
        for tile in tiles.bundles_of(size):
            if time.monotonic() - said > EVERY:
                said = time.monotonic()
                say(f"… {tile.index * tiles.WIDTH:,} of {size:,} entries")
            yield self._bundle(tile)

    def _bundle(self, tile: Tile) -> list[bytes]:
        raw = self.fetch(f"tile/{tile.path}")
        try:
            return tiles.decode_bundle(raw, tile.width)
        except tiles.TileInvalid as error:
            message = f"bundle {tile.path}: {error}"
            raise HistoryBroken(message) from None
