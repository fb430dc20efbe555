"""What must be true of every schedule: nothing lost, nothing twice, in order, timers once, safety.

Each thing that is wrong is one line that begins with the name of its invariant.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from services.referral.consumers import CASE_TYPES, ENDING, PLANNING
from services.referral.referral import LIVE, PROMISED, Referral
from shared.events import SAFETY_TYPES
from tests.simulation import clerks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.centre import Centre
    from tests.simulation.database import Fields

__all__ = ["CASE_TYPES", "INVARIANTS", "judge", "unfinished", "unhandled_safety"]

INVARIANTS = ("lost", "twice", "order", "inversion", "timer", "safety")


def rows(centre: Centre, database: str, table: str) -> list[Fields]:
    return [row for _, row in sorted(centre.databases[database].tables[table].items())]


def effects(centre: Centre) -> list[Fields]:
    return [row for name in ("referral", "reader") for row in rows(centre, name, "effects")]


def readers(centre: Centre, event: Fields) -> Iterator[str]:
    """Give the consumers that must handle an event."""
    yield "reader"
    if event["topic"] == "cases" and not centre.small:
        yield "referral.cases"
        if event["type"] in PLANNING | ENDING:
            yield f"referral.rule.{clerks.NEED}"


def _missing(centre: Centre) -> list[tuple[str, Fields]]:
    """Return what somebody should have handled and did not, nor was it voided."""
    done = {(e["consumer"], e["event_id"]) for e in effects(centre)}
    voided = {
        (row["consumer"], bytes(row["value"]))
        for name in ("referral", "reader")
        for row in rows(centre, name, "parked")
        if row["state"] == "void"
    }
    outbox = rows(centre, "intake", "outbox") + rows(centre, "referral", "outbox")
    return [
        (reader, event)
        for event in outbox
        for reader in readers(centre, event)
        if (reader, event["event_id"]) not in done and (reader, event["value"]) not in voided
    ]


def _told(reader: str, event: Fields) -> str:
    return f"{event['type']} {event['sequence']} of {event['key'].decode()[:8]} for {reader}"


def unhandled_safety(centre: Centre) -> list[str]:
    """Return safety events that wait although only decisions are broken; and what is not told."""
    late = [m for m in _missing(centre) if m[1]["type"] in SAFETY_TYPES]
    wrong = [f"safety: waits behind what is parked: {_told(*m)}" for m in late]
    return wrong + [f"lost: never stored: {c.type}" for c in centre.script.changes if not c.told]


def unfinished(centre: Centre) -> list[str]:
    """Return what was lost: not sent, not handled; and timers that should have fired."""
    wrong = [f"lost: {_told(*missing)}" for missing in _missing(centre)]
    for name in ("intake", "referral"):
        unsent = [r for r in rows(centre, name, "outbox") if r["sent_at"] is None]
        wrong += [f"lost: never sent: {row['type']}" for row in unsent]
    for name in ("referral", "reader"):
        left = [r for r in rows(centre, name, "parked") if r["state"] in ("waiting", "replay")]
        wrong += [f"lost: still parked as {row['reason']}" for row in left]
    late = centre.world.now() - timedelta(seconds=5)
    for timer in rows(centre, "referral", "timers"):
        if max(timer["due_at"], timer["set_at"]) < late:
            wrong.append(f"timer: {timer['kind']} never fired")
    return wrong


def judge(centre: Centre) -> list[str]:
    """Return everything that is wrong in the end."""
    wrong = []
    counted = Counter((e["consumer"], e["event_id"]) for e in effects(centre))
    for (consumer, _), times in counted.items():
        if times > 1:
            what = "timer: fired" if consumer == "timers" else "twice: handled"
            wrong.append(f"{what} {times} times by {consumer}")
    wrong += _order(centre) + _timers(centre) + _referrals(centre)
    for name in ("referral", "reader"):
        upside = [r for r in rows(centre, name, "parked") if r["reason"] == "inversion"]
        wrong += [f"inversion: met by {row['consumer']}" for row in upside]
    return wrong


def _order(centre: Centre) -> list[str]:
    """Every consumer handles the events of a case in the order of their sequence."""
    wrong = []
    heads: dict[Any, int] = defaultdict(int)
    for effect in effects(centre):
        if effect["consumer"] == "timers":
            continue
        place = (effect["consumer"], effect["stream"], effect["subject"])
        if effect["sequence"] < heads[place]:
            wrong.append(f"order: {effect['sequence']} after {heads[place]} by {place[0]}")
        heads[place] = max(heads[place], effect["sequence"])
    return wrong


def _timers(centre: Centre) -> list[str]:
    fired = [e for e in effects(centre) if e["consumer"] == "timers"]
    return ["timer: fired too early" for e in fired if e["at"] < e["due_at"]]


def _referrals(centre: Centre) -> list[str]:
    """What the domain promises: planned once, nothing goes on without consent, places add up."""
    wrong = []
    known = [
        msgspec.json.decode(row["body"], type=Referral)
        for row in rows(centre, "referral", "referrals")
    ]
    told = {r["event_id"]: r for r in rows(centre, "intake", "outbox")}
    last = Counter[str]()
    for row in told.values():
        last[row["key"].decode()] = max(last[row["key"].decode()], row["sequence"])
    cases = {str(row["case_id"]): row for row in rows(centre, "referral", "cases")}
    for case_id, sequence in {} if centre.small else last.items():
        case = cases.get(case_id)
        if case is None or case["sequence"] != sequence:
            wrong.append("lost: the case row is behind")
            continue
        mine = [r for r in known if str(r.case_id) == case_id]
        status = msgspec.json.decode(case["facts"])["status"]
        live = [r for r in mine if r.state in LIVE]
        if case["withdrawn"] and live:
            wrong.append(f"safety: {live[0].state} although consent was withdrawn")
        elif status == "closed" and any(r.state not in PROMISED for r in live):
            wrong.append("safety: an offer goes on although the case is closed")
        elif not mine and not case["withdrawn"] and status == "open":
            wrong.append("lost: the need was never planned")
    for offer in rows(centre, "referral", "offers"):
        free = offer["places_free"]
        held = sum(r.reserved for r in known if r.offer_id == offer["offer_id"] and r.open)
        if free is not None and free + held != offer["places_total"]:
            wrong.append(f"twice: {held} places held and {free} free of {offer['places_total']}")
    numbers = defaultdict(list)
    for entry in rows(centre, "referral", "feed_entries"):
        numbers[entry["provider_id"]].append(entry["seq"])
    wrong += [
        "lost: a number of a feed"
        for seqs in numbers.values()
        if seqs != [*range(1, len(seqs) + 1)]
    ]
    return wrong
