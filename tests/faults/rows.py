"""The table of all faults: one row a fault, as text, Markdown and JSON. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence  # noqa: TC003  (msgspec reads it)

import msgspec

from tests.faults.figures import quantile

OURS = "Pashe"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What one fault did. `subject` is whose code was struck, `rig` where.

    `reports` were told 2xx under the fault (or, on the small rig, were committed); `strikes` is how
    often it struck; `other` counts every fatal anomaly that has no column: unseen, phantom, gap,
    G1a, flagged, unsettled, invalid log. `recoveries` are seconds from a strike (of one that lasts:
    from its end) until a report sent since was referred and in the history. `first` and `known` are
    the shares of attempts answered at the first send, and in the end. `proof` names the test that
    shows this fault, where another one does; `error` says why there is no figure.
    """

    fault: str
    rig: str
    subject: str = OURS
    reports: int = 0
    strikes: int = 0
    lost: int = 0
    doubled: int = 0
    inverted: int = 0
    other: int = 0
    absorbed: int = 0
    recoveries: tuple[float, ...] = ()
    first: float | None = None
    known: float | None = None
    seconds: float = 0.0
    seed: int = 0
    proof: str = ""
    error: str = ""
    examples: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong; a baseline is never held against us."""
        wrong = self.lost + self.doubled + self.inverted + self.other
        return self.subject != OURS or not (wrong or self.error)


HEAD = (
    "fault",
    "whose code",
    "reports",
    "strikes",
    "lost",
    "lost at most (95 %)",
    "duplicate effects",
    "inversions",
    "other",
    "absorbed",
    "recovery p50 / p99 s",
    "answered at once / in the end",
    "rig",
)


def total(rows: Sequence[Row]) -> Row:
    """Add up our own rows."""
    ours = [row for row in rows if row.subject == OURS]
    return Row(
        fault="all of Pashe's",
        rig=f"{sum(1 for row in ours if not row.proof)} faults, "
        f"{sum(1 for row in ours if row.proof)} shown by tests",
        reports=sum(row.reports for row in ours),
        strikes=sum(row.strikes for row in ours),
        lost=sum(row.lost for row in ours),
        doubled=sum(row.doubled for row in ours),
        inverted=sum(row.inverted for row in ours),
        other=sum(row.other for row in ours),
        absorbed=sum(row.absorbed for row in ours),
        recoveries=tuple(back for row in ours for back in row.recoveries),
        seconds=sum(row.seconds for row in ours),
    )


def bound(row: Row) -> str:
    """Return the share of reports that may be lost at most, by the rule of three.

    Only a count of zero has it; nobody takes it for more than what was tried.
    """
    return f"{3 / row.reports:.1e}" if row.reports and not row.lost else "–"


def cells(row: Row) -> tuple[str, ...]:
    if row.proof or (row.error and not row.reports):
        said = row.error or f"passed: {row.proof}"
        return (row.fault, row.subject, *["–"] * (len(HEAD) - 3), said)
    known = "–" if row.known is None else f"{row.first or 0:.1%} / {row.known:.1%}"
    back = "–"
    if row.recoveries:
        halves = (quantile(row.recoveries, q) for q in (0.5, 0.99))
        back = " / ".join("never" if math.isinf(t) else f"{t:.1f}" for t in halves)
    return (
        row.fault,
        row.subject,
        str(row.reports),
        str(row.strikes),
        str(row.lost),
        bound(row),
        str(row.doubled),
        str(row.inverted),
        str(row.other),
        str(row.absorbed),
        back,
        known,
        f"{row.error}; {row.rig}" if row.error else row.rig,
    )


def markdown(rows: Sequence[Row]) -> str:
    """Render the table with its sum and what was wrong."""
    lines = [_line(HEAD), _line(["---"] * len(HEAD))]
    lines += [_line(cells(row)) for row in (*rows, total(rows))]
    for row in rows:
        if row.examples:
            lines += ["", f"{row.fault} ({row.subject}), seed {row.seed}:"]
            lines += [f"- {example}" for example in row.examples]
    return "\n".join(lines) + "\n"


def plain(rows: Sequence[Row]) -> str:
    """Render the same for a terminal."""
    table = [HEAD, *(cells(row) for row in (*rows, total(rows)))]
    widths = [min(44, max(len(line[n]) for line in table)) for n in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    )


def said(row: Row) -> str:
    """Say what one fault did as soon as it is known, so that a run that is stopped has told it."""
    state = "ok   " if row.clean else "WRONG"
    backs = ", ".join(f"{back:.1f}" for back in row.recoveries)
    counts = (
        f"{row.reports} reports, {row.strikes} strikes, lost {row.lost}, doubled {row.doubled}, "
        f"inverted {row.inverted}, other {row.other}, absorbed {row.absorbed}, recovered {backs}"
    )
    told = [row.error, row.proof, counts if row.reports else ""]
    what = "; ".join(word for word in told if word) or counts
    lines = [f"{state} {row.fault} ({row.subject}), {row.seconds:.0f} s: {what}"]
    return "\n      ".join([*lines, *row.examples])


def to_json(rows: Sequence[Row]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(list(rows)), indent=1)


def _line(words: Sequence[str]) -> str:
    return "| " + " | ".join(word.replace("|", "\\|") for word in words) + " |"
