"""Prove with pymerkle: a process of its own, run by the Python of a thrown-away environment.

`python pymerkle_peer.py FOLDER SIZE` makes a tree of so many entries of 32 bytes in a file and one
in memory; each line `file COUNT` or `memory COUNT` on standard input is answered with the
milliseconds of as many proofs, as JSON. It imports nothing of Pashe, and Pashe nothing of it.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from pathlib import Path

from pymerkle import InmemoryTree, SqliteTree  # type: ignore[import-not-found]  # by the bench only


def main() -> None:
    """Answer until standard input ends."""
    folder, size = Path(sys.argv[1]), int(sys.argv[2])
    entries = [hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(size)]
    trees = {"file": SqliteTree(str(folder / "pymerkle.db")), "memory": InmemoryTree()}
    for tree in trees.values():
        tree.append_entries(entries)
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    for line in sys.stdin:
        name, count = line.split()
        took = []
        for _ in range(int(count)):
            index = random.randrange(1, size + 1)  # it counts from one
            begun = time.perf_counter()
            trees[name].prove_inclusion(index, size)
            took.append((time.perf_counter() - begun) * 1000)
        sys.stdout.write(json.dumps({"ms": took}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
