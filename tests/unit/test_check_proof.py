"""The verifier for a court: what it believes, and each change of a proof file that it sees."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.audit import check_proof, merkle
from services.audit.check_proof import Broken, CannotTell, check, read_keys
from services.audit.checkpoint import Checkpoint, Cosigner, NoteSigner
from services.intake.receipts import Receipt, sign_receipt
from shared.signing import Signer
from tests.support import print_program

LOG = NoteSigner("centre.example/pashe", b"l" * 32)
WITNESS = Cosigner("partner.example/w", b"w" * 32)
INTAKE = Signer(b"i" * 32)
KEYS = (
    f"# trusted\nlog {LOG.vkey}\nwitness partner {WITNESS.vkey}\n"
    f"service intake {INTAKE.public.hex()}\n"
)
CASE = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
MINE = (3, 4, 9, 17)


def make() -> dict[str, Any]:
    """Make the proof file of a case with four entries, the second erased, in a log of twenty."""
    events = {
        index: json.dumps(
            {
                "id": str(UUID(int=index)),
                "source": "/intake",
                "type": "case-updated",
                "subject": CASE,
                "time": "2026-07-01T12:00:00Z",
            }
        ).encode()
        for index in MINE
    }
    salts = {index: sha256(b"salt %d" % index).digest() for index in range(20)}
    data = [sha256(salts[n] + events.get(n, b"other")).digest() for n in range(20)]
    leaves = [merkle.leaf_hash(one) for one in data]

    def path(index: int) -> list[str]:
        spans = merkle.inclusion_spans(index, 20)
        return [merkle.extend(merkle.Range(), leaves[a:b])[0].root.hex() for a, b in spans]

    told = Checkpoint(LOG.vkey.name, 20, merkle.extend(merkle.Range(), leaves)[0].root)
    note = LOG.sign(told.text) + WITNESS.cosign(told.text, 1_800_000_000)
    entries: list[dict[str, Any]] = [
        {
            "index": n,
            "commitment": data[n].hex(),
            "hashes": path(n),
            "erased": False,
            "salt": salts[n].hex(),
            "event": base64.b64encode(events[n]).decode(),
            "signature": INTAKE.header(events[n]).decode(),
        }
        for n in MINE
    ]
    entries[1] |= {"erased": True, "salt": None, "event": None, "signature": None}
    return {"format": "pashe proof 1", "case": CASE, "checkpoint": note, "entries": entries}


PROOF = make()
RECEIPT = sign_receipt(
    b"i" * 32, Receipt(7), datetime(2026, 7, 1, tzinfo=UTC), "https://centre.example", UUID(int=3)
)


def test_a_proof_holds_and_says_what_and_by_whom() -> None:
    told = "\n".join(check(PROOF, read_keys(KEYS), RECEIPT))
    assert "4 entries, 1 of them erased" in told
    assert "erased; that it was here is proven" in told
    assert told.count("signed by /intake") == 3
    assert "the log centre.example/pashe" in told
    assert "the witness partner.example/w, who saw it at 2027-01-15 08:00:00 UTC" in told
    assert "its report is among these" in told


def changed(what: str) -> dict[str, Any]:  # noqa: C901, PLR0912  (a table of changes)
    proof = copy.deepcopy(PROOF)
    entries, first = proof["entries"], proof["entries"][0]
    turned = base64.b64encode(base64.b64decode(first["event"]).replace(b"12:00", b"13:00"))
    match what:
        case "an event":
            first["event"] = turned.decode()
        case "a salt":
            first["salt"] = "00" * 32
        case "a commitment":
            first["commitment"] = "00" * 32
        case "a commitment of an erased one":
            entries[1]["commitment"] = "00" * 32
        case "an index":
            first["index"] = 2
        case "an index outside":
            entries[3]["index"] = 99
        case "a hash":
            first["hashes"][1] = "00" * 32
        case "a hash less":
            first["hashes"].pop()
        case "a hash more":
            first["hashes"].append("00" * 32)
        case "the order":
            entries.reverse()
        case "an entry twice":
            entries.insert(0, first)
        case "an event with a commitment made anew":
            salt = bytes.fromhex(first["salt"])
            first["event"] = turned.decode()
            first["commitment"] = sha256(salt + base64.b64decode(turned)).hexdigest()
        case "the case":
            proof["case"] = "another"
        case "the size":
            proof["checkpoint"] = proof["checkpoint"].replace("\n20\n", "\n21\n")
        case "a signature of the log":
            proof["checkpoint"] = proof["checkpoint"].replace(
                " " + note(0)[:9], " " + note(0)[:8] + "+"
            )
        case "a signature of the witness":
            proof["checkpoint"] = proof["checkpoint"].replace(note(1)[30:40], "A" * 10)
    return proof


def note(line: int) -> str:
    return str(PROOF["checkpoint"]).rpartition("\n\n")[2].splitlines()[line].split(" ")[2]


@pytest.mark.parametrize(
    "what",
    [
        "an event",
        "a salt",
        "a commitment",
        "a commitment of an erased one",
        "an index",
        "an index outside",
        "a hash",
        "a hash less",
        "a hash more",
        "the order",
        "an entry twice",
        "an event with a commitment made anew",
        "the case",
        "the size",
        "a signature of the log",
        "a signature of the witness",
    ],
)
def test_each_change_is_seen(what: str) -> None:
    proof = changed(what)
    assert proof != PROOF
    with pytest.raises(Broken):
        check(proof, read_keys(KEYS))


def test_whoever_is_not_known_proves_nothing() -> None:
    without = "\n".join(line for line in KEYS.splitlines() if "witness" not in line)
    assert "witness" not in "\n".join(check(PROOF, read_keys(without)))
    with pytest.raises(CannotTell, match="no key of the log"):
        check(PROOF, read_keys(f"log {NoteSigner('other', bytes(32)).vkey}"))
    with pytest.raises(Broken, match="not signed by the log"):
        check(PROOF, read_keys(f"log {NoteSigner(LOG.vkey.name, bytes(32)).vkey}"))
    no_service = "\n".join(check(PROOF, read_keys(f"log {LOG.vkey}")))
    assert no_service.count("NOT PROVEN to be by") == 3
    unseen = {**PROOF, "checkpoint": PROOF["checkpoint"].rpartition("\u2014")[0]}
    with pytest.raises(CannotTell, match="has not signed"):
        check(unseen, read_keys(f"{KEYS}quorum partner\n"))


def test_a_receipt_that_is_not_by_the_centre_or_of_another_report_is_seen() -> None:
    keys = read_keys(KEYS)
    with pytest.raises(Broken, match="not signed by the centre"):
        check(PROOF, keys, RECEIPT[:-8] + "AAAAAAAA")
    other = sign_receipt(b"i" * 32, Receipt(7), datetime.now(UTC), "x", UUID(int=4))
    with pytest.raises(CannotTell, match="not in this file"):
        check(PROOF, keys, other)


@pytest.mark.parametrize(
    "wrong", ["log", "log x", "service intake zz", "bogus 1", f"witness w {LOG.vkey}"]
)
def test_keys_that_cannot_be_read_are_named(wrong: str) -> None:
    with pytest.raises(CannotTell, match="line 2 "):
        read_keys(f"\n{wrong}")


def test_it_runs_alone_and_says_how_it_ended(tmp_path: Path) -> None:
    """The file alone, with nothing of the project beside it."""
    alone = tmp_path / "check_proof.py"
    alone.write_bytes(Path(check_proof.__file__).read_bytes())
    (tmp_path / "keys").write_text(KEYS)
    (tmp_path / "proof").write_text(json.dumps(PROOF))
    (tmp_path / "changed").write_text(json.dumps(changed("an event")))
    (tmp_path / "nothing").write_text("[[")
    (tmp_path / "receipt").write_text(RECEIPT)

    def run(*words: str) -> tuple[int, str]:
        argv = [sys.executable, "-I", str(alone), "--keys", "keys", *words]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    code, said = run("proof", "--receipt", "receipt")
    assert (code, "The proof holds." in said) == (0, True), said
    code, said = run("changed")
    assert (code, said) == (1, "BROKEN: the event of entry 3 was changed.\n")
    assert run("nothing")[0] == 2
    assert run("missing")[0] == 2


def test_the_program_is_printed_as_it_is() -> None:
    assert print_program.DOCUMENT.read_text("utf-8") == print_program.printed()
