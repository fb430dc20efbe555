"""What the bench of the history measures, and the rows of the table that come of it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Final

from tests.bench.figures import Figure, mean_of, percentile, ratio_of

FLIGHT, BATCH = 24, 2000
"""Entries that wait for one commit together."""

PLAIN, SAME = "Tessera POSIX", "Tessera POSIX, checking signatures"


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of the log, and what each of the rounds appends, proves and verifies."""

    small: int = 100_000
    large: int = 1_000_000
    rounds: int = 5
    flight: int = 6_000
    batch: int = 8_000
    proofs: int = 5_000
    peers: bool = True


QUICK: Final = Plan(rounds=2, flight=2_400, batch=4_000, proofs=2_000)
SMOKE: Final = Plan(
    small=1_000, large=3_000, rounds=1, flight=48, batch=2_000, proofs=20, peers=False
)


@dataclass(slots=True)
class Side:
    """What the rounds of one way to append gave: entries a second, CPU µs an entry."""

    rates: list[float] = field(default_factory=list)
    cpu: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Checked:
    """A verification of the whole log: seconds, and the most memory it had, in MB."""

    seconds: float
    megabytes: float


@dataclass(slots=True)
class Seen:
    """Everything that was measured; proofs in milliseconds by who and at which size."""

    sides: dict[tuple[str, int], Side] = field(default_factory=dict)
    proofs: dict[tuple[str, int], list[list[float]]] = field(default_factory=dict)
    checked: dict[tuple[str, int], Checked] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def figures_of(seen: Seen, plan: Plan) -> list[Figure]:
    """Return the rows of the table."""
    return [
        *(_appended(seen, batch, who) for who in (PLAIN, SAME) for batch in (FLIGHT, BATCH)),
        _grown(seen, plan),
        _proved_large(seen, plan),
        *(_proved_beside(seen, plan, who) for who in ("pymerkle", "tessera")),
        *_verified(seen, plan),
    ]


_FLOORS: Final = {(PLAIN, FLIGHT): (1.0, 1.5), (PLAIN, BATCH): (0.5, 1.0)}


def _appended(seen: Seen, batch: int, who: str) -> Figure:
    ours, peer = seen.sides["ours", batch], seen.sides.get((who, batch))
    floor, aim = _FLOORS.get((who, batch), (None, None))
    how = f"{batch} in flight" if batch == FLIGHT else f"batches of {batch:,}"
    return Figure(
        bench="history",
        what=f"history: signed events appended, {how}",
        unit="entries/s",
        ours=statistics.median(ours.rates),
        peer=None if peer is None else statistics.median(peer.rates),
        peer_is=who,
        ratio=None if peer is None else ratio_of(ours.rates, peer.rates),
        cpu=mean_of(ours.cpu),
        peer_cpu={} if peer is None else mean_of(peer.cpu),
        floor=floor if peer is not None else None,
        ambitious=aim if peer is not None else None,
        notes=[f"{len(ours.rates)} rounds, alternated", *seen.missing],
    )


def _grown(seen: Seen, plan: Plan) -> Figure:
    before, after = (seen.sides[who, BATCH].rates for who in ("ours", "ours at the large size"))
    then, now = statistics.median(before), statistics.median(after)
    return Figure(
        bench="history",
        what=f"the same in batches, at {plan.large:,} entries : {plan.small:,} (time an entry)",
        unit="entries/s",
        ours=now,
        peer=then,
        peer_is=f"at {plan.small:,}",
        ratio=(then / now, then / now, then / now),
        floor=1.3,
        ambitious=1.1,
        least=False,
        notes=["growth: minutes lie between the two, they are not alternated"],
    )


def _middle(seen: Seen, who: str, size: int, part: float = 0.5) -> float:
    return percentile([ms for took in seen.proofs[who, size] for ms in took], part)


def _proved_large(seen: Seen, plan: Plan) -> Figure:
    size = plan.large
    return Figure(
        bench="history",
        what=f"inclusion proof at {size:,} entries, p50",
        unit="ms",
        ours=_middle(seen, "ours", size),
        floor=1.0,
        ambitious=0.3,
        least=False,
        notes=[
            f"inclusion proof at {size:,}: p99 {_middle(seen, 'ours', size, 0.99):.2f} ms",
            f"inclusion proof at {plan.small:,}: p50 {_middle(seen, 'ours', plan.small):.2f} ms",
        ],
    )


def _proved_beside(seen: Seen, plan: Plan, who: str) -> Figure:
    ours = seen.proofs["ours", plan.small]
    peer = seen.proofs.get((who, plan.small))
    notes = []
    if peer is not None:
        notes.append(f"{who}: p99 {_middle(seen, who, plan.small, 0.99):.2f} ms")
    if who == "pymerkle" and peer is not None:
        first = _middle(seen, "ours, cold", plan.small)
        notes.append(f"ours before the tiles that were asked for are kept: p50 {first:.2f} ms")
        memory = _middle(seen, "pymerkle in memory", plan.small)
        cold = _middle(seen, "pymerkle, cold", plan.small)
        notes.append("pymerkle's tree is a file (SQLite), with the cache in memory that it makes")
        notes.append(f"pymerkle before that cache is warm: p50 {cold:.2f} ms")
        notes.append(f"pymerkle's tree in memory alone: p50 {memory:.2f} ms")
    ratio = None
    if peer is not None:
        middles = [[statistics.median(took) for took in side] for side in (peer, ours)]
        ratio = ratio_of(*middles)
    known = who == "pymerkle" and peer is not None
    return Figure(
        bench="history",
        what=f"inclusion proof at {plan.small:,} entries, p50, times as fast as {who}",
        unit="ms",
        ours=_middle(seen, "ours", plan.small),
        peer=None if peer is None else _middle(seen, who, plan.small),
        peer_is=who,
        ratio=ratio,
        floor=10.0 if known else None,
        ambitious=25.0 if known else None,
        notes=notes,
    )


def _verified(seen: Seen, plan: Plan) -> list[Figure]:
    ours, before = seen.checked["ours", plan.large], seen.checked["ours", plan.small]
    peer = seen.checked.get(("fsck", plan.large))
    faster = None if peer is None else peer.seconds / ours.seconds
    less = ours.megabytes / before.megabytes
    return [
        Figure(
            bench="history",
            what=f"the whole log of {plan.large:,} entries verified over HTTP, times as fast",
            unit="s",
            ours=ours.seconds,
            peer=None if peer is None else peer.seconds,
            peer_is="Tessera's fsck",
            ratio=None if faster is None else (faster, faster, faster),
            notes=[
                f"the whole log of {plan.small:,} entries verified: {before.seconds:.1f} s",
                *([] if peer is None else [f"fsck had at most {peer.megabytes:.0f} MB"]),
            ],
        ),
        Figure(
            bench="history",
            what=f"most memory of that verifier, at {plan.large:,} entries : {plan.small:,}",
            unit="MB",
            ours=ours.megabytes,
            peer=before.megabytes,
            peer_is=f"at {plan.small:,}",
            ratio=(less, less, less),
            floor=1.1,
            least=False,
        ),
    ]
