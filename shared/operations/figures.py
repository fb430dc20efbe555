"""What a service says of itself beside what all have: blocks of figures and of small tables.

Texts are English and in `locale/bn.po` of this folder; `values` fill what stands as `%(name)s`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Figure:
    """A number under a label; `care` says that somebody should look. `since` is when it began."""

    label: str
    value: int
    care: bool = False
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: code words, the kind by which they are named (`shared.pages.words`)."""

    cells: tuple[tuple[str, str], ...]
    count: int
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Figures and lines under one heading."""

    heading: str
    figures: tuple[Figure, ...] = ()
    heads: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    values: Mapping[str, object] = field(default_factory=dict)
