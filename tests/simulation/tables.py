"""What the statements of referral do that a case's way through it meets, and what the rig adds."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from services.referral import store
from tests.simulation.database import Row, lines
from tests.simulation.kernel import KERNEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.referral.eligibility import Offer
    from tests.simulation.database import Database, Fields, Meaning, Session

    Values = Mapping[str, Any]


def put_offer(database: Database, offer: Offer) -> None:
    """Put an offer into the directory before anything runs."""
    row = asdict(offer) | {"places_total": offer.places_free, "records": None}
    database.tables["offers"][offer.offer_id,] = row


async def begin_cases(s: Session, v: Values) -> list[Row]:
    made = []
    for case_id, facts in lines(v, "ids", "facts"):
        known = s.get("cases", case_id) is not None
        if not known:
            await s.lock("cases", case_id)
            known = s.get("cases", case_id) is not None
        if not known:
            row = {"case_id": case_id, "sequence": 0, "facts": facts, "withdrawn": False}
            s.put("cases", (case_id,), row)
            made.append(Row(case_id=case_id))
    return made


async def lock_cases(s: Session, v: Values) -> list[Row]:
    found = []
    for case_id in sorted(v["ids"]):
        if s.get("cases", case_id) is not None:
            await s.lock("cases", case_id)
            if (row := s.get("cases", case_id)) is not None:
                found.append(Row(row))
    return found


async def save_cases(s: Session, v: Values) -> list[Row]:
    for case_id, sequence, facts, withdrawn in lines(v, "ids", "sequences", "facts", "withdrawn"):
        await s.lock("cases", case_id)
        row = s.get("cases", case_id)
        if row is not None and row["sequence"] < sequence:
            new = {"sequence": sequence, "facts": facts, "withdrawn": withdrawn}
            s.put("cases", (case_id,), row | new)
    return []


async def lock_referrals(s: Session, v: Values) -> list[Row]:
    mine = [r["referral_id"] for r in s.rows("referrals") if r["case_id"] in v["ids"]]
    found = []
    for referral_id in sorted(mine):
        await s.lock("referrals", referral_id)
        row = s.get("referrals", referral_id)
        if row is not None:
            found.append(Row(body=row["body"]))
    return found


async def save_referrals(s: Session, v: Values) -> list[Row]:
    names = ("referral_id", "case_id", "need", "state", "provider_id", "offer_id", "body")
    for line in sorted(lines(v, *names), key=lambda one: one[0]):
        await s.lock("referrals", line[0])
        s.put("referrals", (line[0],), dict(zip(names, line, strict=True)))
    return []


async def find_referral(s: Session, v: Values) -> list[Row]:
    row = s.get("referrals", v["id"])
    return [Row(body=row["body"])] if row is not None else []


async def candidates(s: Session, v: Values) -> list[Row]:
    offers = s.rows("offers")
    return [
        Row({"need": need, "area": area} | offer)
        for need, area in lines(v, "needs", "areas")
        for offer in offers
        if need in offer["needs"] and offer["area_pcode"] == area
    ]


async def around(s: Session, v: Values) -> list[Row]:
    found = [o for o in s.rows("offers") if v["need"] in o["needs"]]
    by_area = {area: n for n, area in enumerate(v["areas"])}
    found = [o for o in found if o["area_pcode"] in by_area]
    return [Row(o) for o in sorted(found, key=lambda o: by_area[o["area_pcode"]])]


async def offers(s: Session, v: Values) -> list[Row]:
    return [Row(o) for o in s.rows("offers") if o["offer_id"] in v["ids"]]


async def lock_counted(s: Session, v: Values) -> list[Row]:
    found = []
    for offer_id in sorted(v["ids"]):
        offer = s.get("offers", offer_id)
        if offer is not None and offer["places_free"] is not None:
            await s.lock("offers", offer_id)
            found.append(Row(s.get("offers", offer_id) or {}))
    return found


async def move_places(s: Session, v: Values) -> list[Row]:
    for offer_id, places, loads in lines(v, "ids", "places", "loads"):
        await s.lock("offers", offer_id)
        offer = s.get("offers", offer_id)
        if offer is None:
            continue
        free = offer["places_free"]
        if free is not None:
            free = min(max(0, free + places), offer["places_total"])
        load = max(0, offer["open_referrals"] + loads)
        s.put("offers", (offer_id,), offer | {"places_free": free, "open_referrals": load})
    return []


async def take_numbers(s: Session, v: Values) -> list[Row]:
    found = []
    for name, count in sorted(lines(v, "names", "counts")):
        await s.lock("feeds", name)
        old = s.get("feeds", name)
        row = {"provider_id": name, "seq": (old["seq"] if old else 0) + count}
        s.put("feeds", (name,), row)
        found.append(Row(row))
    return found


async def save_entries(s: Session, v: Values) -> list[Row]:
    names = ("provider_id", "seq", "event_id", "type", "referral_id", "body")
    for line in lines(v, *names):
        await s.lock("feed_entries", line[0], line[1])
        assert s.get("feed_entries", line[0], line[1]) is None, "a number was given twice"
        s.put("feed_entries", (line[0], line[1]), dict(zip(names, line, strict=True)))
    return []


async def save_explanations(s: Session, v: Values) -> list[Row]:
    for referral_id, body in lines(v, "ids", "bodies"):
        await s.lock("explanations", referral_id)
        s.put("explanations", (referral_id,), {"explanation": body})
    return []


# --- What the rig itself keeps -----------------------------------------------------------------


async def effect(s: Session, v: Values) -> list[Row]:
    for line in v["lines"]:
        number = s.next("effects")
        await s.lock("effects", number)
        row: Fields = dict(line) | {"at": s.database.world.now()}
        s.put("effects", (number,), row)
    return []


async def lock_facts(s: Session, v: Values) -> list[Row]:
    await s.lock("known", v["case"])
    row = s.get("known", v["case"])
    return [Row(row)] if row is not None else []


async def save_facts(s: Session, v: Values) -> list[Row]:
    s.put("known", (v["case"],), {"facts": v["facts"]})
    return []


async def outbox_has(s: Session, v: Values) -> list[Row]:
    return [Row(event_id=r["event_id"]) for r in s.rows("outbox") if r["event_id"] in v["ids"]]


async def waiting(s: Session, _: Values) -> list[Row]:
    rows = sorted(s.rows("parked"), key=lambda r: r["id"])
    return [Row(id=r["id"]) for r in rows if r["state"] == "waiting"]


async def assigned(s: Session, _: Values) -> list[Row]:
    bodies = (msgspec.json.decode(r["body"]) for r in s.rows("referrals"))
    found = sorted(bodies, key=lambda r: str(r["referral_id"]))
    return [Row(r) for r in found if r["state"] in ("assigned", "accepted")]


MEANINGS: dict[str, Meaning] = KERNEL | {
    "INSERT INTO cases (case_id": begin_cases,
    "SELECT case_id, sequence, facts, withdrawn FROM cases WHERE case_id = ANY": lock_cases,
    "UPDATE cases c SET sequence": save_cases,
    "SELECT body FROM referrals WHERE case_id = ANY": lock_referrals,
    str(store._SAVE.text).strip(): save_referrals,
    "SELECT body FROM referrals WHERE referral_id = :id": find_referral,
    "SELECT n.need, n.area_pcode AS area": candidates,
    "WITH t AS (SELECT * FROM unnest((SELECT CAST(:ids AS text[])), CAST(:places": move_places,
    "INSERT INTO feeds AS f": take_numbers,
    "INSERT INTO feed_entries": save_entries,
    "INSERT INTO explanations": save_explanations,
    "rig: effect": effect,
    "rig: lock facts": lock_facts,
    "rig: save facts": save_facts,
    "rig: outbox has": outbox_has,
    "rig: waiting": waiting,
    "rig: assigned": assigned,
}
"""Every statement that a case's way through the product meets, by how it begins."""


@cache
def find(sql: str) -> Meaning | None:
    """Return what a statement does; None if it has no meaning here."""
    plain = sql.strip()
    if plain.startswith("SELECT o.offer_id, o.provider_id"):
        if "FOR UPDATE OF o" in plain:
            return lock_counted
        return around if "WITH ORDINALITY" in plain else offers
    return next((done for start, done in MEANINGS.items() if plain.startswith(start)), None)
