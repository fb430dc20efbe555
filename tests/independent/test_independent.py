"""Verifiers that are not ours, over HTTP, against what our code publishes.

Go's `sumdb/tlog` and `note`, the `fsck` of Tessera, and `aics-tlog`. `make test-independent` runs
them. Go must be there (in PATH or in /usr/local/go), and its modules are fetched by its ordinary
proxy; `aics-tlog` needs a Python from 3.12 on, and is fetched for it alone.
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.test_monitor import SIGNER, WITNESS, Lab, make_row

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
COSIGNED = 1_800_000_000
AICS = "aics-tlog==0.2.1"
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


def broken(good: Lab) -> Iterator[Lab]:
    """Give the log with a bit changed: of an entry, of tiles of both levels, of what is signed."""
    for path in ("entries/000", "0/000", "1/000.p/1", None):
        lab = good.copied()
        if path is None:
            lab.note = lab.note.replace(b"\n300\n", b"\n301\n")
        else:
            raw = lab.files[path]
            at = 0 if path.startswith("1/") else 40
            lab.files[path] = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        yield lab


@contextmanager
def published(lab: Lab, folder: Path) -> Iterator[str]:
    """Serve a log as static files, as any host could; give its address."""
    text = lab.note.decode().partition("\n\n")[0] + "\n"
    cosigned = lab.note.decode() + WITNESS.cosign(text, COSIGNED)
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


def newer_python() -> str | None:
    """Return a Python from 3.12 on, this one or one beside it; None if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [sys.executable, *map(str, sorted(pyenv.glob("3.1[2-9]*/bin/python3")))]
    found += [path for minor in (12, 13, 14) if (path := shutil.which(f"python3.{minor}"))]
    asks = "import sys; sys.exit(sys.version_info < (3, 12))"
    for python in found:
        if subprocess.run([python, "-c", asks], capture_output=True, check=False).returncode == 0:
            return python
    return None


@pytest.fixture(scope="module")
def aics() -> list[str]:
    """Return how to run a program with `aics-tlog`, in an environment that has nothing of ours."""
    python = newer_python()
    if python is None:
        pytest.skip("a Python from 3.12 on is missing: install one for aics-tlog")
    uv = str(Path(sys.executable).with_name("uv"))
    words = [uv, "run", "--isolated", "--no-project", "--no-python-downloads"]
    words += ["--python", python, "--with", AICS, "python", "-I"]
    tried = subprocess.run(
        [*words, "-c", "import aics_tlog"], capture_output=True, text=True, check=False
    )
    if tried.returncode and ("dns error" in tried.stderr or "error sending" in tried.stderr):
        pytest.skip(f"{AICS} is missing, and the registry of packages does not answer")
    assert tried.returncode == 0, tried.stderr
    return words


def ask_aics(aics: list[str], url: str) -> subprocess.CompletedProcess[str]:
    words = [*aics, str(HERE / "aics.py"), url, str(SIGNER.vkey), str(WITNESS.vkey), str(COSIGNED)]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=HERE)


@pytest.mark.parametrize("size", SIZES)
def test_aics_tlog_believes_the_log_and_its_witness(
    aics: list[str], size: int, tmp_path: Path
) -> None:
    with published(Lab.of([make_row(n) for n in range(size)]), tmp_path) as url:
        told = ask_aics(aics, url)
    assert told.stdout == f"{size} entries hold, 1 witnesses\n", told.stderr


def test_aics_tlog_sees_a_bit_of_an_entry_a_tile_and_a_signature(
    aics: list[str], tmp_path: Path
) -> None:
    good = Lab.of([make_row(n) for n in range(300)])
    for n, lab in enumerate(broken(good)):
        folder = tmp_path / str(n)
        folder.mkdir()
        with published(lab, folder) as url:
            told = ask_aics(aics, url)
        assert (told.returncode, told.stdout) == (1, ""), n


def sumdb(go: str, url: str) -> subprocess.CompletedProcess[str]:
    words = ["run", ".", "-url", url, "-vkey", str(SIGNER.vkey)]
    return subprocess.run([go, *words], cwd=HERE, capture_output=True, text=True, check=False)


def fsck(go: str, url: str, folder: Path, within: float) -> str:
    """Return how Tessera's fsck ended: with `holds`, `broken`, or not at all.

    On some broken logs it stops saying anything and waits for ever: that is no belief either. Its
    exit code is 0 even where it says that it failed.
    """
    (folder / "key").write_text(f"{SIGNER.vkey}\n", "utf-8")
    words = [f"--storage_url={url}/", f"--public_key={folder / 'key'}", "--ui=false"]
    found = subprocess.run(
        [go, "tool", "-n", "fsck"], cwd=HERE, capture_output=True, text=True, check=True
    )
    try:
        done = subprocess.run(
            [found.stdout.strip(), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=within,
        )
    except subprocess.TimeoutExpired:
        return "no end"
    return "broken" if done.returncode or "failed" in done.stderr else "holds"


@pytest.mark.parametrize("size", SIZES)
def test_verifiers_that_are_not_ours_believe_the_log(go: str, size: int, tmp_path: Path) -> None:
    lab = Lab.of([make_row(n) for n in range(size)])
    with published(lab, tmp_path) as url:
        told = sumdb(go, url)
        assert (told.returncode, told.stdout) == (
            0,
            f"{size} entries hold, 1 other signatures\n",
        ), told.stdout + told.stderr
        assert fsck(go, url, tmp_path, 300) == "holds"


def test_they_see_a_bit_of_an_entry_a_tile_and_a_signature(go: str, tmp_path: Path) -> None:
    good = Lab.of([make_row(n) for n in range(300)])
    for n, lab in enumerate(broken(good)):
        folder = tmp_path / str(n)
        folder.mkdir()
        with published(lab, folder) as url:
            assert sumdb(go, url).returncode == 1, n
            assert fsck(go, url, folder, 15) != "holds", n
