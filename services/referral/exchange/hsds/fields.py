"""One object of HSDS 3 checked field by field, purely; what is not understood is noted and kept."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from services.referral.exchange.hsds.kinds import NUMBERS
from shared.text import is_clean, normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.referral.exchange.hsds.kinds import Kind
    from services.referral.exchange.hsds.report import Report, Spot

LONGEST: Final = 20_000
"""Characters of a text."""

LARGEST: Final = 1e12

DEEPEST_VALUE: Final = 32
"""Levels of a value that HSDS does not know, which is kept as it came."""

YEARS: Final = range(1900, 2200)
"""Years of a day; one far outside would be a slip, and calendars count from it."""

HIDDEN: Final = "pashe_hidden"
"""Field of an object from which `confidential` took something; such a one replaces no whole one."""

_CODES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("service", "status"): ("active", "inactive", "defunct", "temporarily closed"),
    ("location", "location_type"): ("physical", "postal", "virtual"),
    ("address", "address_type"): ("physical", "postal", "virtual"),
    ("schedule", "freq"): ("WEEKLY", "MONTHLY"),
    ("schedule", "wkst"): ("MO", "TU", "WE", "TH", "FR", "SA", "SU"),
    ("service_area", "extent_type"): ("geojson", "topojson", "kml", "text"),
}
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?(Z|[+-][01]\d:?[0-5]\d)?")
_DAYS: Final = re.compile(
    r"([+-]?[1-5]?[0-9]?(MO|TU|WE|TH|FR|SA|SU))(,[+-]?[1-5]?[0-9]?(MO|TU|WE|TH|FR|SA|SU))*"
)
_POSITIONS: Final = {"byweekno": 53, "bymonthday": 31, "byyearday": 366}
_RANGES: Final = {
    "minimum_age": (0, 150),
    "maximum_age": (0, 150),
    "timezone": (-14, 14),
    "interval": (1, 999),
    "count": (1, 9999),
    "available": (0, 100_000),
    "maximum": (0, 100_000),
    "year_incorporated": (0, 9999),
}
_WHOLE: Final = frozenset(("interval", "count", "available", "maximum"))


def _is_date(text: str) -> bool:
    return _DATE.fullmatch(text) is not None and _is_instant(text)


def _is_instant(text: str) -> bool:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return False
    return _DATE.match(text) is not None and read.year in YEARS


def _is_positions(most: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        parts = text.replace(" ", "").split(",")
        return all(re.fullmatch(r"[+-]?\d{1,3}", p) and 0 < abs(int(p)) <= most for p in parts)

    return check


_TEXTS: Final[Mapping[str, tuple[Callable[[str], object], str]]] = {
    **dict.fromkeys(
        ("valid_from", "valid_to", "dtstart", "until", "assured_date", "last_action_date"),
        (_is_date, "not-a-date"),
    ),
    **dict.fromkeys(("last_modified", "updated"), (_is_instant, "not-an-instant")),
    **dict.fromkeys(("opens_at", "closes_at"), (_TIME.fullmatch, "not-a-time")),
    "byday": (_DAYS.fullmatch, "not-days"),
    **{name: (_is_positions(most), "not-positions") for name, most in _POSITIONS.items()},
}
"""Fields whose text has a form, whatever kind they are of, and the rule that says so."""


def check_fields(
    kind: Kind, told: Mapping[str, Any], spot: Spot, report: Report, *, row: bool
) -> dict[str, Any]:
    """Return the plain fields of an object as they are kept; problems and notes go to the report.

    `row`: it comes from a table, whose cells are all text and whose links are columns. Empty
    fields are left out; identifiers are in small letters; a number in a field of text becomes text.
    """
    kept: dict[str, Any] = {}
    full = {name: text for name, value in told.items() if (text := _normal(value)) is not None}
    for name, value in full.items():
        _keep(kept, kind, name, value, spot, report)
    for name in (*kind.needs, *(kind.rows if row else ())):
        if name not in full:
            report.add(spot, name, "missing")
    _check_pairs({name: kept[name] for name in kept if name in kind.fields}, spot, report)
    return kept


def _normal(value: Any) -> Any:  # noqa: ANN401  (any JSON value)
    """Return a text in its normal form, None where it is empty; anything else as it is."""
    if not isinstance(value, str):
        return value
    text = normalise(value)
    return text if text and not text.isspace() else None


def _keep(
    kept: dict[str, Any],
    kind: Kind,
    name: str,
    value: Any,  # noqa: ANN401  (any JSON value)
    spot: Spot,
    report: Report,
) -> None:
    if name == HIDDEN:
        kept[HIDDEN] = True
    elif name in kind.holds or name in kind.lists:  # of JSON, where it is no plain field
        report.note(spot, f"{kind.name}.{name}", "not-a-column")
    elif name not in kind.fields:
        report.note(spot, f"{kind.name}.{plain(name)}", "unknown-field")
        if not _is_flat(value):
            report.add(spot, plain(name), "too-deep")
        elif _is_clean(name) and _is_clean(value):
            kept[name] = value
        else:
            report.add(spot, plain(name), "unclean")
    elif name == "id" or name in kind.links or (kind.anywhere and name == kind.anywhere[0]):
        if (key := _uuid(value)) is None:
            report.add(spot, name, "not-a-uuid")
        else:
            kept[name] = key
    elif name in NUMBERS:
        _keep_number(kept, name, value, spot, report)
    else:
        _keep_text(kept, kind, name, value, spot, report)


def plain(name: object) -> str:
    """Return an unknown name where it is one; else nothing of it, as any text could stand there."""
    return name if isinstance(name, str) and re.fullmatch(r"[A-Za-z_][\w-]{0,39}", name) else "?"


def _is_flat(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST_VALUE):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return True
    return False


def _is_clean(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_clean, [*value, *value.values()]))
    if isinstance(value, list):
        return all(map(_is_clean, value))
    return not isinstance(value, str) or is_clean(value)


def _uuid(value: object) -> str | None:
    try:
        return str(UUID(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _keep_number(
    kept: dict[str, Any],
    name: str,
    value: Any,  # noqa: ANN401  (any JSON value)
    spot: Spot,
    report: Report,
) -> None:
    number = _number(value)
    low, high = _RANGES.get(name, (-LARGEST, LARGEST))
    if number is None or not low <= number <= high or (name in _WHOLE and number != int(number)):
        expected = f"A number from {low} to {high}" if name in _RANGES else ""
        report.add(spot, name, "not-a-number", expected)
        return
    kept[name] = number


def _number(value: object) -> float | int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if re.fullmatch(r"[+-]?\d{1,15}", value):
            return int(value)
        if not re.fullmatch(r"[+-]?\d{0,15}\.?\d+(e[+-]?\d+)?", value, re.IGNORECASE):
            return None
        value = float(value)
    if not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:  # nor NaN
        return None
    return value


def _keep_text(
    kept: dict[str, Any],
    kind: Kind,
    name: str,
    value: Any,  # noqa: ANN401  (any JSON value)
    spot: Spot,
    report: Report,
) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST:
        value = str(value)
    codes = _CODES.get((kind.name, name))
    form = _TEXTS.get(name)
    if not isinstance(value, str):
        report.add(spot, name, "not-text")
    elif not is_clean(value):
        report.add(spot, name, "unclean")
    elif len(value) > LONGEST:
        report.add(spot, name, "too-long")
    elif codes is not None and value not in codes:
        report.add(spot, name, "unknown-code", "One of: " + ", ".join(codes))
    elif form is not None and not form[0](value):
        report.add(spot, name, form[1])
    else:
        kept[name] = value


def _check_pairs(kept: Mapping[str, Any], spot: Spot, report: Report) -> None:
    if "minimum_age" in kept and kept["minimum_age"] > kept.get("maximum_age", math.inf):
        report.add(spot, "maximum_age", "ages")
    if "valid_from" in kept and kept["valid_from"] > kept.get("valid_to", "9999"):
        report.add(spot, "valid_to", "from-to")
    for name, most in (("latitude", 90), ("longitude", 180)):
        if abs(kept.get(name, 0)) > most:
            report.note(spot, name, "not-on-earth")
