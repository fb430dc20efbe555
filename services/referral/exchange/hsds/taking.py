"""An HSDS 3 package taken into the directory: all of it in one transaction, or nothing.

What the package says of a service becomes providers and offers; every object is kept beside them
as it came. New offers are `listed`: only a person makes one active, and one that is active and is
now for others, for something else or elsewhere is `listed` again until a person confirms it. An
offer that a person edited here is left alone, and told of, unless the import is to overwrite it;
how it is reached always stays. A service that lost a place or a need closes the offer for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from services.referral import listing_store
from services.referral import store as referrals_store
from services.referral.directory import kinds_of
from services.referral.exchange.hsds import mapping, store
from services.referral.exchange.hsds.changes import (
    Changes,
    differing,
    must_be_confirmed,
    offer_in,
    pages,
    row_of,
)
from services.referral.exchange.hsds.reading import read
from services.referral.freshness import expire_all_later
from shared.errors import Conflict
from shared.events import DIRECTORY, REFERRALS, CapacityChanged, Draft, OfferListed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.referral.exchange.hsds.graph import Graph
    from services.referral.exchange.hsds.report import Report
    from shared.outbox import Outbox, Stamp

TELL_EVERY: Final = 0.5
"""Seconds between two words of progress."""

_PAGE: Final = 500


@dataclass(slots=True)
class Package:
    """What was read: objects, providers, and offers as JSON in the order of their ids."""

    graph: Graph
    report: Report
    providers: dict[str, dict[str, Any]]
    offers: list[bytes]


class _DryRun(Exception):  # noqa: N818  (ends a transaction that is not to stay)
    """Everything was tried, and nothing stays."""


def prepare(
    file: IO[bytes], at: datetime, progress: Callable[[int], None] = lambda _: None
) -> Package:
    """Read a file and make providers and offers of it; nothing is stored. CPU only."""
    graph, report = read(file, progress)
    if report.count:
        return Package(graph, report, {}, [])
    mapping.check_confidential(graph, report)
    providers = mapping.providers_of(graph, report)
    offers = [
        (offer["offer_id"], msgspec.json.encode(offer))
        for service in graph.of("service")
        for offer in mapping.offers_of(graph, service, at, report)
    ]
    return Package(graph, report, providers, [raw for _, raw in sorted(offers)])


async def take(
    engine: AsyncEngine,
    outbox: Outbox,
    file: IO[bytes],
    stamp: Stamp,
    *,
    dry_run: bool = False,
    overwrite: bool = False,
) -> AsyncGenerator[dict[str, Any], None]:
    """Take a file; give words of progress, and at the end one with the report (`event` is `end`).

    Raises:
        Conflict: another import is running.

    """
    seen = [0]
    reading = asyncio.create_task(
        asyncio.to_thread(prepare, file, stamp.at, lambda count: seen.__setitem__(0, count))
    )
    while not (await asyncio.wait({reading}, timeout=TELL_EVERY))[0]:
        yield {"event": "progress", "phase": "reading", "objects": seen[0]}
    package = reading.result()
    changes = Changes()
    if not package.report.count:
        try:
            async with engine.begin() as conn:
                await _be_alone(conn)
                taking = _Taking(conn, outbox, package, stamp, changes, overwrite=overwrite)
                async for done in taking.run():
                    yield {"event": "progress", **done}
                if dry_run:
                    raise _DryRun  # noqa: TRY301  (ends the transaction)
        except _DryRun:
            pass
    yield {
        "event": "end",
        "taken": not package.report.count and not dry_run,
        "dry_run": dry_run,
        "objects": len(package.graph),
        **package.report.told(),
        "changes": {
            "objects": {what: dict(counts) for what, counts in changes.objects.items()},
            "providers": dict(changes.providers),
            "offers": dict(changes.offers),
            "offers_told": changes.told,
            "absent_services": changes.absent_services,
        },
    }


async def _be_alone(conn: AsyncConnection) -> None:
    if not await store.alone(conn):
        raise Conflict("another import is running", state="importing")


@dataclass(slots=True)
class _Taking:
    """One import inside its transaction."""

    conn: AsyncConnection
    outbox: Outbox
    package: Package
    stamp: Stamp
    changes: Changes
    overwrite: bool = field(kw_only=True)
    needs: set[str] = field(default_factory=set)

    async def run(self) -> AsyncGenerator[dict[str, Any], None]:
        """Store everything; give words of progress."""
        graph, done = self.package.graph, 0
        for page in pages(list(graph.raw()), store.PAGE):
            new, changed = await store.save_objects(self.conn, page)
            self.changes.objects["new"].update(new)
            self.changes.objects["changed"].update(changed)
            done += len(page)
            yield {"phase": "storing", "objects": done}
        self.changes.absent_services = await store.count_absent(
            self.conn, graph.keys("organization"), graph.keys("service")
        )
        for keys in pages(sorted(self.package.providers), _PAGE):
            await self._providers(keys)
        done = 0
        for raw in pages(self.package.offers, _PAGE):
            await self._offers([offer_in(one) for one in raw])
            done += len(raw)
            yield {"phase": "offers", "offers": done}
        made: dict[str, list[str]] = {key: [] for key in sorted(graph.keys("service"))}
        for raw_offer in self.package.offers:
            offer = offer_in(raw_offer)
            made[offer["service_id"]].append(offer["offer_id"])
        for services in pages(list(made), _PAGE):
            await self._close(services, [key for one in services for key in made[one]])
        await referrals_store.hasten(self.conn, sorted(self.needs), self.stamp.at)

    async def _providers(self, keys: Sequence[str]) -> None:
        known = await store.find_providers(self.conn, keys)
        rows = []
        for key in keys:
            told, old = self.package.providers[key], known.get(key, {})
            kind = told["kind"] or old.get("kind") or "other"
            kinds = dict.fromkeys([*kinds_of(key, kind), *old.get("kinds", ())])
            row = {**told, "kind": kind, "kinds": ";".join(kinds), "note": old.get("note", "")}
            rows.append(row)
            names = ("kind", "name_en", "name_bn")
            same = old and all(row[name] == old[name] for name in names)
            left = old and old["edited"] and not self.overwrite
            what = "new" if not old else "same" if same else "left alone" if left else "changed"
            self.changes.providers[what] += 1
        await listing_store.save_providers(self.conn, rows, edited=False)
        if self.overwrite:
            edited = [row for row in rows if known.get(row["provider_id"], {}).get("edited")]
            await listing_store.save_providers(self.conn, edited, edited=True)

    async def _offers(self, offers: list[dict[str, Any]]) -> None:
        known = await store.lock_offers(self.conn, [offer["offer_id"] for offer in offers])
        plain: list[dict[str, Any]] = []
        edited: list[dict[str, Any]] = []
        for offer in offers:
            old = known.get(offer["offer_id"])
            fields = differing(offer, old)
            if old is None:
                self.changes.tell(offer["offer_id"], "new", [])
                plain.append(offer)
            elif not fields:
                self.changes.tell(offer["offer_id"], "same", [])
            elif old["edited"] and not self.overwrite:
                self.changes.tell(offer["offer_id"], "left alone", fields)
            else:
                what = "to confirm" if must_be_confirmed(fields, old) else "changed"
                self.changes.tell(offer["offer_id"], what, fields)
                (edited if old["edited"] else plain).append(offer)
        for rows, by_person in ((plain, False), (edited, True)):
            if rows:
                stored = [row_of(offer, known.get(offer["offer_id"])) for offer in rows]
                await listing_store.save_offers(self.conn, stored, self.stamp.at, edited=by_person)
        await store.come_from(self.conn, [(o["offer_id"], o["service_id"]) for o in offers])
        await self._places(offers)
        await self._tell([offer["offer_id"] for offer in (*plain, *edited)])

    async def _places(self, offers: Sequence[dict[str, Any]]) -> None:
        told = [
            (offer["offer_id"], free, total, datetime.fromisoformat(at))
            for offer in offers
            if offer["places"] is not None
            for free, total, at in (offer["places"],)
        ]
        drafts = []
        newer = await store.newer_places(self.conn, told) if told else []
        counted = {row.offer_id: row.capacity_at for row in newer}
        await expire_all_later(self.conn, counted, self.stamp.at)
        for row in newer:
            self.changes.offers["places told"] += 1
            self.needs.update(row.needs)
            names = ("offer_id", "provider_id", "places_free", "places_total")
            data = CapacityChanged(**{name: getattr(row, name) for name in names})
            draft = Draft(REFERRALS, "capacity-changed", row.offer_id, data, tuple(row.needs))
            drafts.append((draft, self.stamp))
        await self.outbox.append(self.conn, drafts)

    async def _close(self, services: Sequence[str], offers: Sequence[str]) -> None:
        closed = await store.close_missing(self.conn, services, offers)
        for offer_id in closed:
            self.changes.tell(offer_id, "closed", ["accepting"])
        await self._tell(closed)

    async def _tell(self, ids: Sequence[str]) -> None:
        """Append the event of each offer that is new or changed."""
        rows = await store.read_listed(self.conn, ids) if ids else ()
        for row in rows:
            self.needs.update(row["needs"])
        await self.outbox.append(
            self.conn,
            [
                (Draft(DIRECTORY, "offer-listed", row["offer_id"], OfferListed(**row)), self.stamp)
                for row in rows
            ],
        )
