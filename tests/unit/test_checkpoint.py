"""Signed notes and checkpoints, against the known-answer vector and against tampering."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit import checkpoint
from services.audit.checkpoint import Checkpoint, NoteInvalid, NoteSigner, VerifierKey

VECTOR: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "tlog_vector.json").read_text("utf-8")
)
SIGNER = NoteSigner(VECTOR["origin"], bytes.fromhex(VECTOR["seed"]))
KEY = SIGNER.vkey
NOTE = VECTOR["checkpoint"].encode()


def test_the_vector_gives_the_same_key_and_checkpoint() -> None:
    assert str(KEY) == VECTOR["vkey"]
    assert checkpoint.parse_vkey(VECTOR["vkey"]) == KEY
    told = Checkpoint(VECTOR["origin"], 3, bytes.fromhex(VECTOR["root3"]))
    assert SIGNER.sign(told.text) == VECTOR["checkpoint"]
    assert checkpoint.open_checkpoint(NOTE, KEY) == told


def test_a_key_with_a_plus_sign_in_its_base64_is_read() -> None:
    witness = checkpoint.parse_vkey(VECTOR["witness_vkey"])
    assert witness.name == "witness.example.org/w1"
    assert witness.algorithm == 4
    assert str(witness) == VECTOR["witness_vkey"]


def test_signatures_by_unknown_keys_are_passed_over() -> None:
    cosigned = NOTE + VECTOR["cosignature_line"].encode()
    note, keys = checkpoint.verify_note(cosigned, [KEY])
    assert keys == [KEY]
    assert len(note.signatures) == 2
    with pytest.raises(NoteInvalid, match="no known key"):
        checkpoint.verify_note(NOTE, [NoteSigner("log.example.org/other", bytes(32)).vkey])


def test_a_known_key_of_an_algorithm_that_nobody_can_check_rejects_the_note() -> None:
    later = VerifierKey("witness.example.org/w1", 0x06, bytes(1312))
    line = f"\u2014 {later.name} {base64.b64encode(later.id + bytes(72)).decode()}\n"
    with pytest.raises(NoteInvalid, match="does not hold"):
        checkpoint.verify_note(NOTE + line.encode(), [KEY, later])


def test_a_cosignature_is_over_the_text_and_its_time() -> None:
    witness = checkpoint.parse_vkey(VECTOR["witness_vkey"])
    cosigned = NOTE + VECTOR["cosignature_line"].encode()
    assert checkpoint.verify_note(cosigned, [KEY, witness])[1] == [KEY, witness]
    name, _, encoded = VECTOR["cosignature_line"].rstrip("\n").rpartition(" ")
    raw = bytearray(base64.b64decode(encoded))
    for at in (4, 11, 12, 75):
        changed = bytearray(raw)
        changed[at] ^= 1
        line = f"{name} {base64.b64encode(changed).decode()}\n"
        with pytest.raises(NoteInvalid, match="does not hold"):
            checkpoint.verify_note(NOTE + line.encode(), [witness])


def test_a_second_algorithm_is_one_more_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def always(public: bytes, text: bytes, signature: bytes) -> bool:
        return signature == public[:1] + text[:3]

    monkeypatch.setattr(checkpoint, "ALGORITHMS", {**checkpoint.ALGORITHMS, 0x7F: always})
    key = VerifierKey("second.example.org", 0x7F, b"public")
    line = base64.b64encode(key.id + b"p" + NOTE[:3]).decode()
    both = NOTE + f"— {key.name} {line}\n".encode()
    assert checkpoint.verify_note(both, [KEY, key])[1] == [KEY, key]


def test_sixteen_and_more_signatures_are_accepted_and_a_flood_is_not() -> None:
    other = VECTOR["cosignature_line"].encode()
    assert checkpoint.verify_note(NOTE + other * 20, [KEY])[1] == [KEY]
    with pytest.raises(NoteInvalid, match="too many"):
        checkpoint.verify_note(NOTE + other * 70, [KEY])


def test_no_bit_of_a_checkpoint_can_be_turned() -> None:
    for bit in range(len(NOTE) * 8):
        changed = bytearray(NOTE)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(NoteInvalid):
            checkpoint.open_checkpoint(bytes(changed), KEY)


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused_by_name(raw: bytes) -> None:
    with pytest.raises(NoteInvalid):
        checkpoint.open_checkpoint(raw, KEY)


@given(st.text(max_size=100))
def test_any_other_text_is_no_key(text: str) -> None:
    with pytest.raises(NoteInvalid):
        checkpoint.parse_vkey(text)


@pytest.mark.parametrize(
    "text",
    [
        *("o\n3\n", "o\n-1\nAAAA\n", "o\n03\n{r}\n", "o\n٣\n{r}\n", "o\n3\nAAAA\n"),
        *("o\n3\n{r}\n\n", "\n3\n{r}\n", "o\n3\n{r}", "o\n" + "9" * 30 + "\n{r}\n"),
    ],
)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteInvalid):
        checkpoint.parse_checkpoint(text.format(r=base64.b64encode(bytes(32)).decode()))


def test_a_checkpoint_may_carry_lines_that_we_do_not_know() -> None:
    told = Checkpoint("o", 1, bytes(32), ("more",))
    assert checkpoint.parse_checkpoint(told.text) == told


def test_a_checkpoint_of_another_origin_is_refused() -> None:
    note = SIGNER.sign(Checkpoint("elsewhere", 3, bytes(32)).text)
    with pytest.raises(NoteInvalid, match="another origin"):
        checkpoint.open_checkpoint(note.encode(), KEY)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\tb", "a\u00a0b", "a\n"])
def test_a_name_that_a_note_cannot_carry_is_refused(name: str) -> None:
    with pytest.raises(NoteInvalid):
        NoteSigner(name, bytes(32))
