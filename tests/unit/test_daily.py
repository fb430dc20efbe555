"""The checkpoint of a day is cosigned, or late; a partner keeps each, and sees every change."""

from __future__ import annotations

import functools
import http.server
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit import merkle, pin
from services.audit.checkpoint import open_checkpoint
from services.audit.daily import choose
from services.audit.nodes import Published
from services.audit.pin import check_growth
from services.audit.tiles import read_places
from services.audit.verify import BROKEN, CANNOT_TELL, HOLDS
from tests.unit.test_monitor import SIGNER, WITNESS, Lab, make_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from services.audit.tiles import Tile

MORNING = datetime(2026, 11, 28, 18, 10, tzinfo=UTC)  # ten past midnight in Dhaka, of the 29th
DAY = ("2026-11-28", "2026-11-29")


def published(size: int, at: datetime | None = None) -> Published:
    return Published(f"note {size}", size, at, ())


def test_a_day_takes_what_a_witness_signed_on_it() -> None:
    seen = published(7, MORNING)
    assert choose(MORNING, published(9), seen, witnessed=True) is seen


def test_a_day_waits_an_hour_for_a_witness_and_no_longer() -> None:
    old = published(7, MORNING - timedelta(hours=1))
    signed = published(9)
    assert choose(MORNING, signed, old, witnessed=True) is None
    assert choose(MORNING + timedelta(hours=1), signed, old, witnessed=True) is signed


def test_a_day_on_which_nothing_was_added_takes_the_last_cosigned_one() -> None:
    old = published(9, MORNING - timedelta(days=3))
    assert choose(MORNING, published(9), old, witnessed=True) is old


def test_without_witnesses_nothing_is_waited_for_and_without_a_checkpoint_nothing_is_told() -> None:
    signed = published(9)
    assert choose(MORNING, signed, None, witnessed=False) is signed
    assert choose(MORNING, Published(None, 0, None, ()), None, witnessed=False) is None


LOG = Lab.of([make_row(n) for n in range(66_000)])
LEAVES = [merkle.leaf_hash(LOG.rows_held[n].commitment) for n in range(66_000)]


@functools.cache
def small(size: int) -> Lab:
    return Lab.of([make_row(n) for n in range(size)])


@given(st.integers(0, 600), st.integers(0, 600))
def test_hash_tiles_prove_that_a_log_grew(one: int, other: int) -> None:
    old, new = sorted((one, other))
    lab, before = small(new), small(old)

    def fetch(tile: Tile) -> bytes:
        return lab.files[tile.path]

    first, last = (open_checkpoint(each.note, SIGNER.vkey) for each in (before, lab))
    check_growth(first, last, fetch)


def test_large_logs_are_proven_by_a_few_tiles() -> None:
    asked: list[str] = []

    def fetch(tile: Tile) -> bytes:
        asked.append(tile.path)
        return LOG.files[tile.path]

    before = small(4097)
    first, last = (open_checkpoint(each.note, SIGNER.vkey) for each in (before, LOG))
    check_growth(first, last, fetch)
    assert len(asked) == len(set(asked)) <= 6
    read = read_places(66_000, fetch)
    assert read((0, 4097)) == LEAVES[4097]
    assert read((9, 3)) == merkle.extend(merkle.Range(), LEAVES[1536:2048])[0].root


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            self.path = "/audit/log/days" if self.path == "/audit/log/daily" else self.path
            super().do_GET()

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def publish(folder: Path, lab: Lab, day: str, *, cosigned: bool = True) -> None:
    """Publish a log as files, and its checkpoint as that of a day."""
    place = folder / "audit" / "log"
    (place / "daily").mkdir(parents=True, exist_ok=True)
    note = lab.note.decode()
    text = note.partition("\n\n")[0] + "\n"
    (place / "daily" / day).write_text(
        note + (WITNESS.cosign(text, 1_800_000_000) if cosigned else ""), "utf-8"
    )
    (place / "key").write_text(f"{SIGNER.vkey}\n", "utf-8")
    days = sorted(each.name for each in (place / "daily").iterdir())
    (place / "days").write_text("".join(f"{each}\n" for each in reversed(days)), "ascii")
    for path, data in lab.files.items():
        file = place / "tile" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def run(url: str, folder: Path, *more: str) -> int:
    return pin.main(["--url", url, "--folder", str(folder), *more])


def test_a_partner_keeps_each_day_and_compares_it_with_the_day_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site, pins = tmp_path / "site", tmp_path / "pins"
    publish(site, small(300), DAY[0])
    with serving(site) as url:
        assert run(url, pins, "--witness", str(WITNESS.vkey)) == HOLDS
        publish(site, small(571), DAY[1])
        assert run(url, pins) == HOLDS
        assert "571 entries" in capsys.readouterr().out
        assert run(url, pins) == HOLDS
        assert "Nothing is newer" in capsys.readouterr().out
    assert pin.kept_days(pins) == list(DAY)


@pytest.mark.parametrize("when", ["the day kept", "a day after", "shrunk"])
def test_a_history_that_was_rewritten_and_signed_again_is_exposed(
    tmp_path: Path, when: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site, pins = tmp_path / "site", tmp_path / "pins"
    publish(site, small(300), DAY[0])
    with serving(site) as url:
        assert run(url, pins) == HOLDS
        rows = [make_row(n) for n in range(200 if when == "shrunk" else 400)]
        rows[7] = make_row(7, "another")
        publish(site, Lab.of(rows), DAY[0] if when == "the day kept" else DAY[1])
        assert run(url, pins) == BROKEN
    assert "BROKEN" in capsys.readouterr().out
    assert pin.kept_days(pins) == [DAY[0]]


def test_without_the_witness_that_was_asked_for_nothing_is_kept(tmp_path: Path) -> None:
    site, pins = tmp_path / "site", tmp_path / "pins"
    publish(site, small(300), DAY[0], cosigned=False)
    with serving(site) as url:
        assert run(url, pins, "--witness", str(WITNESS.vkey)) == CANNOT_TELL
    assert pin.kept_days(pins) == []
    assert run("http://127.0.0.1:1", pins) == CANNOT_TELL
