"""Kafka with an image of its classes, without one, and with one that is none."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.local.jars import cache_folder, fetch_jars
from deploy.local.kafka import EmbeddedKafka, image_of, reserve_brokers
from deploy.local.kafka_image import make_image
from deploy.local.ports import Ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def fetched(tmp_path: Path) -> list[Path]:
    """Kafka's jars in the cache that stacks share."""
    return fetch_jars(cache_folder(tmp_path / "other"), lambda _there, _total: None)


@pytest.fixture
def jars(fetched: list[Path], tmp_path: Path) -> list[Path]:
    """The same in a cache of this test's own."""
    folder = tmp_path / "cache" / "jars"
    folder.mkdir(parents=True)
    own = [folder / jar.name for jar in fetched]
    for jar, there in zip(own, fetched, strict=True):
        jar.symlink_to(there)
    return own


@contextmanager
def running(folder: Path, jars: list[Path]) -> Iterator[list[str]]:
    """Run a broker from these jars; yields its command line."""
    ports = Ports()
    kafka = EmbeddedKafka(folder, jars, reserve_brokers(folder, ports, 1))

    async def start() -> None:
        await kafka.prepare()
        await kafka.start(folder / "log")

    asyncio.run(start())
    try:
        yield kafka.command(kafka.brokers[0])
    finally:
        asyncio.run(kafka.stop())
        ports.close()


def maps_of(image: Path) -> list[str]:
    """Return the ids of the processes that have a file in memory."""
    found = []
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            if str(image) in maps.read_text():
                found.append(maps.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: os.urandom(1 << 20), id="no image", marks=pytest.mark.slow),
        pytest.param(lambda whole: whole[: len(whole) // 2], id="cut off", marks=pytest.mark.slow),
        pytest.param(
            lambda whole: whole[: 1 << 20] + bytes(1 << 20) + whole[2 << 20 :],
            id="zeros near its beginning",
        ),
    ],
)
def test_an_image_that_was_damaged_is_passed_over(
    damage: Callable[[bytes], bytes], fetched: list[Path], jars: list[Path], tmp_path: Path
) -> None:
    whole = asyncio.run(make_image(fetched)).read_bytes()
    image_of(jars).write_bytes(damage(whole))
    with running(tmp_path / "kafka", jars) as command:
        assert f"-XX:AOTCache={image_of(jars)}" in command


def test_other_jars_have_another_image(jars: list[Path]) -> None:
    before = image_of(jars)
    first = jars[0].resolve()
    jars[0].unlink()
    jars[0].write_bytes(first.read_bytes())
    assert image_of(jars) != before


@pytest.mark.slow
def test_an_image_is_made_once_and_used(jars: list[Path], tmp_path: Path) -> None:
    made = asyncio.run(make_image(jars))
    stamp = made.stat().st_mtime_ns
    assert made == image_of(jars)
    assert {left.name for left in made.parent.iterdir()} == {"jars", made.name}
    assert asyncio.run(make_image(jars)).stat().st_mtime_ns == stamp
    with running(tmp_path / "kafka", jars):
        assert maps_of(made)
