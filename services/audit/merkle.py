"""The hash tree of RFC 9162, section 2.1, as pure functions over SHA-256.

A subtree is named by the half-open range of its leaves. A *perfect* subtree has 2^level leaves and
starts at a multiple of that; its place is `(level, index)` and its hash never changes, so it can be
stored once. Every root and proof is put together from a few perfect subtrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HASH_SIZE: Final = 32
"""Bytes of every hash."""

EMPTY_ROOT: Final = sha256(b"").digest()
"""Root of the tree without leaves."""

Place = tuple[int, int]
"""A perfect subtree: its level (0 = leaf) and its index among those of that level."""

Span = tuple[int, int]
"""A subtree: its first leaf, and the first leaf behind it."""


class ProofInvalid(Exception):  # noqa: N818  (it says what is wrong with the proof)
    """A proof does not lead where it should: do not believe what it was given for."""


@dataclass(frozen=True, slots=True)
class Row:
    """Perfect subtrees of one level, side by side from index `first` on, with their hashes."""

    level: int
    first: int
    hashes: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Range:
    """The compact form of a tree: its size, and the hashes of its perfect subtrees, left first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        return join(self.hashes) if self.hashes else EMPTY_ROOT


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a leaf: SHA-256(0x00 ‖ entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


def join(hashes: Sequence[bytes]) -> bytes:
    """Join perfect subtrees that stand beside one another, left first, into one hash."""
    found = hashes[-1]
    for left in hashes[-2::-1]:
        found = node_hash(left, found)
    return found


def extend(tree: Range, leaves: Sequence[bytes]) -> tuple[Range, list[Row]]:
    """Append leaf hashes; return the new tree and each perfect subtree of level 1 up that is new.

    Level by level, so that 2,000 leaves cost 2,000 hashes and hardly more.
    """
    whole = cover((0, tree.size))
    pending = {level: h for (level, _), h in zip(whole, tree.hashes, strict=True)}
    made: list[Row] = []
    kept: list[bytes] = []
    row, first, level = list(leaves), tree.size, 0
    while row or pending:
        left = pending.pop(level, None)
        if left is not None:
            row = [left, *row]
            first -= 1
        if len(row) % 2:
            kept.append(row[-1])
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        first //= 2
        level += 1
        if row:
            made.append(Row(level, first, row))
    return Range(tree.size + len(leaves), tuple(reversed(kept))), made


def cover(span: Span) -> list[Place]:
    """Return the perfect subtrees, left first, of a subtree that stands in some tree.

    `span` starts at a multiple of the smallest power of two that is not below its length.
    """
    first, end = span
    places = []
    while first < end:
        level = (end - first).bit_length() - 1
        places.append((level, first >> level))
        first += 1 << level
    return places


def _split(size: int) -> int:
    """Return the largest power of two below `size` (which is at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)


def span_of(place: Place, size: int) -> Span:
    """Return the leaves of a subtree; the last of its level ends where the tree does."""
    level, index = place
    return index << level, min((index + 1) << level, size)


def top_of(size: int) -> Place:
    """Return the whole of a tree that has leaves, as a subtree."""
    return (size - 1).bit_length(), 0


def inclusion_path(index: int, size: int) -> list[Place]:
    """Return the subtrees of an inclusion proof, lowest first (RFC 9162, 2.1.3.1).

    The last of its level need not be perfect: see `span_of`.

    Raises:
        ValueError: there is no such leaf in a tree of this size.

    """
    if not 0 <= index < size:
        message = f"no leaf {index} in a tree of {size}"
        raise ValueError(message)
    places, last, level = [], size - 1, 0
    while last:
        beside = index ^ 1
        if beside <= last:
            places.append((level, beside))
        index, last, level = index >> 1, last >> 1, level + 1
    return places


def inclusion_spans(index: int, size: int) -> list[Span]:
    """Return the same subtrees as `inclusion_path`, each by its leaves."""
    return [span_of(place, size) for place in inclusion_path(index, size)]


def consistency_spans(old: int, new: int) -> list[Span]:
    """Return the subtrees of a consistency proof, lowest first (RFC 9162, 2.1.4.1).

    Raises:
        ValueError: not 0 ≤ old ≤ new.

    """
    if not 0 <= old <= new:
        message = f"no proof from size {old} to size {new}"
        raise ValueError(message)
    if old in (0, new):
        return []
    first, end, whole = 0, new, True
    spans: list[Span] = []
    while old != end:
        middle = first + _split(end - first)
        if old <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((first, middle))
            first = middle
            whole = False
    if not whole:
        spans.append((first, end))
    return spans[::-1]


def prove(spans: Iterable[Span], read: Callable[[Place], bytes]) -> list[bytes]:
    """Return the hashes of subtrees; `read` gives the hash of a perfect one."""
    return [join([read(place) for place in cover(span)]) for span in spans]


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to (RFC 9162, 2.1.3.2).

    Raises:
        ProofInvalid: it has too few or too many hashes, or there is no such leaf.

    """
    if not 0 <= index < size:
        raise ProofInvalid("the leaf lies outside of the tree")
    own, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise ProofInvalid("the proof is too long")
        if own & 1 or own == last:
            found = node_hash(step, found)
            while own and not own & 1:
                own >>= 1
                last >>= 1
        else:
            found = node_hash(found, step)
        own >>= 1
        last >>= 1
    if last:
        raise ProofInvalid("the proof is too short")
    return found


def check_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that the leaf stands at this index of the tree with this size and root.

    Raises:
        ProofInvalid: it does not.

    """
    if root_from_inclusion(index, size, leaf, proof) != root:
        raise ProofInvalid("the proof leads to another root")


def check_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of size `new` begins with the tree of size `old` (RFC 9162, 2.1.4.2).

    Raises:
        ProofInvalid: it does not, or the proof is not one.

    """
    if not 0 <= old <= new:
        raise ProofInvalid("the later tree is smaller")
    if old in (0, new):
        if proof or (old == 0 and old_root != EMPTY_ROOT) or (old == new and old_root != new_root):
            raise ProofInvalid("two trees of one size differ")
        return
    steps = list(proof) if old & (old - 1) else [old_root, *proof]
    if not steps or _two_roots(old, new, steps) != (old_root, new_root):
        raise ProofInvalid("the later tree does not begin with the earlier one")


def _two_roots(old: int, new: int, steps: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the roots of both trees that the steps of a consistency proof lead to."""
    own, last = old - 1, new - 1
    while own & 1:
        own, last = own >> 1, last >> 1
    before = after = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise ProofInvalid("the proof is too long")
        if own & 1 or own == last:
            before, after = node_hash(step, before), node_hash(step, after)
            while own and not own & 1:
                own >>= 1
                last >>= 1
        else:
            after = node_hash(after, step)
        own >>= 1
        last >>= 1
    if last:
        raise ProofInvalid("the proof is too short")
    return before, after
