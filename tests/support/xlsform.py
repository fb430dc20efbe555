"""The committee's form: `form.toml` to an XLSForm, and that to the XForm that phones download.

As a program it writes both beside `form.toml`. Source: xlsform.org; pyxform 4.5 makes the XForm.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import openpyxl
from openpyxl.styles import Alignment, Font
from pyxform.xls2xform import convert

from services.intake.channels.openrosa import form
from shared import places
from shared.places import Level

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE: Final = form.FOLDER / "form.toml"
WORKBOOK: Final = form.FOLDER / "report.xlsx"

_PLAIN: Final = (
    *("type", "name", "required", "relevant", "constraint", "choice_filter"),
    *("appearance", "parameters"),
)
_SAID: Final = ("label", "hint", "constraint_message")
_WIDE: Final = 44

Table = list[list[str]]


@dataclass(frozen=True, slots=True)
class Source:
    """What `form.toml` says."""

    told: dict[str, Any]

    @property
    def questions(self) -> list[dict[str, Any]]:
        """The questions in their order."""
        found: list[dict[str, Any]] = self.told["question"]
        return found

    @property
    def sheets(self) -> dict[str, Table]:
        """The three sheets of the XLSForm, heads first."""
        return {
            "survey": list(self._survey()),
            "choices": list(self._choices()),
            "settings": self._settings(),
        }

    def _survey(self) -> Iterator[list[str]]:
        languages = self.told["languages"]
        yield [*_PLAIN, *(f"{said}::{language}" for said in _SAID for language in languages)]
        nothing = [""] * len(languages)
        for one in self.questions:
            words = [text for said in _SAID for text in one.get(said, nothing)]
            yield [*(one.get(name, "") for name in _PLAIN), *words]

    def _choices(self) -> Iterator[list[str]]:
        languages = self.told["languages"]
        yield ["list_name", "name", *(f"label::{language}" for language in languages), "district"]
        for name, choices in self.told["choices"].items():
            for value, labels in choices.items():
                yield [name, value, *labels, ""]
        for place in sorted(places.all_places().values(), key=lambda one: one.name_bn):
            names = [place.name_bn, place.name_en]
            if place.level is Level.DISTRICT:
                yield ["district", place.pcode, *names, ""]
            elif place.level in (Level.UPAZILA, Level.CITY_CORPORATION, Level.THANA):
                yield ["upazila", place.pcode, *names, places.district_of(place.pcode) or ""]

    def _settings(self) -> Table:
        heads = ["form_title", "form_id", "version", "default_language"]
        told = self.told
        return [heads, [told["title"], told["id"], told["version"], told["languages"][0]]]


def read_source() -> Source:
    """Read `form.toml`."""
    return Source(tomllib.loads(SOURCE.read_text("utf-8")))


def read_workbook() -> dict[str, Table]:
    """Read the cells of `report.xlsx`, as texts."""
    book = openpyxl.load_workbook(WORKBOOK, read_only=True)
    return {
        sheet.title: [
            [str(cell or "") for cell in row] for row in sheet.iter_rows(values_only=True)
        ]
        for sheet in book
    }


def write_workbook(source: Source, path: Path) -> None:
    """Write the XLSForm."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in source.sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
        sheet.freeze_panes = "C2"
        for column in sheet.columns:
            longest = max(len(str(cell.value or "")) for cell in column)
            letter = column[0].column_letter
            sheet.column_dimensions[letter].width = min(max(longest, 8), _WIDE)
            column[0].font = Font(bold=True)
            for cell in column[1:]:
                cell.alignment = Alignment(wrap_text=True, vertical="top")
    book.save(path)


def make_xform(workbook: Path) -> str:
    """Return what pyxform makes of an XLSForm."""
    made: str = convert(workbook, validate=False).xform
    return made


if __name__ == "__main__":
    write_workbook(read_source(), WORKBOOK)
    form.FILE.write_text(make_xform(WORKBOOK), "utf-8")
