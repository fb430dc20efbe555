"""A dataset of one year for research: a row a person, of which each is like at least ten others.

Purely. In the shape of the dataset of the Counter Trafficking Data Collaborative, or of HTCDS
2.0 (IOM, CC BY 4.0; it endorses neither Pashe nor this use). Both are made of the same few facts of
a person, hidden together: who has both files has no more than one. Trafficking and exploitation
only; what was reported stays *possible*. No place, no month, no channel: not even the district.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from services.audit.figures.hiding import DATASET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from services.audit.figures.person import Person

KINDS: Final = {
    "child_trafficking": None,
    "adult_trafficking": None,
    "child_sexual_exploitation": "SexualExploitation",
    "online_sexual_exploitation": "SexualExploitation",
    "child_labour": "ChildLabour",
    "hazardous_child_labour": "ChildLabour",
    "forced_labour": "ForcedLabour",
    "forced_begging": "ForcedBegging",
    "child_marriage": "ForcedMarriage",
    "organ_removal": "OrganRemoval",
}
"""Which concerns make a person part of the dataset, each as HTCDS' `vic_TypeOfExploitation`."""

_CTDC_SEX: Final = {
    "female": "Woman",
    "male": "Man",
    "hijra": "Trans/Transgender/NonConforming",
}
_HTCDS_SEX: Final = {"female": "Feminine", "male": "Masculine", "hijra": "NonConforming"}
_AGES: Final = (
    *((0, "0--8"), (9, "09--17"), (18, "18--20"), (21, "21--23"), (24, "24--26")),
    *((27, "27--29"), (30, "30--38"), (39, "39--47"), (48, "48+")),
)

CTDC: Final = (
    *("yearOfRegistration", "gender", "ageBroad", "citizenship", "CountryOfExploitation"),
    *("traffickMonths", "meansDebtBondageEarnings", "meansThreats", "meansAbusePsyPhySex"),
    *("meansFalsePromises", "meansDrugsAlcohol", "meansDenyBasicNeeds"),
    *("meansExcessiveWorkHours", "meansWithholdDocs", "isForcedLabour", "isSexualExploit"),
    *("isOtherExploit", "typeOfLabourAgriculture", "typeOfLabourConstruction"),
    *("typeOfLabourDomesticWork", "typeOfLabourHospitality", "typeOfSexProstitution"),
    *("typeOfSexPornography", "recruiterRelationIntimatePartner", "recruiterRelationFriend"),
    *("recruiterRelationFamily", "recruiterRelationOther"),
)
"""Columns in their order; what Pashe does not ask is blank."""

HTCDS: Final = ("prs_Gender", "vic_TraffickingStatus", "vic_TypeOfExploitation")


class TooFew(Exception):  # noqa: N818  (a state of the year, not a fault)
    """There are fewer persons than a single group must have: nothing can be given out."""


@dataclass(frozen=True, slots=True, order=True)
class Record:
    """What a row tells of a person; an empty text is unknown, or hidden."""

    sex: str = ""
    age: str = ""
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows as groups of equal ones, and what the report on its risk says."""

    groups: dict[Record, int]
    report: dict[str, Any]


def record_of(person: Person) -> Record | None:
    """Return what a row tells of a person; None: it is no matter of trafficking, or not counted."""
    found = [KINDS[concern] for concern in person.concerns if concern in KINDS]
    if not person.counts or not found:
        return None
    sex = person.sex if person.sex in _CTDC_SEX else ""
    return Record(sex, _age(person.age), tuple(sorted({kind for kind in found if kind})))


def _age(age: int | None) -> str:
    if age is None:
        return ""
    return next(name for first, name in reversed(_AGES) if age >= first or first == 0)


_HIDE: Final[Sequence[Callable[[Record], Record]]] = (
    lambda record: replace(record, age=""),
    lambda record: replace(record, age="", sex=""),
    lambda _: Record(),
)
"""What is hidden of a person in a small group, one after the other."""


def protect(records: Iterable[Record], least: int = DATASET) -> Dataset:
    """Hide values until every group has `least` persons, and every value hides none or `least`.

    The second is for whoever knows how many there are of a value from another table: the
    difference is a group too.

    Raises:
        TooFew: not even all persons together are enough.

    """
    source = Counter(records)
    total = source.total()
    if total < least:
        raise TooFew
    whole = {record: Counter({record: n}) for record, n in source.items()}
    for hide in _HIDE:
        moved: dict[Record, Counter[Record]] = {}
        for record, members in whole.items():
            small = members.total() < least
            moved.setdefault(hide(record) if small else record, Counter()).update(members)
        whole = moved
    while (group := _next(source, whole, least)) is not None:
        whole.setdefault(Record(), Counter()).update(whole.pop(group))
    groups = {record: members.total() for record, members in sorted(whole.items())}
    return Dataset(groups, _report(source, whole, least))


def _next(
    source: Counter[Record], whole: dict[Record, Counter[Record]], least: int
) -> Record | None:
    """Return the group that must be hidden next, the smallest that helps; None: none must."""
    others = sorted((members.total(), record) for record, members in whole.items())
    if 0 < whole.get(Record(), Counter()).total() < least:
        return next(record for _, record in others if record != Record())
    for read in (_sex, _age_of, _kinds):
        before, after = _values(source, read), Counter[str]()
        for record, members in whole.items():
            for value in read(record):
                after[value] += members.total()
        for value, n in before.items():
            if after[value] and 0 < n - after[value] < least:
                return next(record for _, record in others if value in read(record))
    return None


def _sex(record: Record) -> tuple[str, ...]:
    return (record.sex,) if record.sex else ()


def _age_of(record: Record) -> tuple[str, ...]:
    return (record.age,) if record.age else ()


def _kinds(record: Record) -> tuple[str, ...]:
    return record.kinds


def _values(source: Counter[Record], read: Callable[[Record], tuple[str, ...]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for record, n in source.items():
        found.update(dict.fromkeys(read(record), n))
    return found


def _report(
    source: Counter[Record], whole: dict[Record, Counter[Record]], least: int
) -> dict[str, Any]:
    """Say how safe the dataset is, and what that cost."""
    total = source.total()
    sizes = [members.total() for members in whole.values()]
    changed = sum(
        n for record, members in whole.items() for real, n in members.items() if real != record
    )
    bare = whole.get(Record(), Counter())
    emptied = sum(n for real, n in bare.items() if real != Record())
    unique = sum(n for n in source.values() if n == 1)
    small = sum(n for n in source.values() if n < least)
    return {
        "persons": total,
        "k": min(sizes),
        "k_required": least,
        "groups": len(sizes),
        "highest_risk": round(1 / min(sizes), 4),
        "average_risk": round(len(sizes) / total, 4),
        "share_with_hidden_values": round(changed / total, 4),
        "share_wholly_hidden": round(emptied / total, 4),
        "before": {
            "unique": unique,
            "in_groups_below_k": small,
            "share_in_groups_below_k": round(small / total, 4),
        },
    }


def ctdc_rows(dataset: Dataset, year: int) -> list[list[str]]:
    """Return the rows in CTDC's columns."""
    return [_ctdc(record, year) for record, n in dataset.groups.items() for _ in range(n)]


def _ctdc(record: Record, year: int) -> list[str]:
    kinds = set(record.kinds)
    told = {
        "yearOfRegistration": str(year),
        "gender": _CTDC_SEX.get(record.sex, ""),
        "ageBroad": record.age,
        "isForcedLabour": "1" if "ForcedLabour" in kinds else "",
        "isSexualExploit": "1" if "SexualExploitation" in kinds else "",
        "isOtherExploit": "1" if kinds - {"ForcedLabour", "SexualExploitation"} else "",
    }
    return [told.get(column, "") for column in CTDC]


def htcds_rows(dataset: Dataset) -> list[list[str]]:
    """Return the rows in HTCDS' fields; its several-choice field is divided by `;`, as ours is."""
    return [
        [_HTCDS_SEX.get(record.sex, ""), "PossibleVictimOfTrafficking", ";".join(record.kinds)]
        for record, n in dataset.groups.items()
        for _ in range(n)
    ]
