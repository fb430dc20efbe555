"""The directory given back as HSDS 3: what came so, as it came, and every other offer told so.

Where shelters are stays out of it unless the caller has the right, and then an event says who took
them (`directory-exported`).
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Final
from uuid import uuid4

from services.referral.exchange.hsds import confidential, store, telling
from services.referral.exchange.hsds.documents import write_json
from services.referral.exchange.hsds.graph import Graph
from services.referral.exchange.hsds.mapping import provider_key
from services.referral.exchange.hsds.packing import write_package
from shared.events import DIRECTORY, DirectoryExported, Draft

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncEngine

    from shared.outbox import Outbox, Stamp

MOST: Final = 5_000_000
"""Objects of an export."""

IN_MEMORY: Final = 8_000_000
"""Bytes of a file that are kept in memory; what is more goes to a file that has no name."""


async def give(
    engine: AsyncEngine, outbox: Outbox, form: str, stamp: Stamp, *, with_confidential: bool
) -> IO[bytes]:
    """Write the directory as `json` or as a `package`; return the file, at its beginning."""
    graph = Graph(MOST)
    async with engine.begin() as conn:
        async for kind, key, body in store.read_objects(conn):
            graph.put_raw(kind, key, body)
        offers = [offer async for offer in store.read_offers(conn)]
        if with_confidential:
            told = DirectoryExported(confidential=True, form=form, objects=len(graph))
            draft = Draft(DIRECTORY, "directory-exported", str(uuid4()), told)
            await outbox.append(conn, [(draft, stamp)])
    return await asyncio.to_thread(_write, graph, offers, form, with_confidential)


def _write(
    graph: Graph,
    offers: list[dict[str, Any]],
    form: str,
    with_confidential: bool,  # noqa: FBT001  (passed on to a thread)
) -> IO[bytes]:
    add_offers(graph, offers)
    if not with_confidential:
        secret = [o for o in offers if confidential.NEEDS & {*o["needs"]}]
        shelters = {o["service_id"] or telling.uuid_of(o["offer_id"]) for o in secret}
        confidential.hide(graph, shelters)
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  (the caller closes it)
    if form == "package":
        write_package(graph, file)
    else:
        file.writelines(write_json(graph))
    file.seek(0)
    return file


def add_offers(graph: Graph, offers: list[dict[str, Any]]) -> None:
    """Tell offers that never were HSDS, and of those that were what is known better here."""
    organizations = {provider_key(graph, one): one["id"] for one in graph.of("organization")}
    stored = {*graph.keys("service")}
    several = Counter(offer["service_id"] for offer in offers)
    better = [o for o in offers if o["service_id"] in stored and several[o["service_id"]] == 1]
    for offer in better:
        _tell_better(graph, offer)
    for offer in offers:
        if offer["service_id"] in stored or telling.uuid_of(offer["offer_id"]) in stored:
            continue
        key = offer["provider_id"]
        if key not in organizations:
            organizations[key] = telling.tell_provider(graph, offer)
        telling.tell_offer(graph, offer, organizations[key], offer["name_en"])


def _tell_better(graph: Graph, offer: Mapping[str, Any]) -> None:
    row = graph.find("service", offer["service_id"]) or {}
    if offer["edited"]:
        plain = {n: v for n, v in row.items() if n not in ("minimum_age", "maximum_age")}
        graph.put("service", {**plain, **telling.counted(offer)})
    elif (row["status"] == "active") != offer["accepting"]:
        graph.put("service", {**row, "status": telling.counted(offer)["status"]})
    told = graph.children("service", row["id"], "service_capacity")
    if not told or _later(offer["capacity_at"], told[0]["updated"]):
        telling.tell_places(graph, row["id"], offer)


def _later(at: datetime | None, told: str) -> bool:
    return at is not None and at.isoformat() > datetime.fromisoformat(told).isoformat()
