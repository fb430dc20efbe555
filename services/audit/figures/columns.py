"""Figures as Parquet, for programs of analysis: the cells of the CSV, each a text.

Its library is large, and is the extra `parquet`; where it is not installed the form is refused.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, ClassVar, Final

from services.audit.figures.sheets import plain
from shared.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.audit.figures.sheets import Value

PARQUET_TYPE: Final = "application/vnd.apache.parquet"


class NoParquet(Problem):
    """The library is not installed here."""

    slug, status, title = "no-parquet", 406, "Parquet is not installed here"
    WHY: ClassVar[str] = "ask for csv or xlsx, or install the extra `parquet` where audit runs"

    def __init__(self) -> None:
        """Say what else there is."""
        super().__init__(self.WHY)


def write_parquet(heads: Sequence[str], rows: Iterable[Sequence[Value]]) -> bytes:
    """Write one table; a hidden cell is the same text as in CSV, and no value is an empty one.

    Raises:
        NoParquet: the library is not installed.

    """
    try:
        import pyarrow as pa  # noqa: PLC0415  (large, and not there in every installation)
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise NoParquet from None
    texts = [["" if cell is None else str(plain(cell)) for cell in row] for row in rows]
    columns = [pa.array([row[n] for row in texts], pa.string()) for n in range(len(heads))]
    out = io.BytesIO()
    named = [str(plain(head)) for head in heads]
    parquet.write_table(pa.table(columns, names=named), out, compression="zstd")
    return out.getvalue()
