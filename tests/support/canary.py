"""A search for what must be nowhere: words planted in reports, in every way they could be written.

A sink is one place that is searched: a folder, the tables of a schema, answers. One that is empty
was not searched, and counts as a failure.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BANGLA: Final = str.maketrans("0123456789", "০১২৩৪৫৬৭৮৯")
CHUNK: Final = 2 * 1024 * 1024
"""Bytes that are searched at once; pieces overlap by more than the longest form."""

OVERLAP: Final = 4096


def forms_of(text: str) -> dict[str, bytes]:
    """Return every way in which a text is looked for, by name."""
    plain = text.encode()
    found = {
        "UTF-8": plain,
        "UTF-16 LE": text.encode("utf-16-le"),
        "UTF-16 BE": text.encode("utf-16-be"),
        "UTF-32": text.encode("utf-32-le"),
        "hex": plain.hex().encode(),
        "URL": quote(text, safe="").encode(),
        "JSON": json.dumps(text)[1:-1].encode(),
        "JSON, all escaped": "".join(f"\\u{ord(c):04x}" for c in text).encode(),
        "octal": "".join(f"\\{b:03o}" for b in plain).encode(),
        "\\x": "".join(f"\\x{b:02x}" for b in plain).encode(),
    }
    for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
        for before in range(3):
            whole = encode(b"\0" * before + plain)
            begin = (before * 8 + 5) // 6
            found[f"{name} after {before}"] = whole[begin : (before + len(plain)) * 8 // 6]
    return found


def phones(number: str) -> list[str]:
    """Return how a Bangladeshi number (`01…`) is looked for: without its first 0, in any digits."""
    core = number.removeprefix("0")
    spaced = [
        f"{core[:4]}-{core[4:]}",
        f"{core[:4]} {core[4:]}",
        f"{core[:4]} {core[4:7]} {core[7:]}",
    ]
    return [way for text in (core, *spaced) for way in (text, text.translate(BANGLA))]


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that should not be where it is: what, in which form, where."""

    what: str
    form: str
    where: str


class Searcher:
    """Looks for texts in bytes, whatever their case."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._folded: list[tuple[str, str, bytes]] = []
        self._exact: list[tuple[str, str, bytes]] = []
        for text in texts:
            seen: set[bytes] = set()
            for form, needle in forms_of(text).items():
                exact = form.startswith("base64")
                key = needle if exact else needle.lower()
                if key not in seen:
                    seen.add(key)
                    (self._exact if exact else self._folded).append((text, form, key))

    def search(self, content: bytes, where: str) -> list[Hit]:
        folded = content.lower()
        return [
            Hit(text, form, where)
            for needles, stack in ((self._exact, content), (self._folded, folded))
            for text, form, needle in needles
            if needle in stack
        ]

    def search_file(self, path: Path, where: str) -> tuple[int, list[Hit]]:
        """Return how large a file is and what is in it; one that goes away meanwhile is empty."""
        size, hits, tail = 0, set(), b""
        try:
            with path.open("rb") as file:
                while piece := file.read(CHUNK):
                    size += len(piece)
                    if piece.count(0) == len(piece):  # files that were made long beforehand
                        tail = b""
                        continue
                    hits |= {*self.search(tail + piece, where)}
                    tail = piece[-OVERLAP:]
        except FileNotFoundError:
            return 0, []
        return size, sorted(hits, key=str)


@dataclass(slots=True)
class Sink:
    """One place that was searched: of how many parts, how many bytes, and what was found."""

    name: str
    parts: int = 0
    size: int = 0
    hits: list[Hit] = field(default_factory=list)

    def add(self, searcher: Searcher, content: bytes, where: str) -> None:
        self.parts += 1
        self.size += len(content)
        self.hits += searcher.search(content, f"{self.name}: {where}")

    def add_files(self, searcher: Searcher, paths: Iterable[Path]) -> None:
        for path in paths:
            size, hits = searcher.search_file(path, f"{self.name}: {path.name}")
            self.parts += 1
            self.size += size
            self.hits += hits


def table(sinks: Iterable[Sink], notes: Iterable[str] = ()) -> str:
    """Render what was searched and found."""
    lines = [f"{'sink':<46}{'parts':>7}{'bytes':>14}{'hits':>6}"]
    lines += [f"{s.name:<46}{s.parts:>7}{s.size:>14,}{len(s.hits):>6}" for s in sinks]
    return "\n".join((*lines, *notes))


def complaints(sinks: Iterable[Sink]) -> Iterator[str]:
    """Yield what makes the search fail: something found, or a sink where nothing was looked at."""
    for sink in sinks:
        if not sink.parts or not sink.size:
            yield f"{sink.name} was not searched: it is missing or empty"
        for hit in sink.hits:
            yield f"{hit.what} as {hit.form} in {hit.where}"
