"""A table of text read as it arrives: encodings, quoting and lines, one record in memory at a time.

UTF-8 (with or without a mark), UTF-16 by its mark, or the encoding that the sender names: none is
guessed. Cells are text and stay as they came, whatever a spreadsheet would make of them.
"""

from __future__ import annotations

import codecs
import csv
import io
from typing import TYPE_CHECKING, Final

from shared.errors import InvalidBody

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

LONGEST_RECORD: Final = 100_000
"""Characters of one record; a quote that never ends would swallow the rest of the file."""

DELIMITERS: Final = (",", ";", "\t")
_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
ENCODINGS: Final = ("utf-8", "utf-16", "windows-1252", "latin-1")
"""What a sender may name."""


class BadEncoding(InvalidBody):
    """The file is not text in the encoding that it says; `errors` says from which byte on."""


async def text_of(chunks: AsyncIterator[bytes], encoding: str | None) -> AsyncIterator[str]:
    """Decode a file as it arrives.

    Raises:
        BadEncoding: it is not in UTF-8, nor what its mark or the sender says.

    """
    decoder: codecs.IncrementalDecoder | None = None
    begun, read = b"", 0
    async for chunk in chunks:
        part = begun + chunk
        if decoder is None:
            if len(part) < 3:  # noqa: PLR2004  (the longest mark)
                begun = part
                continue
            decoder = _decoder_of(part, encoding)
            begun = b""
        yield _decode(decoder, part, read)
        read += len(part)
    decoder = decoder or _decoder_of(begun, encoding)
    yield _decode(decoder, begun, read, final=True)


def _decoder_of(first: bytes, encoding: str | None) -> codecs.IncrementalDecoder:
    marked = next((name for mark, name in _MARKS.items() if first.startswith(mark)), None)
    return codecs.getincrementaldecoder(marked or encoding or "utf-8")()


def _decode(
    decoder: codecs.IncrementalDecoder, part: bytes, before: int, *, final: bool = False
) -> str:
    try:
        return decoder.decode(part, final)
    except UnicodeDecodeError as error:
        where = {"field": "body", "rule": "encoding", "byte": before + error.start}
        raise BadEncoding("name its encoding, or save it as UTF-8", errors=[where]) from None


async def records_of(texts: AsyncIterator[str]) -> AsyncIterator[tuple[int, str | None]]:
    """Cut text into records: lines, but for line ends inside quotes.

    Gives the number of a record's first line, from 1, and the record without its line end; None
    where a quote does not end within `LONGEST_RECORD` characters: that line alone is given up.
    """
    held: list[tuple[int, str]] = []
    size, quotes, line = 0, 0, 0
    async for piece in _lines(texts):
        waiting = [piece]
        while waiting:
            line += 1
            one = waiting.pop(0)
            held.append((line, one))
            size += len(one) + 1
            quotes += one.count('"')
            if quotes % 2 == 0 and size <= LONGEST_RECORD:
                yield held[0][0], "\n".join(text for _, text in held)
                held, size, quotes = [], 0, 0
            elif size > LONGEST_RECORD:
                yield held[0][0], None
                line = held[0][0]
                waiting = [text for _, text in held[1:]] + waiting
                held, size, quotes = [], 0, 0
    while held:  # a quote that never ended: each line by itself
        number, _ = held.pop(0)
        yield number, None
        rest, held = held, []
        for at, one in rest:
            if one.count('"') % 2 == 0:
                yield at, one
            else:
                yield at, None


async def _lines(texts: AsyncIterator[str]) -> AsyncIterator[str]:
    left = ""
    async for text in texts:
        *whole, left = (left + text).split("\n")
        for one in whole:
            yield one.removesuffix("\r")
        if len(left) > LONGEST_RECORD * 2:
            message = "a line has no end"
            raise InvalidBody(message, errors=[{"field": "body", "rule": "line-too-long"}])
    if left:
        yield left.removesuffix("\r")


def cells_of(record: str, delimiter: str) -> list[str] | None:
    """Return the cells of one record; None when its quoting is broken."""
    try:
        lines = io.StringIO(record, newline="")
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else ([] if not rows else None)


FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")
"""How a cell begins that spreadsheets run; it is written with an apostrophe before it."""

_MARK: Final = "'"


def shield(text: str) -> str:
    """Return a cell that no spreadsheet runs; `unshield` gives it back."""
    return _MARK + text if text.startswith((*FORMULA, _MARK)) else text


def unshield(text: str) -> str:
    """Return a cell as it was before `shield`."""
    marked = text.startswith(tuple(_MARK + sign for sign in (*FORMULA, _MARK)))
    return text[1:] if marked else text


def delimiter_of(record: str, known: Iterable[str]) -> str:
    """Return the delimiter by which most names of a header are known; a comma when none is."""
    names = {name.casefold() for name in known}

    def fitting(delimiter: str) -> int:
        cells = cells_of(record, delimiter) or []
        return sum(cell.strip().casefold() in names for cell in cells)

    return max(DELIMITERS, key=fitting)
