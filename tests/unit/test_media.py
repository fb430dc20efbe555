"""What a file is, what its copy holds, and a form that never breaks."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.requests import Request

from services.intake.media import strip as program
from services.intake.media.form import Form, read_form
from services.intake.media.kinds import UNKNOWN, sort_of
from services.intake.media.rules import day_of, rules_on
from services.intake.media.strip import strip
from services.intake.vault import PART, Vault, VaultError
from shared.errors import Problem
from tests.support.canary import Searcher
from tests.support.pictures import AMR, HEIC, MP3, OGG, WAV, bomb, mp4, picture, webm

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

SAID = "Qvxjpicture"
AT = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raw", "kind", "format_"),
    [
        (picture("JPEG"), "image", "jpeg"),
        (picture("PNG"), "image", "png"),
        (picture("WEBP"), "image", "webp"),
        (HEIC, "image", "heic"),
        (OGG, "audio", "ogg"),
        (AMR, "audio", "amr"),
        (MP3, "audio", "mpeg"),
        (b"\xff\xfb\x90\0" + bytes(80), "audio", "mpeg"),
        (WAV, "audio", "wav"),
        (mp4(b"M4A ", b"soun"), "audio", "mp4"),
        (mp4(b"mp42", b"soun"), "audio", "mp4"),
        (mp4(b"3gp4", b"soun"), "audio", "mp4"),
        (mp4(b"isom", b"vide", b"soun"), "video", "mp4"),
        (mp4(b"mp42"), "unknown", "mp4"),
        (webm(b"A_OPUS"), "audio", "webm"),
        (webm(b"V_VP9", b"A_OPUS"), "video", "webm"),
        (b"RIFF\0\0\0\0AVI LIST" + bytes(60), "video", "avi"),
        (b"%PDF-1.4\n", "unknown", "unknown"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unknown", "unknown"),
        (b"amake bachao", "unknown", "unknown"),
    ],
)
def test_a_file_is_what_its_bytes_say(raw: bytes, kind: str, format_: str) -> None:
    found = sort_of(raw)
    assert (found.kind, found.format) == (kind, format_)


@given(st.binary(max_size=300), st.sampled_from([b"", OGG, HEIC, mp4(b"mp42", b"soun"), webm()]))
def test_any_bytes_have_a_kind(raw: bytes, before: bytes) -> None:
    assert sort_of(before + raw).kind in ("image", "audio", "video", "unknown")
    assert sort_of(b"") == UNKNOWN


@pytest.mark.parametrize("points", [None, 24])
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_a_copy_holds_pixels_and_nothing_else(format_: str, points: int | None) -> None:
    raw = picture(format_, SAID, (2000, 1000))
    searcher = Searcher([SAID])
    assert searcher.search(raw, "the original")
    copy = strip(raw, 480, 10**7, points)
    assert searcher.search(copy, "the copy") == []
    with Image.open(io.BytesIO(copy)) as shown:
        assert set(shown.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert not shown.getexif()
        assert shown.size == (240, 480)  # it stands upright, as its EXIF said


def test_a_blurred_copy_tells_no_more_than_its_points() -> None:
    chequered = Image.effect_noise((800, 800), 200).convert("RGB")
    written = io.BytesIO()
    chequered.save(written, "JPEG")
    copy = strip(written.getvalue(), 480, 10**7, 24)
    with Image.open(io.BytesIO(copy)) as shown:
        again = shown.resize((24, 24)).resize((480, 480), Image.Resampling.BICUBIC)
        pairs = zip(shown.convert("L").tobytes(), again.convert("L").tobytes(), strict=True)
        assert sum(abs(a - b) for a, b in pairs) / 480**2 < 3


@pytest.mark.parametrize("raw", [bomb(), bomb(7_000, 8_000), b"", HEIC, picture("GIF"), OGG])
def test_what_is_no_picture_or_a_bomb_gives_no_copy(raw: bytes) -> None:
    rules = rules_on(AT)
    with pytest.raises((OSError, ValueError, Image.DecompressionBombError)):
        strip(raw, rules.side, rules.max_pixels)


@given(st.binary(max_size=200), st.integers(0, 1500))
def test_a_broken_picture_is_a_copy_or_an_error_and_nothing_else(broken: bytes, at: int) -> None:
    raw = bytearray(picture("JPEG", SAID, (40, 30)))
    raw[at : at + len(broken)] = broken
    try:
        copy = strip(bytes(raw), 64, 10**6)
    except Exception:
        return
    assert not Searcher([SAID]).search(copy, "the copy")


def test_the_program_copies_within_its_limits_and_says_nothing_else() -> None:
    def run(raw: bytes) -> subprocess.CompletedProcess[bytes]:
        words = [sys.executable, "-I", "-B", str(Path(program.__file__)), "64", "1000000"]
        return subprocess.run(words, input=raw, capture_output=True, env={}, check=False)

    made = run(picture(said=SAID))
    assert (made.returncode, made.stderr) == (0, b"")
    assert made.stdout[:3] == b"\xff\xd8\xff"
    refused = run(bomb())
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, b"", b"")


def test_parts_open_whole_in_order_and_under_their_own_key_and_name_alone() -> None:
    vault = Vault(b"k" * 32)
    one, other = (vault.seal(uuid4(), "reporter", None, {}) for _ in range(2))
    raw = bytes(range(256)) * (PART // 128)
    parts = vault.seal_parts(one, "attachment:a", raw)
    assert len(parts) == 2
    assert vault.open_parts(one, "attachment:a", parts) == raw
    assert vault.open_parts(one, "x", vault.seal_parts(one, "x", b"")) == b""
    for subject, name, given_parts in (
        (other, "attachment:a", parts),
        (one, "attachment:b", parts),
        (one, "attachment:a", parts[:1]),
        (one, "attachment:a", parts[::-1]),
        (one, "attachment:a", [parts[0], bytes([parts[1][0] ^ 1]) + parts[1][1:]]),
        (one, "attachment:a", []),
    ):
        with pytest.raises(VaultError):
            vault.open_parts(subject, name, given_parts)


def test_the_numbers_are_dated_and_a_day_is_dhakas() -> None:
    rules = rules_on(AT)
    assert rules.images == ("supervisor",)
    assert [rules.per_day(s) for s in ("blurred", "clear", "sound")] == [60, 15, 60]
    begins, ends = day_of(datetime(2026, 11, 25, 20, tzinfo=UTC))
    assert begins == datetime(2026, 11, 25, 18, tzinfo=UTC)
    assert ends - begins == timedelta(days=1)


def form_of(body: bytes, content_type: str) -> Form | Problem:
    """Read a form as the endpoint does; what it refuses is a problem."""

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body}

    headers = [(b"content-type", content_type.encode("latin-1"))]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    try:
        return asyncio.run(read_form(request, 2_000_000))
    except Problem as problem:
        return problem


WHOLE = (
    b'--x\r\nContent-Disposition: form-data; name="receipt"\r\n\r\n1234\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="Qvxjpicture.jpg"\r\n'
    b"Content-Type: text/html\r\n\r\n%s\r\n--x--\r\n"
)


def test_a_form_gives_receipt_and_bytes_and_never_touches_a_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_disk(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("tempfile.TemporaryFile", no_disk)
    raw = bytes(1_900_000)
    assert form_of(WHOLE % raw, "multipart/form-data; boundary=x") == Form("1234", raw)


@given(
    st.binary(max_size=400) | st.binary(max_size=60).map(lambda raw: (WHOLE % raw)[:-3] + raw),
    st.sampled_from(
        ["multipart/form-data; boundary=x", "multipart/form-data", "text/plain", "\xff", ""]
    ),
)
def test_any_form_is_read_or_refused(body: bytes, content_type: str) -> None:
    found = form_of(body, content_type)
    assert isinstance(found, Form) or 400 <= found.status < 500
