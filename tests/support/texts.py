"""The texts of all pages: which a room says, which its catalogue has.

`python -m tests.support.texts` writes every missing text into its room's `locale/bn.po`, with an
empty translation for somebody to fill in, and takes out what nobody says any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

ROOT: Final = Path(__file__).resolve().parents[2]
SHARED: Final = ROOT / "shared" / "pages"
KEYWORDS: Final = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)}

HEADER: Final = (
    b'msgid ""\nmsgstr ""\n"Language: bn\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n'
    b'"Plural-Forms: nplurals=2; plural=(n > 1);\\n"\n\n'
)
"""No dates and no names in it: two branches that add texts would differ there each time."""

Id = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Room:
    """A folder with templates and texts: a service's pages, or what all pages share."""

    folder: Path
    also: tuple[Path, ...] = ()
    """Modules elsewhere whose texts its catalogue has."""

    @property
    def file(self) -> Path:
        return self.folder / "locale" / "bn.po"

    @property
    def name(self) -> str:
        return str(self.folder.relative_to(ROOT))

    def says(self) -> dict[Id, str]:
        """Return every text of its templates and modules, and where the first one is."""
        found: dict[Id, str] = {}
        for file in (*sorted(self.folder.rglob("*")), *self.also):
            method = {".html": "jinja2.ext.babel_extract", ".py": "python"}.get(file.suffix)
            if method is None:
                continue
            options = {"trimmed": "true", "silent": "false", "extensions": "jinja2.ext.do"}
            with file.open("rb") as opened:
                told = extract(
                    method, opened, KEYWORDS, options=options if ".html" in file.name else {}
                )
                for _, message, _, _ in told:
                    found.setdefault(message, str(file.relative_to(ROOT)))
        return found

    def catalogue(self) -> Catalog:
        """Return what its `bn.po` holds; an empty one where there is no file."""
        if not self.file.is_file():
            return Catalog(locale="bn")
        with self.file.open("rb") as opened:
            return read_po(opened, locale="bn")

    def has(self) -> dict[Id, Id]:
        """Return the translations by text."""
        found: dict[Id, Id] = {}
        for message in self.catalogue():
            if message.id and not message.fuzzy:
                found[_fixed(message.id)] = _fixed(message.string or "")
        return found


def list_rooms() -> list[Room]:
    """Return what all share first, then every room of a service."""
    found = sorted({file.parent.parent for file in ROOT.glob("services/*/pages/*/templates/*")})
    figures = tuple(sorted(ROOT.glob("services/*/operations.py")))
    operations = Room(ROOT / "shared" / "operations", figures)
    return [Room(SHARED), operations, *(Room(folder) for folder in found)]


def missing(room: Room) -> set[Id]:
    """Return what a room says and neither it nor what all share translates."""
    has = {text for text, said in {**Room(SHARED).has(), **room.has()}.items() if _is_whole(said)}
    return set(room.says()) - has


def unused(room: Room) -> set[Id]:
    """Return what a room's catalogue has and nobody says, or all share already."""
    twice = set() if room.folder == SHARED else set(Room(SHARED).has())
    return set(room.has()) - (set(room.says()) - twice)


def _fixed(text: str | list[str] | tuple[str, ...]) -> Id:
    return text if isinstance(text, str) else tuple(text)


def _is_whole(said: Id) -> bool:
    return all(said) if isinstance(said, tuple) else bool(said)


def main() -> None:
    for room in list_rooms():
        catalogue, gone, new = room.catalogue(), unused(room), missing(room)
        for text in gone:
            catalogue.delete(text)
        for text in sorted(new - set(room.has()), key=str):
            catalogue.add(text)
        if gone or new or not room.file.read_bytes().startswith(HEADER):
            room.file.parent.mkdir(exist_ok=True)
            with room.file.open("wb") as opened:
                opened.write(HEADER)
                write_po(opened, catalogue, width=0, omit_header=True, ignore_obsolete=True)
        print(f"{room.name}: {len(new)} to translate, {len(gone)} taken out")


if __name__ == "__main__":
    main()
