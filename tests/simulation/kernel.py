"""What the statements of the kernel do: outbox, relay, inbox, parked, timers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared import inbox, outbox, parked, relay, timers
from tests.simulation.database import Row, lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulation.database import Fields, Meaning, Session

    Values = Mapping[str, Any]

LIVE = ("waiting", "replay")


def _beginning(statement: Any) -> str:
    return str(statement.text).strip()


# --- Outbox and relay --------------------------------------------------------------------------


async def heads(s: Session, v: Values) -> list[Row]:
    found = []
    for stream, subject, count in sorted(lines(v, "streams", "subjects", "counts")):
        await s.lock("outbox_heads", stream, subject)
        old = s.get("outbox_heads", stream, subject)
        sequence = (old["sequence"] if old else 0) + count
        row = {"stream": stream, "subject": subject, "sequence": sequence}
        s.put("outbox_heads", (stream, subject), row)
        found.append(Row(row))
    return found


async def append(s: Session, v: Values) -> list[Row]:
    names = ("topics", "partitions", "keys", "ids", "types", "sequences", "needs", "traces")
    columns = ("topic", "partition", "key", "event_id", "type", "sequence", "needs", "traceparent")
    for line in lines(v, *names, "values", "signatures"):
        number = s.next("outbox")
        row: Fields = dict(zip((*columns, "value", "signature"), line, strict=True))
        row |= {"id": number, "created_at": s.now, "sent_at": None}
        await s.lock("outbox", number)
        s.put("outbox", (number,), row)
    return []


def _is_new(row: Mapping[str, Any], since: Any, held: Any) -> bool:
    return row["sent_at"] is None and row["created_at"] > since and row["id"] not in held


async def glance(s: Session, v: Values) -> list[Row]:
    found = [Row(row) for row in s.rows("outbox") if _is_new(row, v["1"], v["2"])]
    found.sort(key=lambda row: (row["topic"], row["partition"], row["id"]))
    return found[: v["3"]]


async def read(s: Session, v: Values) -> list[Row]:
    shards = set(zip(v["1"], v["2"], strict=True))
    found: dict[Any, list[Row]] = {shard: [] for shard in sorted(shards)}
    for row in sorted(s.rows("outbox"), key=lambda r: r["id"]):
        mine = found.get((row["topic"], row["partition"]))
        if mine is not None and _is_new(row, v["3"], v["5"]):
            mine.append(Row(row))
    return [row for shard in found.values() for row in shard[: v["4"]]]


async def mark(s: Session, v: Values) -> list[Row]:
    for number in sorted(v["1"]):
        await s.lock("outbox", number)
        row = s.get("outbox", number)
        if row is not None and v["2"] <= row["created_at"] <= v["3"]:
            s.put("outbox", (number,), row | {"sent_at": s.now})
    return []


async def beat(s: Session, v: Values) -> list[Row]:
    for topic, partition in lines(v, "1", "2"):
        await s.lock("relays", topic, partition)
        at = s.database.world.now()
        row = {"topic": topic, "partition": partition, "pid": s.pid, "seen_at": at}
        s.put("relays", (topic, partition), row)
    return []


async def try_locks(s: Session, v: Values) -> list[Row]:
    return [Row(k=k, got=s.try_keep("advisory", v["1"], k)) for k in v["2"]]


async def end_silent(s: Session, v: Values) -> list[Row]:
    silent = s.database.world.now() - timedelta(seconds=v["2"])
    pids = {r["pid"] for r in s.rows("relays") if r["topic"] in v["1"] and r["seen_at"] < silent}
    ended = []
    for pid in sorted(pids):
        other = s.database.sessions.get(pid)
        if other is not None and any(key[0] == v["3"] for _, key in other.kept):
            other.end()
            s.database.world.count("holder ended")
            ended.append(Row(ended=True))
    return ended


async def notify(s: Session, _: Values) -> list[Row]:
    s.database.notify()
    return []


# --- Inbox -------------------------------------------------------------------------------------


async def begin_batch(s: Session, v: Values) -> list[Row]:
    consumer = v["c"]
    await s.lock("advisory", consumer, shared=True)
    if not v["ids"]:
        return [Row(fresh=None, heads=None, sequences=None, blocked=None)]
    fresh = []
    for event_id, day in lines(v, "ids", "days"):
        key = (consumer, event_id, day)
        known = ("inbox", key) in s.locks
        await s.lock("inbox", *key)
        if s.get("inbox", *key) is None:
            s.put("inbox", key, {"consumer": consumer, "event_id": event_id})
            fresh.append(event_id)
        elif not known:
            s.unlock("inbox", *key)
    mine = [r for r in s.rows("inbox_heads") if r["consumer"] == consumer]
    mine = [r for r in mine if r["subject"] in v["subjects"]]
    waiting = [r for r in s.rows("parked") if r["consumer"] == consumer and r["state"] in LIVE]
    return [
        Row(
            fresh=fresh,
            heads=[[r["stream"], r["subject"]] for r in mine],
            sequences=[r["sequence"] for r in mine],
            blocked=sorted({r["key"] for r in waiting if r["key"] in v["keys"]}),
        )
    ]


async def enter(s: Session, v: Values) -> list[Row]:
    for event_id, day in lines(v, "ids", "days"):
        key = (v["c"], event_id, day)
        await s.lock("inbox", *key)
        s.put("inbox", key, {"consumer": v["c"], "event_id": event_id})
    return []


async def give_back(s: Session, v: Values) -> list[Row]:
    for row in s.rows("inbox"):
        if row["consumer"] == v["c"] and row["event_id"] in v["ids"]:
            key = (v["c"], row["event_id"], inbox._day(row["event_id"]))
            await s.lock("inbox", *key)
            s.put("inbox", key, None)
    return []


async def move_heads(s: Session, v: Values) -> list[Row]:
    for stream, subject, sequence in lines(v, "s", "j", "n"):
        key = (v["c"], stream, subject)
        await s.lock("inbox_heads", *key)
        old = s.get("inbox_heads", *key)
        top = max(sequence, old["sequence"] if old else 0)
        row = {"consumer": v["c"], "stream": stream, "subject": subject, "sequence": top}
        s.put("inbox_heads", key, row)
    return []


async def own(s: Session, v: Values) -> list[Row]:
    await s.lock("advisory", v["c"])
    return []


async def begin_attempts(s: Session, v: Values) -> list[Row]:
    found, again = [], v["again"]
    for topic, partition, offset in sorted(lines(v, "t", "p", "o")):
        key = (v["c"], topic, partition, offset)
        await s.lock("attempts", *key)
        old = s.get("attempts", *key)
        deaths = 1 if old is None else old["deaths"] + again
        place = {"topic": topic, "partition": partition, "offset": offset}
        s.put("attempts", key, {"consumer": v["c"], **place, "deaths": deaths})
        before = deaths - (1 if old is None or again else 0)
        found.append(Row(place, deaths=before))
    return found


async def end_attempts(s: Session, v: Values) -> list[Row]:
    for place in lines(v, "t", "p", "o"):
        await s.lock("attempts", v["c"], *place)
        s.put("attempts", (v["c"], *place), None)
    return []


async def park(s: Session, v: Values) -> list[Row]:
    new = []
    known = {(r["consumer"], r["topic"], r["partition"], r["offset"]) for r in s.rows("parked")}
    for t, p, o, k, value, h, r, d, state in lines(v, *"tpokvhrds"):
        await s.lock("parked place", v["c"], t, p, o)
        if (v["c"], t, p, o) in known:
            continue
        number = s.next("parked")
        await s.lock("parked", number)
        row = {"id": number, "consumer": v["c"], "topic": t, "partition": p, "offset": o, "key": k}
        row |= {"value": value, "headers": h, "reason": r, "detail": d, "state": state}
        s.put("parked", (number,), row)
        new.append(Row(topic=t, partition=p, offset=o))
    return new


# --- Parked ------------------------------------------------------------------------------------


async def _change(s: Session, wanted: Any, fields: Any) -> list[Row]:
    """Lock the parked rows that are wanted, look again, and change them."""
    done = []
    for row in sorted(filter(wanted, s.rows("parked")), key=lambda r: r["id"]):
        await s.lock("parked", row["id"])
        fresh = s.get("parked", row["id"])
        if fresh is not None and wanted(fresh):
            s.put("parked", (row["id"],), fresh | fields(fresh))
            done.append(Row(id=row["id"], consumer=row["consumer"], value=row["value"]))
    return done


async def void(s: Session, v: Values) -> list[Row]:
    def wanted(r: Fields) -> bool:
        return r["consumer"] == v["c"] and r["key"] in v["k"] and r["state"] in LIVE

    return await _change(s, wanted, lambda _: {"state": "void"})


async def keys(s: Session, v: Values) -> list[Row]:
    groups: dict[Any, list[Fields]] = {}
    for row in sorted(s.rows("parked"), key=lambda r: r["id"]):
        if row["consumer"] in v["consumers"] and row["state"] in LIVE:
            place = (row["consumer"], row["key"], row["id"] if row["key"] is None else 0)
            groups.setdefault(place, []).append(row)
    return [
        Row(consumer=rows[0]["consumer"], key=rows[0]["key"], first=rows[0]["id"])
        for rows in groups.values()
        if rows[0]["state"] == "replay" or rows[0]["reason"] == "behind"
    ]


async def oldest(s: Session, v: Values) -> list[Row]:
    mine = [r for r in s.rows("parked") if (r["consumer"], r["key"]) == (v["c"], v["k"])]
    mine = sorted((r for r in mine if r["state"] in LIVE), key=lambda r: r["id"])
    return [
        Row(id=r["id"], may=r["state"] == "replay" or r["reason"] == "behind") for r in mine[:1]
    ]


async def lock_parked(s: Session, v: Values) -> list[Row]:
    if s.get("parked", v["id"]) is None:
        return []
    await s.lock("parked", v["id"])
    row = s.get("parked", v["id"])
    return [Row(row)] if row is not None and row["state"] in LIVE else []


async def done(s: Session, v: Values) -> list[Row]:
    return await _change(s, lambda r: r["id"] == v["id"], lambda _: {"state": "done"})


def _same_key(s: Session, v: Values) -> Any:
    asked = s.get("parked", v["id"]) or {"consumer": None, "key": None}

    def wanted(r: Fields) -> bool:
        same = r["id"] == v["id"] or (r["key"] is not None and r["key"] == asked["key"])
        return bool(r["consumer"] == asked["consumer"] and same and r["state"] in LIVE)

    return wanted


async def put_back(s: Session, v: Values) -> list[Row]:
    def fields(r: Fields) -> Fields:
        if r["id"] != v["id"]:
            return {"state": "waiting"}
        reason = v["r"] if r["reason"] == "behind" else r["reason"]
        return {"state": "waiting", "reason": reason, "detail": v["d"]}

    return await _change(s, _same_key(s, v), fields)


async def ask_replay(s: Session, v: Values) -> list[Row]:
    return await _change(s, _same_key(s, v), lambda _: {"state": "replay"})


# --- Timers ------------------------------------------------------------------------------------


async def schedule(s: Session, v: Values) -> list[Row]:
    for timer_id, subject, due, payload in lines(v, "ids", "subjects", "due", "payloads"):
        key = (v["kind"], subject)
        await s.lock("timers", *key)
        row = {"id": timer_id, "kind": v["kind"], "subject": subject, "due_at": due}
        row |= {"payload": payload, "attempt": v["attempt"], "set_at": v["set_at"]}
        s.put("timers", key, row)
    return []


async def cancel(s: Session, v: Values) -> list[Row]:
    for subject in v["subjects"]:
        if s.get("timers", v["kind"], subject) is not None:
            await s.lock("timers", v["kind"], subject)
            s.put("timers", (v["kind"], subject), None)
    return []


async def due(s: Session, v: Values) -> list[Row]:
    mine = [r for r in s.rows("timers") if r["kind"] in v["kinds"]]
    mine = [
        r for r in mine if r["due_at"] <= v["now"] or (r["set_at"] and r["set_at"] > v["later"])
    ]
    return [Row(r) for r in sorted(mine, key=lambda r: (r["due_at"], r["id"]))]


def _timer(s: Session, timer_id: Any) -> Fields | None:
    return next((r for r in s.rows("timers") if r["id"] == timer_id), None)


async def take_timer(s: Session, v: Values) -> list[Row]:
    row = _timer(s, v["id"])
    if row is None:
        return []
    await s.lock("timers", row["kind"], row["subject"])
    if _timer(s, v["id"]) is None:
        return []
    s.put("timers", (row["kind"], row["subject"]), None)
    return [Row(id=v["id"])]


async def put_off(s: Session, v: Values) -> list[Row]:
    row = _timer(s, v["id"])
    if row is None:
        return []
    key = (row["kind"], row["subject"])
    await s.lock("timers", *key)
    row = _timer(s, v["id"])
    if row is not None:
        set_at = v["at"] if row["set_at"] is not None else None
        later = {"due_at": v["due"], "attempt": row["attempt"] + 1, "set_at": set_at}
        s.put("timers", key, row | later)
    return []


async def one(_s: Session, _v: Values) -> list[Row]:
    return [Row(one=1)]


KERNEL: dict[str, Meaning] = {
    _beginning(outbox._HEADS): heads,
    _beginning(outbox._INSERT): append,
    relay._GLANCE.strip(): glance,
    relay._READ.strip(): read,
    relay._MARK.strip(): mark,
    relay._BEAT.strip(): beat,
    relay._END_SILENT.strip(): end_silent,
    "SELECT k, pg_try_advisory_lock": try_locks,
    _beginning(outbox._NOTIFY): notify,
    _beginning(inbox._BEGIN): begin_batch,
    "DELETE FROM inbox WHERE": give_back,
    "INSERT INTO inbox (consumer": enter,
    "INSERT INTO inbox_heads": move_heads,
    "SELECT pg_advisory_xact_lock": own,
    "INSERT INTO attempts": begin_attempts,
    "DELETE FROM attempts": end_attempts,
    "INSERT INTO parked": park,
    "UPDATE parked SET state = 'void'": void,
    _beginning(parked._KEYS): keys,
    "SELECT id, state = 'replay' OR reason = 'behind' AS may": oldest,
    'SELECT topic, partition, "offset", key, value, headers': lock_parked,
    "UPDATE parked SET state = 'done'": done,
    "UPDATE parked p SET state = 'waiting'": put_back,
    "UPDATE parked p SET state = 'replay'": ask_replay,
    "INSERT INTO timers": schedule,
    "DELETE FROM timers WHERE id IN": cancel,
    "DELETE FROM timers WHERE id = ": take_timer,
    "UPDATE timers SET due_at = :due": put_off,
    _beginning(timers._DUE): due,
    "SELECT 1": one,
}
"""Every statement of the kernel by how it begins, and what it does."""
