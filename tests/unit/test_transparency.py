"""The tests' own proof checker accepts a published vector and refuses everything near it."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature

from tests.support.transparency import ProofError, open_checkpoint, root_from

VKEY = "log.example.org/referrals+68c53c5e+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
NOTE = (
    "log.example.org/referrals\n3\n34lolseZUx8f0eVWzqJqaYmrBoU7y/3T5PUJemEfZY8=\n\n"
    "\u2014 log.example.org/referrals aMU8Xsf2oIzeXRo9BEL1xDHeG/7OoJ87GtGfc4IZQ6IXPOo1I1QJkIRB"
    "+Xkm9svzp0H9RB5EfaDMHGRrNyntRo0d9AU=\n"
)
ROOT3 = bytes.fromhex("df896896c799531f1fd1e556cea26a6989ab06853bcbfdd3e4f5097a611f658f")
LEAVES = [hashlib.sha256(b"\x00" + bytes([n]) * 32).digest() for n in (1, 2, 3)]


def tree(leaves: list[bytes]) -> bytes:
    """Hash a tree from its definition (RFC 9162 2.1.1)."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree(leaves[:split]) + tree(leaves[split:])).digest()


def path(index: int, leaves: list[bytes]) -> list[bytes]:
    """Make a proof from its definition (RFC 9162 2.1.3.1)."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*path(index, leaves[:split]), tree(leaves[split:])]
    return [*path(index - split, leaves[split:]), tree(leaves[:split])]


def test_the_published_vector_holds() -> None:
    found = open_checkpoint(NOTE, VKEY)
    assert (found.origin, found.size, found.root) == ("log.example.org/referrals", 3, ROOT3)
    assert tree(LEAVES) == ROOT3


def test_every_leaf_of_every_small_tree_leads_to_its_root() -> None:
    for size in range(1, 20):
        leaves = [hashlib.sha256(bytes([n])).digest() for n in range(size)]
        for index in range(size):
            proof = path(index, leaves)
            assert root_from(index, size, leaves[index], proof) == tree(leaves)
            with pytest.raises(ProofError):
                root_from(index, size, leaves[index], [*proof, leaves[0]])
            if proof:
                with pytest.raises(ProofError):
                    root_from(index, size, leaves[index], proof[:-1])


def test_a_changed_note_does_not_open() -> None:
    with pytest.raises(InvalidSignature):
        open_checkpoint(NOTE.replace("\n3\n", "\n4\n"), VKEY)
    with pytest.raises(ProofError):
        open_checkpoint(NOTE, VKEY.replace("68c5", "68c6"))
    with pytest.raises(ProofError):
        open_checkpoint(NOTE.replace("\u2014 log", "\u2014 cog"), VKEY)
