"""Availability and recovery of a run, and the table that is printed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.attempts import SUBMITS, Attempt, Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.checker import Verdict


@dataclass(frozen=True, slots=True)
class Fault:
    """One injected fault: when it struck, from when on its part was down or thawing, and when it
    was ready again (None: never). Seconds on the monotonic clock.
    """

    what: str
    part: str
    at: float
    down: float
    ready_at: float | None


WHOSE = {
    "intake": SUBMITS | {Kind.TRIAGE},
    "referral": frozenset({Kind.ACCEPT, Kind.DECLINE, Kind.START, Kind.DELIVER}),
    "postgres": SUBMITS,
}
"""Whose answered attempts show that a part serves again."""


def quantile(values: Sequence[float], q: float) -> float:
    """Return the q-quantile by the nearest rank; nan without values."""
    if not values:
        return float("nan")
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(q * len(ranked)))]


def recovery(faults: Sequence[Fault], attempts: Sequence[Attempt]) -> dict[str, list[float]]:
    """Return, per kind of fault, seconds until its part served again.

    Where the load speaks to the part, that is the end of the first attempt that got a 2xx after
    the part was down; elsewhere (consumers only) it is when the part said it was ready.
    """
    found: dict[str, list[float]] = {}
    for fault in faults:
        kinds = WHOSE.get(fault.part)
        ends = [
            a.ended
            for a in attempts
            if kinds and a.kind in kinds and a.outcome is Outcome.OK and a.ended > fault.down
        ]
        back = min(ends) if ends else fault.ready_at
        found.setdefault(f"{fault.what} {fault.part}", []).append(
            float("inf") if back is None else back - fault.at
        )
    return found


def availability(attempts: Sequence[Attempt]) -> tuple[float, float]:
    """Return the shares of attempts answered at the first send, and answered at all."""
    if not attempts:
        return float("nan"), float("nan")
    first = sum(a.first_time for a in attempts)
    known = sum(a.outcome is not Outcome.UNKNOWN for a in attempts)
    return first / len(attempts), known / len(attempts)


def table(
    seed: int,
    seconds: float,
    attempts: Sequence[Attempt],
    faults: Sequence[Fault],
    verdict: Verdict,
    entries: int,
) -> str:
    """Render a run as one table of plain text."""
    lines = [f"seed {seed}   {seconds:.0f} s   {len(faults)} faults   {entries} entries", ""]
    lines.append(f"{'attempt':<12}{'ok':>8}{'fail':>8}{'unknown':>9}")
    for kind in Kind:
        row = [verdict.attempts[kind, outcome] for outcome in Outcome]
        if any(row):
            lines.append(f"{kind:<12}{row[0]:>8}{row[1]:>8}{row[2]:>9}")
    first, known = availability(attempts)
    lines += ["", f"answered at the first send {first:.2%}, in the end {known:.2%}", ""]
    lines.append(f"{'fault':<24}{'times':>6}{'recovered p50':>15}{'p99':>8}")
    for name, times in sorted(recovery(faults, attempts).items()):
        p50, p99 = quantile(times, 0.5), quantile(times, 0.99)
        lines.append(f"{name:<24}{len(times):>6}{p50:>14.1f}s{p99:>7.1f}s")
    lines.append("")
    for word in ("lost", "duplicate effect", "inversion", "unseen", "gap", "phantom", "G1a"):
        lines.append(f"{word:<24}{verdict.count(word):>6}")
    lines.append(f"{'duplicates absorbed':<24}{verdict.absorbed:>6}")
    reports = sum(v for (k, o), v in verdict.attempts.items() if k in SUBMITS and o == Outcome.OK)
    if reports:
        lines.append(f"lost at most {3 / reports:.2e} of reports (95 %, rule of three)")
    for word, examples in verdict.fatal.items():
        lines += ["", f"{word.upper()}:", *(f"  {example}" for example in examples)]
    return "\n".join(lines)
