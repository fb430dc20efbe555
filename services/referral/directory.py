"""The directory's files: read, checked and loaded into the database, again and again without harm.

`python -m services.referral.directory load --profile demonstration|pilot` (needs `DATABASE_URL`).
Loading appends no event: only a change through the interface is one (`offer-listed`).
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import sys
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from services.referral import listing_store
from services.referral.calendars import parse_hours
from shared.clock import now
from shared.database import make_engine
from shared.vocabulary import Enrolment, Need, Reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

DATA: Final = Path(__file__).parent / "data"
PROFILES: Final = {
    "demonstration": (Enrolment.ACTIVE, ("offices.csv", "demonstration_offers.csv")),
    "pilot": (Enrolment.LISTED, ("offices.csv",)),
}
"""What each profile loads, and how its offers are enrolled."""

NAMESPACE: Final = UUID("5f0c1d0e-6a9b-5a63-9f6e-2f7b6f5f3a10")
"""Namespace of offer ids (UUIDv5): the same row of the directory has the same id everywhere."""

_COURT: Final = "entry by court order"


def offer_id_of(provider_key: str, row: int) -> str:
    """Return the id of a provider's row in the directory; `row` counts from 0 for each provider."""
    return str(uuid5(NAMESPACE, f"{provider_key}/{row}"))


@cache
def _kinds() -> Mapping[str, list[str]]:
    return tomllib.loads((DATA / "kinds.toml").read_text("utf-8"))


def kinds_of(provider_key: str, kind: str) -> list[str]:
    """Return every kind of a body: its own, and what its key says (`police`, `up_chair`)."""
    more = [k for start, kinds in _kinds().items() if provider_key.startswith(start) for k in kinds]
    return [kind, *more]


def read_profile(profile: str) -> Iterator[dict[str, str]]:
    """Read the rows of a profile's files."""
    _, files = PROFILES[profile]
    for name in files:
        with (DATA / name).open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)


def providers_of(rows: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Return one provider for each key, as the store takes it."""
    return list(
        {
            row["provider_key"]: {
                "provider_id": row["provider_key"],
                "kind": row["kind"],
                "kinds": ";".join(kinds_of(row["provider_key"], row["kind"])),
                "name_en": row["name_en"],
                "name_bn": row["name_bn"],
                "note": row["note"],
            }
            for row in rows
        }.values()
    )


def offers_of(rows: Iterable[Mapping[str, str]], enrolment: Enrolment) -> list[dict[str, Any]]:
    """Return the offers of rows, as the store takes them.

    Raises:
        ValueError: a need is not one of the vocabulary, or a number is none.

    """
    seen: Counter[str] = Counter()
    offers = []
    for row in rows:
        key = row["provider_key"]
        for need in row["needs"].split(";"):
            Need(need)
        offers.append(
            {
                "offer_id": offer_id_of(key, seen[key]),
                "provider_id": key,
                "needs": row["needs"],
                "area_level": row["area_level"],
                "area_pcode": row["area_pcode"],
                "min_age": _number(row, "min_age"),
                "max_age": _number(row, "max_age"),
                "sex": row["sex"],
                "hours": row["hours"],
                "note": row["note"],
                "enrolment": str(enrolment),
                "reach": _reach(row, enrolment),
                "mode": row.get("mode") or ("phone" if row["kind"] == "helpline" else "in_person"),
                "languages": row.get("languages") or "bn",
                "accepting": True,
                "serves_hijra": _flag(row, "serves_hijra"),
                "accepts_children": _flag(row, "accepts_children"),
                "max_boy_age_with_mother": _number(row, "max_boy_age_with_mother"),
                "step_free": _flag(row, "step_free"),
                "sign_language": _flag(row, "sign_language"),
                "court_order": _COURT in row["note"],
                "schedules": "\n".join(parse_hours(row["hours"])),
                "latitude": None,
                "longitude": None,
                "trained_until": None,
                "accredited_until": None,
                "places_total": _number(row, "places_total"),
                "places_free": _number(row, "places_free"),
            }
        )
        seen[key] += 1
    return offers


def _number(row: Mapping[str, str], name: str) -> int | None:
    return int(row[name]) if row.get(name) else None


def _flag(row: Mapping[str, str], name: str) -> bool | None:
    return row[name] == "true" if row.get(name) else None


def _reach(row: Mapping[str, str], enrolment: Enrolment) -> str:
    if enrolment is Enrolment.ACTIVE:
        return str(Reach.SYSTEM)
    return str(Reach.CALL if row["kind"] == "helpline" else Reach.LETTER)


async def load(engine: AsyncEngine, profile: str) -> tuple[int, int]:
    """Load a profile in one transaction; return how many offers there are, and how many changed."""
    rows = list(read_profile(profile))
    offers = offers_of(rows, PROFILES[profile][0])
    async with engine.begin() as conn:
        await listing_store.save_providers(conn, providers_of(rows), edited=False)
        changed = await listing_store.save_offers(conn, offers, now(), edited=False)
    return len(offers), len(changed)


async def _load_and_tell(url: str, profile: str) -> None:
    engine = make_engine(url, size=1, name="referral directory")
    try:
        offers, changed = await load(engine, profile)
    finally:
        await engine.dispose()
    sys.stdout.write(f"directory {profile}: {offers} offers, {changed} new or changed\n")


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m services.referral.directory")
    commands = parser.add_subparsers(required=True, dest="command")
    loading = commands.add_parser("load", help="load the files of a profile")
    loading.add_argument("--profile", choices=sorted(PROFILES), default="demonstration")
    given = parser.parse_args(words)
    url = os.environ.get("DATABASE_URL")
    if not url:
        sys.exit("pashe: DATABASE_URL is not set")
    asyncio.run(_load_and_tell(url, given.profile))


if __name__ == "__main__":
    main()
