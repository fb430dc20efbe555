"""A witness cosigns what only grows, whoever asks at once; and what else it answers."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from services.audit import merkle
from services.audit.checkpoint import Checkpoint, NoteSigner, parse_checkpoint, verify_note
from services.audit.witness.policy import PolicyInvalid, parse_policy
from services.audit.witness.rules import Witness, WitnessBroken, name_of, open_witness

VECTOR: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "tlog_vector.json").read_text("utf-8")
)
ORIGIN = "log.example.org/referrals"
SIGNER = NoteSigner(ORIGIN, bytes.fromhex(VECTOR["seed"]))
AT = 1_800_000_000


class Tree:
    """A log whose checkpoints and consistency proofs can be asked at every size."""

    def __init__(self, size: int, start: int = 0, *, signer: NoteSigner = SIGNER) -> None:
        self.signer = signer
        leaves = [merkle.leaf_hash(n.to_bytes(32, "big")) for n in range(start, start + size)]
        self.found = {(0, n): leaf for n, leaf in enumerate(leaves)}
        for row in merkle.extend(merkle.Range(), leaves)[1]:
            for n, hashed in enumerate(row.hashes, row.first):
                self.found[row.level, n] = hashed

    def checkpoint(self, size: int) -> Checkpoint:
        hashes = [self.found[place] for place in merkle.cover((0, size))]
        return Checkpoint(self.signer.vkey.name, size, merkle.Range(size, tuple(hashes)).root)

    def request(self, old: int, new: int, *, proof_from: int | None = None) -> bytes:
        spans = merkle.consistency_spans(old if proof_from is None else proof_from, new)
        steps = merkle.prove(spans, self.found.__getitem__)
        lines = "".join(f"{base64.b64encode(step).decode()}\n" for step in steps)
        return f"old {old}\n{lines}\n{self.signer.sign(self.checkpoint(new).text)}".encode()


TREE = Tree(300)


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return open_witness(tmp_path, "witness.example.org/w1", [SIGNER.vkey])


def remembered(witness: Witness) -> int:
    found = witness.find(name_of(ORIGIN))
    if found is None:
        return 0
    return parse_checkpoint(verify_note(found, [witness.vkey])[0].text).size


def test_the_vector_gets_the_cosignature_that_it_says(tmp_path: Path) -> None:
    (tmp_path / "witness.key").write_text(VECTOR["witness_seed"])
    witness = open_witness(tmp_path, "witness.example.org/w1", [SIGNER.vkey])
    assert str(witness.vkey) == VECTOR["witness_vkey"]
    two = Checkpoint(ORIGIN, 2, bytes.fromhex(VECTOR["root2"]))
    first = f"old 0\n\n{SIGNER.sign(two.text)}".encode()
    assert witness.add(first, 1).status == 200
    answer = witness.add(VECTOR["add_checkpoint_request"].encode(), VECTOR["time"])
    assert (answer.status, answer.body) == (200, VECTOR["cosignature_line"])
    assert name_of(ORIGIN) == VECTOR["origin_hash"]
    shown = witness.find(VECTOR["origin_hash"])
    assert shown is not None
    assert shown.decode().endswith(VECTOR["cosignature_line"])


def test_what_grows_is_cosigned_and_the_same_size_again(witness: Witness) -> None:
    for old, new in ((0, 7), (7, 7), (7, 256), (256, 300)):
        answer = witness.add(TREE.request(old, new), AT)
        assert answer.status == 200, answer
        note = f"{TREE.checkpoint(new).text}\n{answer.body}".encode()
        assert verify_note(note, [witness.vkey])[1] == [witness.vkey]
        assert remembered(witness) == new


def test_each_refusal_has_its_status_and_changes_nothing(witness: Witness) -> None:
    other, fork = NoteSigner("other.example.org/log", bytes(32)), Tree(300, 1000)
    forger = Tree(10, signer=NoteSigner(ORIGIN, bytes(32)))
    assert witness.add(TREE.request(0, 100), AT).status == 200
    good = TREE.request(100, 200)
    refused = {
        "unknown origin": (Tree(9, signer=other).request(0, 5), 404),
        "another key": (forger.request(0, 5), 403),
        "a broken signature": (good[:-5] + b"AAA=\n", 403),
        "another text": (good.replace(b"\n200\n", b"\n201\n"), 403),
        "an old size that is larger": (TREE.request(150, 120, proof_from=120), 400),
        "an old size that is not remembered": (TREE.request(99, 200), 409),
        "a smaller tree": (TREE.request(50, 60), 409),
        "a fork": (fork.request(100, 200), 422),
        "the same size and another root": (fork.request(100, 100), 422),
        "a proof too long": (good.replace(b"old 100\n", b"old 100\n" + b"A" * 43 + b"=\n"), 422),
        "too many lines": (b"old 100\n" + (b"A" * 43 + b"=\n") * 64 + good[8:], 400),
        "no old size": (good.replace(b"old 100", b"old x"), 400),
        "a zero before": (good.replace(b"old 100", b"old 0100"), 400),
        "a hash too short": (b"old 100\nAAAA\n\n" + good.partition(b"\n\n")[2], 400),
        "nothing": (b"", 400),
        "no note": (b"old 100\n\n", 400),
    }
    for what, (request, status) in refused.items():
        answer = witness.add(request, AT)
        assert answer.status == status, (what, answer)
        assert remembered(witness) == 100, what
    told = witness.add(TREE.request(99, 200), AT)
    assert (told.body, told.media_type) == ("100\n", "text/x.tlog.size")
    assert witness.add(good, AT).status == 200


def test_a_first_checkpoint_takes_no_proof_and_an_empty_log_has_one_root(witness: Witness) -> None:
    with_proof = TREE.request(0, 5).replace(b"old 0\n", b"old 0\n" + b"A" * 43 + b"=\n")
    assert witness.add(with_proof, AT).status == 422
    wrong = SIGNER.sign(Checkpoint(ORIGIN, 0, bytes(32)).text)
    assert witness.add(f"old 0\n\n{wrong}".encode(), AT).status == 422
    right = SIGNER.sign(Checkpoint(ORIGIN, 0, merkle.EMPTY_ROOT).text)
    assert witness.add(f"old 0\n\n{right}".encode(), AT).status == 200
    assert witness.add(TREE.request(0, 5), AT).status == 200


def test_races_never_roll_it_back(tmp_path: Path) -> None:
    """Two threads bring N and N + K from the same remembered size; one wins, and it stays."""
    folder = tmp_path
    one, two = (open_witness(folder, "w.example", [SIGNER.vkey]) for _ in range(2))
    rounds, size = 300, 0
    tree = Tree(3 * rounds + 10)
    both = threading.Barrier(2)
    wins = [0, 0]

    def bring(witness: Witness, request: bytes) -> tuple[int, str]:
        both.wait()
        answer = witness.add(request, AT)
        return answer.status, answer.body

    with ThreadPoolExecutor(2) as pool:
        for _ in range(rounds):
            new = (size + 1, size + 1 + secrets.randbelow(2) + 1)
            asked = [
                pool.submit(bring, w, tree.request(size, n))
                for w, n in zip((one, two), new, strict=True)
            ]
            answers = [each.result() for each in asked]
            assert sorted(status for status, _ in answers) == [200, 409]
            winner = [status for status, _ in answers].index(200)
            wins[winner] += 1
            size = new[winner]
            assert answers[1 - winner][1] == f"{size}\n"
    assert remembered(one) == remembered(two) == size
    assert min(wins) > 0


def test_a_state_that_it_did_not_cosign_stops_it(witness: Witness, tmp_path: Path) -> None:
    assert witness.add(TREE.request(0, 5), AT).status == 200
    (tmp_path / f"{name_of(ORIGIN)}.checkpoint").write_text(SIGNER.sign(TREE.checkpoint(3).text))
    with pytest.raises(WitnessBroken, match="cosigned"):
        witness.add(TREE.request(3, 9), AT)


def test_a_lost_key_is_never_made_anew_beside_its_memory(witness: Witness, tmp_path: Path) -> None:
    assert witness.add(TREE.request(0, 5), AT).status == 200
    (tmp_path / "witness.key").unlink()
    with pytest.raises(WitnessBroken, match="put it back"):
        open_witness(tmp_path, "w", [])
    (tmp_path / "witness.key").write_text("zz")
    with pytest.raises(WitnessBroken, match="does not hold"):
        open_witness(tmp_path, "w", [])


def test_a_policy_is_read_and_a_wrong_line_is_named() -> None:
    log, witness = VECTOR["vkey"], VECTOR["witness_vkey"]
    text = f"# whom we trust\nlog {log}\n\nwitness a {witness} https://w.example.org/\nquorum a\n"
    policy = parse_policy(text)
    assert [str(key) for key in policy.logs] == [log]
    assert policy.witnesses[0].url == "https://w.example.org"
    assert policy.quorum == policy.witnesses[0]
    assert parse_policy("quorum none\n").quorum is None
    for wrong in (
        "log x",
        f"witness a {log}",
        f"witness a {witness}\nwitness a {witness}",
        "quorum b",
        "group g any a",
        f"log {log} url more",
    ):
        last = len(wrong.splitlines())
        with pytest.raises(PolicyInvalid, match=f"line {last} "):
            parse_policy(wrong)
