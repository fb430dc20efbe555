"""Large directories and pasts of referral, loaded by COPY as the superuser (rows are guarded)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg
import msgspec

from services.referral.eligibility import Offer, Question, Record
from services.referral.explaining import explain
from services.referral.routing import route
from shared import places
from shared.vocabulary import Need

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDS: Final = tuple(str(need) for need in Need)
SEED: Final = 20_26
_LEVELS: Final = {"thana": "metro_thana"}


def areas_of_the_country() -> list[places.Place]:
    """Return every place but unions."""
    return [p for p in places.all_places().values() if p.level is not places.Level.UNION]


def make_offers(count: int) -> Iterator[Offer]:
    """Make offers of every need over every place, most of them near, a few of the country."""
    chance = random.Random(SEED)
    areas = areas_of_the_country()
    near = [p for p in areas if p.level not in (places.Level.COUNTRY, places.Level.DIVISION)]
    at = datetime.now(UTC)
    for number in range(count):
        place = chance.choice(areas) if number % 50 == 0 else chance.choice(near)
        yield Offer(
            offer_id=f"bulk-{number}",
            provider_id=f"bulk-{number // 4}",
            needs=frozenset({NEEDS[number % len(NEEDS)]}),
            area_level=_LEVELS.get(place.level, str(place.level)),
            area_pcode=place.pcode,
            sex=chance.choice(["any", "any", "female", "male"]),
            max_age=chance.choice([None, 17, 60]),
            kinds=frozenset({"ngo"}),
            enrolment=chance.choice(["active", "active", "listed"]),
            places_free=chance.choice([None, 0, 3, 9]),
            capacity_at=at - timedelta(days=chance.choice([1, 5, 20])),
            open_referrals=chance.randrange(12),
            languages=frozenset({"bn"}),
            schedules=("FREQ=WEEKLY;BYDAY=SU,MO,TU,WE,TH|09:00|17:00||",),
            records=(
                (NEEDS[number % len(NEEDS)], Record(chance.randrange(9), 9, 12.0, number % 7)),
            ),
        )


_COLUMNS: Final = (
    *("offer_id", "provider_id", "needs", "area_level", "area_pcode", "max_age", "sex"),
    *("enrolment", "places_free", "capacity_at", "open_referrals", "languages", "schedules"),
    "records",
)


async def load_offers(admin: str, count: int) -> None:
    """Load so many offers with their providers and their look-up."""
    conn = await asyncpg.connect(admin)
    offers = list(make_offers(count))
    try:
        await conn.copy_records_to_table(
            "providers",
            schema_name="referral",
            records=[(key, "ngo", ["ngo"], key, key) for key in {o.provider_id for o in offers}],
            columns=["provider_id", "kind", "kinds", "name_en", "name_bn"],
        )
        await conn.copy_records_to_table(
            "offers",
            schema_name="referral",
            records=[tuple(_plain(getattr(o, name)) for name in _COLUMNS) for o in offers],
            columns=list(_COLUMNS),
        )
        await conn.copy_records_to_table(
            "offer_needs",
            schema_name="referral",
            records=[(need, o.area_pcode, o.offer_id) for o in offers for need in o.needs],
            columns=["need", "area_pcode", "offer_id"],
        )
        await conn.execute("ANALYZE")
    finally:
        await conn.close()


def _plain(value: Any) -> Any:
    match value:
        case frozenset():
            return sorted(value)
        case tuple() if value and isinstance(value[0], tuple):
            return msgspec.json.encode(dict(value)).decode()
        case tuple():
            return list(value)
    return value


@dataclass(frozen=True, slots=True)
class Past:
    """Recorded decisions: how many there are, and which waited."""

    decisions: int
    waited: int


async def load_past(admin: str, count: int, days: int) -> Past:
    """Load so many recorded decisions, one a case, spread over the last days."""
    conn = await asyncpg.connect(admin)
    kinds, now = list(islice(_decisions(), 400)), datetime.now(UTC)
    waited = 0
    try:
        for first in range(0, count, 5000):
            cases, referrals, told = [], [], []
            for number in range(first, min(first + 5000, count)):
                need, explanation, chosen, waits = kinds[number % len(kinds)]
                case_id, referral_id = UUID(int=2 * number + 2), UUID(int=2 * number + 3)
                at = now - timedelta(seconds=days * 86_400 * (count - number) / (count + 1))
                state = "waiting" if waits else "assigned"
                waited += waits
                cases.append((case_id, 1, "open", '{"status":"open"}'))
                referrals.append(
                    (referral_id, case_id, need, "T2", state, 1, 1, chosen, '{"state":"x"}')
                )
                told.append((referral_id, explanation, at))
            for table, columns, rows in (
                ("cases", "case_id sequence status facts", cases),
                (
                    "referrals",
                    "referral_id case_id need urgency state attempt version offer_id body",
                    referrals,
                ),
                ("explanations", "referral_id explanation changed_at", told),
            ):
                await conn.copy_records_to_table(
                    table, schema_name="referral", records=rows, columns=columns.split()
                )
        await conn.execute("ANALYZE")
    finally:
        await conn.close()
    return Past(count, waited)


def _decisions() -> Iterator[tuple[str, str, str | None, bool]]:
    """Decide cases of every need: need, explanation, chosen, and whether it waits."""
    by_need: dict[str, list[Offer]] = {}
    for offer in make_offers(9_000):
        by_need.setdefault(next(iter(offer.needs)), []).append(offer)
    chance, at = random.Random(SEED), datetime.now(UTC)
    upazilas = [p for p in areas_of_the_country() if p.level is places.Level.UPAZILA]
    while True:
        need, place = chance.choice(NEEDS), chance.choice(upazilas)
        question = Question(
            need=need,
            areas=places.ancestors(place.pcode),
            age=chance.choice([None, 9, 15, 30]),
            sex=chance.choice(["female", "male", "unknown"]),
            places_needed=chance.choice([1, 1, 4]),
        )
        near = [o for o in by_need[need] if o.area_pcode in question.areas]
        decision = route(question, near, at)
        text = msgspec.json.encode(explain(decision, question, at)).decode()
        chosen = decision.chosen.offer_id if decision.chosen else None
        yield need, text, chosen, chosen is None and not decision.open_to_persons
