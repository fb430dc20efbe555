"""The reports that the benches send, and where somebody serves them without a person's release."""

from __future__ import annotations

import csv
import itertools
import random
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from tests.bench.wire import post

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/intake/v1/reports"
PARTNER = "bench-partner"

NEED = "education"
OTHER = "cash_assistance"
"""Two needs whose release is automatic, each served by an office of every upazila."""

_OFFICES = Path(__file__).parents[2] / "services" / "referral" / "data" / "offices.csv"
_STORY = (
    "বানানো কাহিনি: ছেলেটি বাজারের পেছনের ছোট কারখানায় ভোর ছয়টা থেকে কাজ করে, রাতেও সেখানেই থাকে। "
    "তার ভাই সাহায্য চায়। An invented story: he works from six and sleeps there. "
)


@cache
def places(count: int) -> tuple[str, ...]:
    """Return upazilas, spread over the country, where both needs are served."""
    with _OFFICES.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    both = sorted(
        {r["area_pcode"] for r in rows if NEED in r["needs"].split(";")}
        & {r["area_pcode"] for r in rows if OTHER in r["needs"].split(";")}
    )
    step = max(1, len(both) // count)
    return tuple(both[::step][:count])


def released(rng: random.Random, place: str, need: str) -> dict[str, Any]:
    """Return a partner's report that its rule releases by itself: the person may agree, and did."""
    age = rng.choice((15, 16, 17))
    return {
        "channel": "partner",
        "language": "bn",
        "about": "people",
        "reporter": {"kind": "partner_worker", "name": f"Example Worker {rng.randrange(1000)}"},
        "persons": [
            {
                "ref": "a",
                "name": f"Example Person {rng.randrange(100_000)}",
                "age": {"min": age, "max": age, "basis": "stated"},
                "sex": rng.choice(("female", "male")),
                "languages": ["bn"],
            }
        ],
        "places": [{"role": "now", "pcode": place}],
        "concerns": ["child_labour"],
        "needs": [need],
        "narrative": _STORY,
        "consent": [
            {
                "person": "a",
                "given_by": "person",
                "basis": "consent",
                "how": "spoken",
                "explained": True,
                "allows": ["refer"],
            }
        ],
    }


def told(rng: random.Random, place: str) -> dict[str, Any]:
    """Return what a person tells on the web: a story, a child, a number that may be called."""
    body = released(rng, place, NEED)
    body |= {"channel": "web", "consent": []}
    body["reporter"] = {
        "kind": "relative",
        "name": f"Example Sister {rng.randrange(1000)}",
        "phone": f"017{rng.randrange(10**8):08d}",
        "safe_contact": {"allowed": True, "channel": "call", "days": ["fr"], "hours": ["18-20"]},
    }
    body["narrative"] = _STORY * 3
    return body


def bodies(
    kind: str, seed: int, count: int, where: int, need: str = NEED, *, at: str | None = None
) -> list[bytes]:
    """Return so many bodies of a kind, `released` or `told`, over `where` places or at one."""
    rng = random.Random(seed)
    spread = places(where) if at is None else (at,)
    made = [
        released(rng, rng.choice(spread), need)
        if kind == "released"
        else told(rng, rng.choice(spread))
        for _ in range(count)
    ]
    return [msgspec.json.encode(body) for body in made]


def requests(
    rendered: list[bytes], headers: dict[str, str], path: str = PATH, *, keys: int | None = None
) -> Iterator[bytes]:
    """Yield requests for ever; with `keys`, each has an Idempotency-Key drawn from that seed."""
    if keys is None:
        yield from itertools.cycle([post(path, headers, body) for body in rendered])
    rng = random.Random(keys)
    for body in itertools.cycle(rendered):
        mark = str(UUID(int=rng.getrandbits(128), version=4))
        yield post(path, {**headers, "idempotency-key": mark}, body)
