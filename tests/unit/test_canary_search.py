"""The search for planted words finds each way of writing them, and knows when it saw nothing."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.support import canary
from tests.support.canary import Searcher, Sink, complaints, forms_of, phones, table

if TYPE_CHECKING:
    from pathlib import Path

NAME, BANGLA, PHONE = "Qvxjrina", "ক্বাজিরিনা", "01799041731"
TEXTS = (NAME, BANGLA, *phones(PHONE))

PLANTED = {
    "plain": NAME.encode(),
    "inside a word": f"x{NAME}y".encode(),
    "small letters": NAME.lower().encode(),
    "capitals": NAME.upper().encode(),
    "UTF-16 as Java has it": f"a {NAME}".encode("utf-16-be"),
    "UTF-16 with a mark": NAME.encode("utf-16"),
    "hex, as COPY writes bytes": b"\\x00" + NAME.encode().hex().encode(),
    "hex in capitals": NAME.encode().hex().upper().encode(),
    "base64": base64.b64encode(f'{{"name": "{NAME}"}}'.encode()),
    "base64, one on": base64.b64encode(f'{{"name":  "{NAME}"}}'.encode()),
    "base64, two on": base64.b64encode(f'{{"name":   "{NAME}"}}'.encode()),
    "Bangla": f"নাম {BANGLA}".encode(),
    "Bangla in JSON": json.dumps({"n": BANGLA}).encode(),
    "Bangla in a URL": f"/x?q={quote(BANGLA)}".encode(),
    "Bangla in a URL, small": f"/x?q={quote(BANGLA)}".lower().encode(),
    "Bangla in base64": base64.urlsafe_b64encode(f"a{BANGLA}".encode()),
    "Bangla in UTF-16": BANGLA.encode("utf-16-le"),
    "Bangla in hex": BANGLA.encode().hex().encode(),
    "Python's repr of bytes": repr(BANGLA.encode()).encode(),
    "PostgreSQL's octal": "".join(f"\\{b:03o}" for b in BANGLA.encode()).encode(),
    "a number": f"+88{PHONE}".encode(),
    "a number of its own in JSON": json.dumps({"p": f"880{PHONE[1:]}"}).encode(),
    "a number in Bangla digits": PHONE.translate(canary.BANGLA).encode(),
    "a number with a hyphen": f"0{PHONE[1:5]}-{PHONE[5:]}".encode(),
    "a number with spaces": f"{PHONE[:5]} {PHONE[5:8]} {PHONE[8:]}".encode(),
    "a number in UTF-16": PHONE.encode("utf-16-le"),
    "a number in hex": PHONE.encode().hex().encode(),
    "a number in base64": base64.b64encode(f"tel:+88{PHONE}".encode()),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(name: str) -> None:
    found = Searcher(TEXTS).search(b"\x00before " + PLANTED[name] + b" after\xff", "here")
    assert found
    assert {hit.where for hit in found} == {"here"}


@pytest.mark.parametrize("text", TEXTS)
def test_every_form_of_every_text_is_found(text: str) -> None:
    for form, content in forms_of(text).items():
        assert len(content) >= 8
        assert Searcher([text]).search(b"..." + content + b"...", "here"), form


def test_what_only_looks_like_it_is_not() -> None:
    others = [b"qvxj rina", b"01799041732", b"1799.041731", b"\x00" * 1000, "বাজিরিনা".encode()]
    for other in others:
        assert Searcher(TEXTS).search(other, "here") == []


def test_a_file_is_searched_to_its_end_and_across_its_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "CHUNK", 10_000)
    path = tmp_path / "part"
    for place in (0, 9_996, 10_000, 29_990):
        path.write_bytes(b"." * place + NAME.encode() + b"." * 50)
        size, hits = Searcher([NAME]).search_file(path, "part")
        assert size == place + len(NAME) + 50
        assert [hit.form for hit in hits] == ["UTF-8"]
    assert Searcher([NAME]).search_file(tmp_path / "gone", "gone") == (0, [])


def test_a_sink_that_is_missing_or_empty_fails_like_one_that_leaks() -> None:
    searcher = Searcher([NAME])
    missing, empty, clean, leaks = Sink("a"), Sink("b"), Sink("c"), Sink("d")
    empty.add(searcher, b"", "x")
    clean.add(searcher, b"nothing", "x")
    leaks.add(searcher, NAME.encode(), "x")
    said = list(complaints([missing, empty, clean, leaks]))
    assert [line.split()[0] for line in said] == ["a", "b", NAME]
    shown = table([clean, leaks], ["note"])
    assert "note" in shown
    assert shown.splitlines()[1].split() == ["c", "1", "7", "0"]
