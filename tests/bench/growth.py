"""Growth: what the same work takes with ten times the past.

At each size of the past, some rounds of: partners' reports at a steady rate, until the answer and
until the provider's stream; and reads one after the other, of each kind in turn. A figure is the
last size against the one before it.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
import uvloop

from shared.paging import encode_cursor
from shared.vocabulary import Role
from tests.bench.figures import Figure, percentile
from tests.bench.filling import SPAN, Filling, superuser
from tests.bench.listening import Sent, latencies, send, streaming
from tests.bench.reports import NEED, bodies
from tests.bench.site import Site
from tests.bench.wire import Wire, WireError, post, request
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import asyncpg

    from tests.bench.catalogue import Table
    from tests.bench.telling import Told
    from tests.support.stack import Stack

FLOOR, AMBITIOUS = 1.3, 1.1
"""Times as long, at ten times the past."""

PAGE: Final = 50
"""Entries of a feed's last page."""

STREAM: Final = "report accepted to its provider's stream"
ANSWER: Final = "a report answered"
NOTHING: Final = "nothing asked of any table (/live)"
"""How fast the machine was at a size; it has no floor."""

WHOLE: Final = "rows of what grows that were read from end to end, a report"
MOST_ROWS: Final = 10.0
"""Of those, a report: whoever reads a table whole reads every case there ever was."""

_SOME: Final = """
SELECT c.case_id FROM unnest($1::uuid[]) AS near CROSS JOIN LATERAL
  (SELECT case_id FROM intake.cases WHERE case_id >= near AND status = 'closed'
   ORDER BY case_id LIMIT 1) c
"""
_ENDS: Final = """
SELECT (SELECT case_id FROM intake.cases ORDER BY 1 LIMIT 1),
  (SELECT case_id FROM intake.cases WHERE status = 'closed' ORDER BY 1 DESC LIMIT 1)
"""
_WHOLE: Final = """
SELECT schemaname || '.' || relname AS place, seq_tup_read FROM pg_stat_user_tables
WHERE schemaname || '.' || relname = ANY ($1::text[])
"""
_WHOSE: Final = """
SELECT referral_id::text, provider_id FROM referral.referrals
WHERE referral_id = ANY ($1::uuid[]) AND provider_id IS NOT NULL
"""
_HEADS: Final = "SELECT provider_id, seq FROM referral.feeds"


@dataclass(frozen=True, slots=True)
class Plan:
    """Cases at each size, made of `seed` real ones over `places`; and a round of measuring.

    A round is `rate` reports a second for `seconds` after `warm`, and `reads` of each kind, of
    `fresh` new cases where it is about those.
    """

    sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    seed: int = 500
    places: int = 32
    need: str = NEED
    rounds: int = 3
    rate: float = 10.0
    seconds: float = 20.0
    warm: float = 10.0
    reads: int = 300
    fresh: int = 20

    @property
    def reports(self) -> float:
        """How many reports are sent at each size."""
        return self.rounds * (self.rate * (self.warm + self.seconds) + self.fresh)


QUICK = Plan(sizes=(10_000, 100_000))
SMOKE = Plan(
    sizes=(1000, 20_000), seed=60, places=4, rounds=1, seconds=2.0, warm=1.0, reads=10, fresh=4
)


@dataclass(slots=True)
class Seen:
    """At one size, by what was measured: the times of each round in seconds.

    `whole` is how many rows of each table were read by going through all of it.
    """

    cases: int
    whole: Counter[str] = field(default_factory=Counter)
    rounds: dict[str, list[list[float]]] = field(default_factory=lambda: defaultdict(list))

    def ms(self, what: str, part: float) -> float:
        """Return the middle of the rounds' percentiles, in milliseconds."""
        return statistics.median(percentile(one, part) for one in self.rounds[what]) * 1e3


@dataclass(slots=True)
class Bench:
    """A stack whose past grows, and what is measured of it."""

    site: Site
    conn: asyncpg.Connection[Any]
    plan: Plan
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    async def seed(self) -> None:
        """Send what is multiplied: half of it is released by its rule, half waits for a person."""
        plan = self.plan
        for kind in ("released", "told"):
            made = bodies(kind, 1, plan.seed // 2, plan.places, plan.need)
            sent = await send(self.site, made, plan.need, plan.rate, len(made) / plan.rate)
            if sent.refused:
                message = f"{sent.refused} reports were refused"
                raise RuntimeError(message)
        await self.site.settled(120)

    async def old(self) -> list[UUID]:
        """Return closed cases from all over the past; no table is read whole for them."""
        least, most = (end.int for end in await self.conn.fetchrow(_ENDS))
        near = [UUID(int=self.chance.randint(least, most)) for _ in range(self.plan.reads)]
        return [row["case_id"] for row in await self.conn.fetch(_SOME, near)]

    async def whole(self, tables: Sequence[Table]) -> Counter[str]:
        """Return how many rows of each table were read by going through all of it, until now."""
        await self.conn.execute("SELECT pg_stat_force_next_flush()")
        places = [table.place for table in tables]
        return Counter(dict(await self.conn.fetch(_WHOLE, places)))

    async def leave_out(self, sent: Sent, heads: Mapping[str, int]) -> None:
        """Forget what went to a provider who had no feed before: nobody listens there."""

        async def whose() -> dict[str, str]:
            found = dict(await self.conn.fetch(_WHOSE, list(sent.at)))
            return found if found.keys() == sent.at.keys() else {}

        for referral, provider in (await eventually(whose, 90, "a provider for each")).items():
            if provider not in heads:
                del sent.at[referral]

    async def round(self, seen: Seen) -> None:
        """Measure once at the present size."""
        plan, stamp = self.plan, time.time_ns() % 1_000_000
        heads = dict(await self.conn.fetch(_HEADS))
        made = bodies("released", stamp, 200, plan.places, plan.need)
        async with streaming(self.site, heads, heads) as ear:
            for seconds in (plan.warm, plan.seconds):
                sent = await send(self.site, made, plan.need, plan.rate, seconds)
                await self.leave_out(sent, heads)
                heard = await latencies(sent, ear)
            seen.rounds[STREAM].append(heard)
        seen.rounds[ANSWER].append(sorted(sent.took))
        new = [await self.site.submit(body) for body in made[: plan.fresh]]
        await self.site.settled(60)
        kinds = self._reads(await self.old(), new, dict(await self.conn.fetch(_HEADS)))
        for what, times in (await self._read(kinds)).items():
            seen.rounds[what].append(sorted(times))

    def _reads(
        self, old: Sequence[UUID], new: Sequence[Mapping[str, Any]], heads: Mapping[str, int]
    ) -> dict[str, tuple[str, Iterator[bytes]]]:
        """Return each kind of read: at which service, and its requests."""
        site, chance = self.site, self.chance
        mine = site.bearer(Role.COORDINATOR)
        theirs = {name: site.bearer(Role.PROVIDER_SYSTEM, name) for name in heads}

        def of(path: str, cases: Sequence[object]) -> Iterator[bytes]:
            while True:
                yield request("GET", f"{path}{chance.choice(cases)}", mine)

        def pages() -> Iterator[bytes]:
            while True:
                name = chance.choice(list(heads))
                after = encode_cursor([0, max(0, heads[name] - PAGE)])
                path = f"/referral/v1/referrals?limit={PAGE}&after={after}"
                yield request("GET", path, theirs[name])

        def receipts() -> Iterator[bytes]:
            while True:
                body = msgspec.json.encode({"receipt": chance.choice(new)["receipt"]})
                yield post("/intake/v1/receipts/status", {}, body)

        cases = [one["case_ids"][0] for one in new]
        case, referrals = "/intake/v1/cases/", "/referral/v1/referrals?case_id="
        return {
            NOTHING: ("intake", of("/live", [""])),
            "the coordinator's tasks": ("intake", of("/intake/v1/tasks", [""])),
            "an old case": ("intake", of(case, old)),
            "a new case": ("intake", of(case, cases)),
            "the referrals of an old case": ("referral", of(referrals, old)),
            "the referrals of a new case": ("referral", of(referrals, cases)),
            "the last page of a provider's feed": ("referral", pages()),
            "the status of a receipt": ("intake", receipts()),
        }

    async def _read(
        self, kinds: Mapping[str, tuple[str, Iterator[bytes]]]
    ) -> dict[str, list[float]]:
        """Ask each kind in turn, again and again; a few times first that do not count.

        Raises:
            WireError: something was not answered 200.

        """
        wires = {name: await Wire.open(self.site.urls[name]) for name, _ in kinds.values()}
        taken: dict[str, list[float]] = {what: [] for what in kinds}
        warm = max(2, self.plan.reads // 10)
        try:
            for number in range(warm + self.plan.reads):
                for what, (service, asked) in kinds.items():
                    rendered, begun = next(asked), time.perf_counter()
                    answer = await wires[service].send(rendered)
                    if answer.status != 200:
                        message = f"{what}: {answer.status} {answer.body[:200]!r}"
                        raise WireError(message)
                    if number >= warm:
                        taken[what].append(time.perf_counter() - begun)
        finally:
            for wire in wires.values():
                wire.close()
        return taken


async def measure(stack: Stack, plan: Plan, told: Told) -> list[Figure]:
    """Let the past grow and measure at each size; the stack keeps it."""
    site = Site.of(stack)
    each = 1 + plan.rounds
    total = 1 + each * len(plan.sizes)
    told.step(0, total, f"{plan.seed:,} real reports")
    found: list[Seen] = []
    async with superuser(stack) as conn:
        bench = Bench(site, conn, plan)
        await bench.seed()
        filling = await Filling.begin(conn, max(plan.sizes))
        for number, size in enumerate(plan.sizes):
            done = 1 + each * number

            def tell(share: float, done: int = done, size: int = size) -> None:
                told.step(done + share, total, f"a past of {size:,} cases")

            tell(0)
            seen = Seen(await filling.until(size, tell))
            await site.settled(120)
            before = await bench.whole(filling.tables)
            for turn in range(plan.rounds):
                told.step(done + 1 + turn, total, f"measuring at {size:,}, round {turn + 1}")
                await bench.round(seen)
            seen.whole = await bench.whole(filling.tables) - before
            found.append(seen)
    told.step(total, total, "done")
    return figures_of(found, plan)


def figures_of(found: Sequence[Seen], plan: Plan) -> list[Figure]:
    """Return the last size against the one before, of each thing its p50 and p99."""
    before, last = found[-2:]
    notes = [
        f"{plan.rate:g} reports a second for {plan.seconds:g} s, {plan.reads} reads of each kind",
        f"the middle of {plan.rounds} rounds",
        f"the past is {plan.seed} reports over {plan.places} places, copied over {SPAN.days} days",
        "half of them were released by their rule; the copies are closed and delivered",
    ]
    told = [_whole(last, plan)]
    for what in last.rounds:
        values = "; ".join(
            f"{one.cases:,}: {one.ms(what, 0.5):.1f} / {one.ms(what, 0.99):.1f}" for one in found
        )
        for part, share in (("p50", 0.5), ("p99", 0.99)):
            ours, peer = last.ms(what, share), before.ms(what, share)
            ratio = ours / peer
            told.append(
                Figure(
                    bench="growth",
                    what=f"{what}, {part}, at {last.cases:,} cases",
                    unit="ms",
                    ours=ours,
                    peer=peer,
                    peer_is=f"at {before.cases:,}",
                    ratio=(ratio, ratio, ratio),
                    floor=None if what == NOTHING else FLOOR,
                    ambitious=None if what == NOTHING else AMBITIOUS,
                    least=False,
                    notes=[*notes, f"{what}, cases: p50 / p99 in ms: {values}"],
                )
            )
    return told


def _whole(seen: Seen, plan: Plan) -> Figure:
    """Return how much of the past is read for the work of now, whatever it takes."""
    rows = {place: count for place, count in seen.whole.most_common(5) if count}
    return Figure(
        bench="growth",
        what=f"{WHOLE}, at {seen.cases:,} cases",
        unit="rows",
        ours=seen.whole.total() / plan.reports,
        floor=MOST_ROWS,
        ambitious=1.0,
        least=False,
        notes=[f"{place}: {count:,} rows" for place, count in rows.items()],
    )


def run(stack: Stack, plan: Plan, told: Told) -> list[Figure]:
    """Measure on a loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(stack, plan, told))
