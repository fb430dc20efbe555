"""An image of Kafka's classes as they are once loaded: with it a broker starts in half the time.

`python -m deploy.local.kafka_image` makes it, once for each Java and each set of jars: it starts a
broker of its own, which leaves the image (JEP 483, 514) when it ends. `make set-up` calls it.
Without an image Kafka starts all the same; Java itself passes over one that does not fit or is
damaged.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from deploy.local.errors import StackError
from deploy.local.home import ROOT
from deploy.local.jars import cache_folder, fetch_jars
from deploy.local.kafka import EmbeddedKafka, image_of, reserve_brokers
from deploy.local.keys import make_kafka_passwords
from deploy.local.ports import Ports
from deploy.local.progress import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WRITE_WITHIN: Final = 120.0
"""Seconds that a broker may take to write the image when it ends."""


async def make_image(jars: Sequence[Path]) -> Path:
    """Return the image for these jars, made if it is not there; about ten seconds.

    Raises:
        StackError: a broker did not start, or left no image.

    """
    image = image_of(jars)
    if image.exists():
        return image
    ports = Ports()
    with tempfile.TemporaryDirectory(prefix="image-", dir=image.parent) as folder:
        place, draft = Path(folder), Path(folder) / "draft"
        brokers = reserve_brokers(place, ports, 1)
        passwords = make_kafka_passwords(place / "passwords", beside_data=False)
        kafka = EmbeddedKafka(place, jars, brokers, passwords, leaves=draft)
        try:
            await kafka.prepare()
            await kafka.start(place / "log")
        finally:
            await kafka.stop(within=WRITE_WITHIN)
            ports.close()
        if not draft.exists():
            raise StackError("Java left no image of Kafka's classes")
        with draft.open("rb") as whole:
            os.fsync(whole.fileno())
        draft.replace(image)
    return image


def main() -> None:
    """Fetch the jars and make the image, and show how it goes; say in a line why there is none."""
    with Screen(Console()) as screen:

        def told(there: int, total: int) -> None:
            screen.handle({"event": "amount", "step": "jars", "done": there, "total": total})

        try:
            with _step(screen, "jars", "Kafka's jars"):
                jars = fetch_jars(cache_folder(ROOT / ".pashe" / "cache"), told)
            with _step(screen, "image", "Kafka, made ready to start fast"):
                asyncio.run(make_image(jars))
        except StackError as error:
            print(f"pashe: Kafka will start more slowly: {error}", file=sys.stderr)


@contextmanager
def _step(screen: Screen, name: str, text: str) -> Iterator[None]:
    start = time.monotonic()
    screen.handle({"event": "begin", "step": name, "text": text})
    yield
    screen.handle({"event": "end", "step": name, "seconds": time.monotonic() - start})


if __name__ == "__main__":
    main()
