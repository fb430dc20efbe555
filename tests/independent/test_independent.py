"""Verifiers that are not ours, over HTTP, against what our code publishes.

Go's `sumdb/tlog` and `note`, and the `fsck` of Tessera. `make test-independent` runs them; Go must
be there (in PATH or in /usr/local/go), and its modules are fetched by its ordinary proxy.
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.test_monitor import SIGNER, WITNESS, Lab, make_row

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SIZES = (1, 2, 255, 256, 257, 511, 4097, 66_000)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def go() -> str:
    found = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin")
    if found is None:
        pytest.skip("Go is missing: install it to run the verifiers that are not ours")
    built = subprocess.run(
        [found, "build", "-o", os.devnull, ".", "github.com/transparency-dev/tessera/cmd/fsck"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode and ("dial tcp" in built.stderr or "no such host" in built.stderr):
        pytest.skip("Go's modules are missing, and their proxy does not answer")
    assert built.returncode == 0, built.stderr
    return found


@contextmanager
def published(lab: Lab, folder: Path) -> Iterator[str]:
    """Serve a log as static files, as any host could; give its address."""
    text = lab.note.decode().partition("\n\n")[0] + "\n"
    cosigned = lab.note.decode() + WITNESS.cosign(text, 1_800_000_000)
    (folder / "checkpoint").write_text(cosigned, "utf-8")
    for path, data in lab.files.items():
        file = folder / "tile" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def sumdb(go: str, url: str) -> subprocess.CompletedProcess[str]:
    words = ["run", ".", "-url", url, "-vkey", str(SIGNER.vkey)]
    return subprocess.run([go, *words], cwd=HERE, capture_output=True, text=True, check=False)


def fsck(go: str, url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "key").write_text(f"{SIGNER.vkey}\n", "utf-8")
    words = [f"--storage_url={url}/", f"--public_key={folder / 'key'}", "--ui=false"]
    return subprocess.run(
        [go, "tool", "fsck", *words], cwd=HERE, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("size", SIZES)
def test_verifiers_that_are_not_ours_believe_the_log(go: str, size: int, tmp_path: Path) -> None:
    lab = Lab.of([make_row(n) for n in range(size)])
    with published(lab, tmp_path) as url:
        told = sumdb(go, url)
        assert (told.returncode, told.stdout) == (
            0,
            f"{size} entries hold, 1 other signatures\n",
        ), told.stdout + told.stderr
        done = fsck(go, url, tmp_path)
        assert done.returncode == 0, done.stderr


def test_they_see_a_bit_of_an_entry_a_tile_and_a_signature(go: str, tmp_path: Path) -> None:
    good = Lab.of([make_row(n) for n in range(300)])
    for n, path in enumerate(("entries/000", "0/000", "1/000.p/1", None)):
        lab = good.copied()
        if path is None:
            lab.note = lab.note.replace(b"\n300\n", b"\n301\n")
        else:
            raw = lab.files[path]
            lab.files[path] = raw[:40] + bytes([raw[40 % len(raw)] ^ 1]) + raw[41:]
            if path.startswith("1/"):
                lab.files[path] = bytes([raw[0] ^ 1]) + raw[1:]
        folder = tmp_path / str(n)
        folder.mkdir()
        with published(lab, folder) as url:
            assert sumdb(go, url).returncode == 1, path
            assert fsck(go, url, folder).returncode != 0, path
