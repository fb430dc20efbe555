"""The tree and tiles of the log, against the RFC's own recursive words and a known-answer vector.

`tests/data/tlog_vector.json` is a known-answer vector for a C2SP transparency log of three 32-byte
entries: leaf hashes, roots, tiles, keys, a checkpoint, a witness's cosignature. It was made with
another implementation; our code has to give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.audit import merkle, tiles
from services.audit.merkle import ProofInvalid, Range, leaf_hash
from services.audit.tiles import Tile, TileInvalid

VECTOR: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "tlog_vector.json").read_text("utf-8")
)
ENTRIES = [bytes.fromhex(entry) for entry in VECTOR["entries"]]
MOST = 70


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(n.to_bytes(4, "big")) for n in range(count)]


def naive_root(hashes: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    left, right = naive_root(hashes[:k]), naive_root(hashes[k:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def naive_path(index: int, hashes: list[bytes]) -> list[bytes]:
    """RFC 9162, 2.1.3.1, word for word."""
    if len(hashes) == 1:
        return []
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if index < k:
        return [*naive_path(index, hashes[:k]), naive_root(hashes[k:])]
    return [*naive_path(index - k, hashes[k:]), naive_root(hashes[:k])]


def naive_subproof(old: int, hashes: list[bytes], *, whole: bool) -> list[bytes]:
    """RFC 9162, 2.1.4.1, word for word."""
    if old == len(hashes):
        return [] if whole else [naive_root(hashes)]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if old <= k:
        return [*naive_subproof(old, hashes[:k], whole=whole), naive_root(hashes[k:])]
    return [*naive_subproof(old - k, hashes[k:], whole=False), naive_root(hashes[:k])]


class Stored:
    """A tree as the log stores it: leaves, and perfect subtrees as `extend` gave them."""

    def __init__(self, hashes: list[bytes], cuts: list[int] | None = None) -> None:
        self.nodes = {(0, n): h for n, h in enumerate(hashes)}
        self.tree = Range()
        for start, end in zip([0, *(cuts or [])], [*(cuts or []), len(hashes)], strict=True):
            self.tree, made = merkle.extend(self.tree, hashes[start:end])
            for row in made:
                for index, found in enumerate(row.hashes, row.first):
                    assert (row.level, index) not in self.nodes
                    self.nodes[row.level, index] = found

    def inclusion(self, index: int, size: int) -> list[bytes]:
        return merkle.prove(merkle.inclusion_spans(index, size), self.nodes.__getitem__)

    def consistency(self, old: int, new: int) -> list[bytes]:
        return merkle.prove(merkle.consistency_spans(old, new), self.nodes.__getitem__)


def test_the_vector_gives_the_same_leaves_roots_and_tiles() -> None:
    hashes = [leaf_hash(entry) for entry in ENTRIES]
    assert [h.hex() for h in hashes] == VECTOR["leaf"]
    assert merkle.extend(Range(), hashes[:2])[0].root.hex() == VECTOR["root2"]
    assert merkle.extend(Range(), hashes)[0].root.hex() == VECTOR["root3"]
    assert tiles.encode_bundle(ENTRIES).hex() == VECTOR["entry_bundle"]
    assert tiles.encode_hashes(hashes).hex() == VECTOR["tile0"]
    assert tiles.decode_bundle(bytes.fromhex(VECTOR["entry_bundle"]), 3) == ENTRIES
    assert tiles.decode_hashes(bytes.fromhex(VECTOR["tile0"]), 3) == hashes


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert Range().root == hashlib.sha256(b"").digest()
    assert merkle.extend(Range(), []) == (Range(), [])


@given(st.integers(0, 300), st.lists(st.integers(0, 300), max_size=5))
@settings(max_examples=100, deadline=None)
def test_roots_are_the_same_however_the_leaves_were_batched(size: int, cuts: list[int]) -> None:
    hashes = leaves(size)
    stored = Stored(hashes, sorted(min(cut, size) for cut in cuts))
    assert stored.tree.root == naive_root(hashes)
    assert stored.tree.hashes == tuple(stored.nodes[p] for p in merkle.cover((0, size)))
    perfect = {(lv, n) for lv in range(1, 10) for n in range(size >> lv)}
    assert {place for place in stored.nodes if place[0]} == perfect


KNOWN_ENTRIES = (
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)
KNOWN_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""The known-answer vectors of Certificate Transparency (RFC 6962) for trees of one to eight."""


def test_the_known_answers_of_certificate_transparency() -> None:
    hashes = [leaf_hash(bytes.fromhex(entry)) for entry in KNOWN_ENTRIES]
    for size, root in enumerate(KNOWN_ROOTS, 1):
        assert merkle.extend(Range(), hashes[:size])[0].root.hex() == root


LARGE = Stored(leaves(4097))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_proof_between_any_sizes_to_4097_holds_and_no_other_leaf(data: st.DataObject) -> None:
    new = data.draw(st.one_of(st.integers(0, 4097), st.sampled_from((255, 256, 257, 4096, 4097))))
    old = data.draw(st.integers(0, new))
    roots = [
        Range(size, tuple(LARGE.nodes[p] for p in merkle.cover((0, size)))).root
        for size in (old, new)
    ]
    merkle.check_consistency(old, new, roots[0], roots[1], LARGE.consistency(old, new))
    if new:
        index = data.draw(st.integers(0, new - 1))
        leaf, proof = LARGE.nodes[0, index], LARGE.inclusion(index, new)
        merkle.check_inclusion(index, new, leaf, proof, roots[1])
        with pytest.raises(ProofInvalid):
            merkle.check_inclusion(index, new, leaf_hash(leaf), proof, roots[1])


def test_every_inclusion_proof_up_to_seventy_is_the_rfcs_and_verifies() -> None:
    hashes = leaves(MOST)
    stored = Stored(hashes)
    for size in range(1, MOST + 1):
        root = naive_root(hashes[:size])
        for index in range(size):
            proof = stored.inclusion(index, size)
            assert proof == naive_path(index, hashes[:size])
            merkle.check_inclusion(index, size, hashes[index], proof, root)


def test_every_consistency_proof_up_to_seventy_is_the_rfcs_and_verifies() -> None:
    hashes = leaves(MOST)
    stored = Stored(hashes)
    roots = [naive_root(hashes[:size]) for size in range(MOST + 1)]
    for new in range(MOST + 1):
        for old in range(new + 1):
            proof = stored.consistency(old, new)
            if old not in (0, new):
                assert proof == naive_subproof(old, hashes[:new], whole=True)
            merkle.check_consistency(old, new, roots[old], roots[new], proof)


@st.composite
def _tampered(draw: st.DrawFn) -> tuple[int, int, bytes, list[bytes], bytes]:
    size = draw(st.integers(1, 200))
    index = draw(st.integers(0, size - 1))
    hashes = leaves(size)
    proof, root = Stored(hashes).inclusion(index, size), naive_root(hashes)
    leaf, bit = hashes[index], draw(st.integers(0, 255))
    kind = draw(st.sampled_from(["leaf", "root", "step", "longer", "shorter", "index", "swap"]))
    at = draw(st.integers(0, max(len(proof) - 1, 0)))
    if kind == "leaf":
        leaf = flip(leaf, bit)
    elif kind == "root":
        root = flip(root, bit)
    elif kind == "longer":
        proof.insert(at, hashes[0])
    elif kind == "index":
        index = size + draw(st.integers(0, 5))
    elif proof and kind == "step":
        proof[at] = flip(proof[at], bit)
    elif proof and kind == "shorter":
        del proof[at]
    elif len(proof) > 1:
        proof[at], proof[at - 1] = proof[at - 1], proof[at]
    else:
        leaf = flip(leaf, bit)
    return index, size, leaf, proof, root


def flip(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(_tampered())
@settings(max_examples=400, deadline=None)
def test_a_tampered_inclusion_proof_fails(case: tuple[int, int, bytes, list[bytes], bytes]) -> None:
    with pytest.raises(ProofInvalid):
        merkle.check_inclusion(*case)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 255), st.data())
@settings(max_examples=300, deadline=None)
def test_a_tampered_consistency_proof_fails(a: int, b: int, bit: int, data: st.DataObject) -> None:
    old, new = min(a, b), max(a, b)
    hashes = leaves(new)
    proof = Stored(hashes).consistency(old, new)
    old_root, new_root = naive_root(hashes[:old]), naive_root(hashes)
    at = data.draw(st.integers(-2, len(proof) - 1))
    if at == -2:
        old_root = flip(old_root, bit)
    elif at == -1:
        new_root = flip(new_root, bit)
    else:
        proof[at] = flip(proof[at], bit)
    with pytest.raises(ProofInvalid):
        merkle.check_consistency(old, new, old_root, new_root, proof)


def test_a_smaller_later_tree_is_no_continuation() -> None:
    with pytest.raises(ProofInvalid):
        merkle.check_consistency(3, 2, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, [])
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_spans(3, 3)
    with pytest.raises(ValueError, match="no proof"):
        merkle.consistency_spans(4, 3)


@pytest.mark.parametrize(
    ("index", "path"),
    [
        (5, "0/005"),
        (999, "0/999"),
        (1000, "0/x001/000"),
        (1234, "0/x001/234"),
        (1234067, "0/x001/x234/067"),
    ],
)
def test_paths_are_those_of_the_specification(index: int, path: str) -> None:
    assert Tile(0, index).path == path
    assert tiles.parse_path(path) == Tile(0, index)


def test_a_log_of_seventy_thousand_has_the_tiles_of_the_specification() -> None:
    paths = [tile.path for tile in tiles.hash_tiles_of(70_000)]
    assert paths[272:] == ["0/272", "0/273.p/112", "1/000", "1/001.p/17", "2/000.p/1"]
    assert tiles.bundles_of(70_000)[-1].path == "entries/273.p/112"
    assert tiles.bundles_of(512)[-1].path == "entries/001"
    assert tiles.bundles_of(0) == tiles.hash_tiles_of(0) == []
    assert Tile(None, 0, 3).path == "entries/000.p/3"


@given(st.integers(0, 10**9), st.integers(1, 256), st.one_of(st.none(), st.integers(0, 7)))
def test_every_path_reads_back(index: int, width: int, level: int | None) -> None:
    tile = Tile(level, index, width)
    assert tiles.parse_path(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        *("", "0", "0/5", "0/0005", "0/x000/005", "64/000", "00/000", "0/000.p/0", "0/000.p/256"),
        *("0/000.p/03", "entries/1000", "entries/x1/000", "../000", "0/000/", "-1/000", "0/٠٠٠"),
    ],
)
def test_another_path_is_no_tile(path: str) -> None:
    with pytest.raises(TileInvalid):
        tiles.parse_path(path)


def test_a_tile_is_there_once_the_log_fills_it() -> None:
    assert Tile(0, 0, 3).within(3)
    assert not Tile(0, 0, 4).within(3)
    assert not Tile(0, 0).within(255)
    assert Tile(1, 0, 1).within(256)
    assert not Tile(1, 0, 1).within(255)
    assert Tile(None, 1, 1).within(257)


@given(st.lists(st.binary(max_size=40), max_size=256))
def test_bundles_read_back_and_a_cut_one_does_not(entries: list[bytes]) -> None:
    raw = tiles.encode_bundle(entries)
    assert tiles.decode_bundle(raw, len(entries)) == entries
    with pytest.raises(TileInvalid):
        tiles.decode_bundle(raw, len(entries) + 1)
    if raw:
        with pytest.raises(TileInvalid):
            tiles.decode_bundle(raw[:-1], len(entries))


def test_too_long_an_entry_and_a_wrong_hash_tile_are_refused() -> None:
    with pytest.raises(TileInvalid):
        tiles.encode_bundle([bytes(65_536)])
    with pytest.raises(TileInvalid):
        tiles.decode_hashes(bytes(33), 1)
