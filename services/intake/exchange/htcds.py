"""Rows of the Human Trafficking Case Data Standard 2.0 (IOM, CC BY 4.0; see LICENCE.md).

A several-choice field divides its values with `;` or `|` (the standard names no sign). Gender is
expression: `Feminine` and `Masculine` are taken as the recorded sex, the others as unknown.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from services.intake.exchange.rows import CHILD_BELOW, Refused, Row, age_on, trafficking
from services.intake.exchange.tables import unshield
from shared.vocabulary import Concern, Sex

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

FIELDS: Final = Path(__file__).with_name("htcds_fields.csv")
_SEXES: Final = {"Feminine": Sex.FEMALE.value, "Masculine": Sex.MALE.value}
_YES: Final = frozenset({"true", "yes", "1"})
_NO: Final = frozenset({"false", "no", "0"})
_TAKEN: Final = frozenset(
    {"prs_FirstName", "prs_MiddleName", "prs_SecondName", "prs_Birthdate", "prs_Gender"}
    | {"prs_MobilePhone", "prs_HomePhone", "prs_PrimaryLanguage", "prs_SecondaryLanguage"}
    | {"prs_MailingStreet", "prs_MailingCity", "prs_MailingState", "prs_MailingCountry"}
    | {"vic_TraffickingStatus", "vic_TypeOfExploitation", "vic_TypeOfSexExploitation"}
    | {"hte_Street", "hte_City", "hte_State", "hte_Country", "hte_Date", "hte_Description"}
    | {"con_Consent"}
)
"""Fields that become part of the report; the others stay in the original."""


@cache
def fields() -> Mapping[str, Mapping[str, str]]:
    """Return the codes of every field by name: each code and each label, as its code."""
    with FIELDS.open(encoding="utf-8", newline="") as file:
        return {
            row["field"]: dict(
                zip(
                    (row["values"] + "|" + row["labels"]).split("|"),
                    (row["values"] + "|" + row["values"]).split("|"),
                    strict=True,
                )
            )
            if row["values"]
            else {}
            for row in csv.DictReader(file)
        }


class Header:
    """The first line of a file: which column is which field; None for one that is none."""

    def __init__(self, cells: Sequence[str]) -> None:
        """Take the cells.

        Raises:
            Refused: `no-header` when no column is a field, `double-column` when one is twice.

        """
        known = {name.casefold(): name for name in fields()}
        self.columns = [known.get(cell.strip().casefold()) for cell in cells]
        named = [name for name in self.columns if name is not None]
        if not named:
            raise Refused("no-header")
        if len(set(named)) < len(named):
            raise Refused("double-column")

    @property
    def unknown(self) -> list[int]:
        """The numbers of columns that are no field, from 1: their names may be anything."""
        return [n for n, name in enumerate(self.columns, 1) if name is None]

    @property
    def kept_only(self) -> list[str]:
        """Fields that no part of a report is made of; they are kept with the original."""
        return [name for name in self.columns if name is not None and name not in _TAKEN]

    def read(self, line: int, cells: Sequence[str], today: date) -> Row:
        """Read one row.

        Raises:
            Refused: `cells` when it has not as many as the header, `empty`, or `not-text`.

        """
        if len(cells) != len(self.columns):
            raise Refused("cells")
        if not any(cell.strip() for cell in cells):
            raise Refused("empty")
        if any("\0" in cell for cell in cells):
            raise Refused("not-text")
        named = zip(self.columns, cells, strict=True)
        told = {name: unshield(c.strip()) for name, c in named if name is not None and c.strip()}
        whole = [[name or f"column {n}", cells[n - 1]] for n, name in enumerate(self.columns, 1)]
        row = Row(line, whole)
        _read(row, told, today)
        return row


def read_object(line: int, value: Any, today: date) -> tuple[Row, Header]:  # noqa: ANN401
    """Read one JSON object whose members are fields; a list is several codes of a field.

    Raises:
        Refused: `no-row` when it is no object with texts; others as `Header` and `Header.read`.

    """
    if not isinstance(value, dict) or not value:
        raise Refused("no-row")
    cells = [_cell(one) for one in value.values()]
    header = Header(list(value))
    row = header.read(line, cells, today)
    row.original = value
    for number in header.unknown:
        row.note(f"column {number}", "unknown-field")
    return row, header


def _cell(value: Any) -> str:  # noqa: ANN401  (any JSON value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ";".join(_cell(one) for one in value)
    if value is None or isinstance(value, str | int | float):
        return "" if value is None else str(value)
    raise Refused("no-row")


def _read(row: Row, told: Mapping[str, str], today: date) -> None:
    born = row.day("prs_Birthdate", told.get("prs_Birthdate"))
    age = age_on(born, today) if born is not None else None
    if born is not None and age is None:
        row.note("prs_Birthdate", "bad-date")
    parts = (told.get(f"prs_{name}Name", "") for name in ("First", "Middle", "Second"))
    name = " ".join(part for part in parts if part)
    person: dict[str, Any] = {
        "ref": "a",
        "name": row.text("prs_FirstName", name),
        "phone": row.text("prs_MobilePhone", told.get("prs_MobilePhone"))
        or row.text("prs_HomePhone", told.get("prs_HomePhone")),
        "age": None if age is None else {"min": age, "max": age, "basis": "stated"},
        "languages": _languages(row, told),
    }
    genders = _codes(row, told, "prs_Gender")
    if sexes := row.chosen("prs_Gender", genders, {**dict.fromkeys(genders), **_SEXES}):
        person["sex"] = sexes[0]
    row.body |= {"about": "people", "persons": [person], "concerns": _concerns(row, told, age)}
    row.body["reporter"] = {"kind": "partner_worker"}
    row.body["places"] = _places(row, told)
    day = row.day("hte_Date", told.get("hte_Date"))
    if day is not None:
        row.body["happened"] = {"from": f"{day}T00:00:00Z", "precision": "day"}
    row.body["narrative"] = told.get("hte_Description") or None
    _consent(row, told)


def _codes(row: Row, told: Mapping[str, str], name: str) -> list[str]:
    """Return the codes of a field's cell; a value that is in no list of the standard is noted."""
    said = [part.strip() for part in told.get(name, "").replace("|", ";").split(";")]
    lists = {value.casefold(): code for value, code in fields()[name].items()}
    found = []
    for value in filter(None, said):
        if value.casefold() in lists:
            found.append(lists[value.casefold()])
        else:
            row.note(name, "unknown-value")
    return found


def _concerns(row: Row, told: Mapping[str, str], age: int | None) -> list[str]:
    """Return what is suspected. An unknown age is treated as a child's."""
    child = age is None or age < CHILD_BELOW
    sexual = Concern.CHILD_SEXUAL_EXPLOITATION.value if child else None
    online = Concern.ONLINE_SEXUAL_EXPLOITATION.value
    words: dict[str, str | None] = {
        "ForcedLabour": Concern.FORCED_LABOUR.value,
        "ChildLabour": Concern.CHILD_LABOUR.value,
        "SexualExploitation": sexual,
        "ForcedMarriage": Concern.CHILD_MARRIAGE.value if child else None,
        "OrganRemoval": Concern.ORGAN_REMOVAL.value,
        "ForcedBegging": Concern.FORCED_BEGGING.value,
        "Other": Concern.OTHER.value,
    }
    kinds = _codes(row, told, "vic_TypeOfExploitation")
    found = row.chosen("vic_TypeOfExploitation", kinds, {**dict.fromkeys(kinds), **words})
    sex = _codes(row, told, "vic_TypeOfSexExploitation")
    remote = {**dict.fromkeys(sex), "RemoteInteractiveServices": online}
    found += row.chosen("vic_TypeOfSexExploitation", sex, remote)
    status = _codes(row, told, "vic_TraffickingStatus")
    if set(status) & {"PossibleVictimOfTrafficking", "ActualVictimOfTrafficking"}:
        found.insert(0, trafficking(age))
    if (kinds or sex) and not found:
        found.append(Concern.OTHER)
    return list(dict.fromkeys(found))


def _languages(row: Row, told: Mapping[str, str]) -> list[str]:
    found = []
    for name in ("prs_PrimaryLanguage", "prs_SecondaryLanguage"):
        said = told.get(name, "").lower()
        if said.isascii() and said.isalpha() and len(said) in (2, 3):
            found.append({"ben": "bn", "eng": "en"}.get(said, said))
        elif said:
            row.note(name, "unknown-value")
    return found


def _places(row: Row, told: Mapping[str, str]) -> list[dict[str, Any]]:
    found = []
    for begin, role in (("hte_", "event"), ("prs_Mailing", "home")):
        names = [f"{begin}{part}" for part in ("Street", "City", "State")]
        texts = [text for name in names if (text := row.text(name, told.get(name)))]
        country = row.country(f"{begin}Country", told.get(f"{begin}Country"))
        if texts or country:
            place = {"role": role, "text": ", ".join(texts) or None}
            found.append(place | ({"country": country} if country else {}))
    return found


def _consent(row: Row, told: Mapping[str, str]) -> None:
    """Take a tick for what it is: the sender says "act on this"; the person consents nowhere."""
    said = told.get("con_Consent", "").casefold()
    if said in _YES:
        row.body["consent"] = [{"person": "a", "given_by": "third_party", "allows": ["refer"]}]
    elif said and said not in _NO:
        row.note("con_Consent", "unknown-value")
