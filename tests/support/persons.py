"""Made-up persons to count: places, ages and channels as uneven as life."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from services.audit.figures.counting import districts_of_the_country
from services.audit.figures.person import CENTRE, Help, Person
from shared.vocabulary import Channel, Concern, Need, Sex

AT = datetime(2026, 7, 9, tzinfo=UTC)


def make_persons(count: int, seed: int) -> list[Person]:
    """Make persons of one quarter, few of them hijra, few by some channels, most in few places."""
    chance = random.Random(seed)
    places = sorted(districts_of_the_country())
    weights = [chance.paretovariate(1) for _ in places]
    made = []
    for _ in range(count):
        person = Person(
            sequence=1,
            opened=AT,
            district=chance.choices([*places, None], [*weights, 2])[0],
            age=chance.choice([None, *range(1, 30)]),
            sex=str(chance.choices(list(Sex), [60, 30, 1, 1, 5])[0]),
            channel=str(chance.choices(list(Channel), [30, 20, 5, 5, 5, 5, 10, 30, 10])[0]),
            initiative=chance.choices([CENTRE, "example-one", "example-two"], [90, 8, 1])[0],
            concerns=[str(c) for c in chance.sample(list(Concern), chance.choice([1, 1, 2]))],
        )
        for need in chance.sample(list(Need), chance.choice([0, 1, 1, 2, 3])):
            person.helps[str(need)] = _help(chance)
        made.append(person)
    return made


def _help(chance: random.Random) -> Help:
    help_ = Help(planned=AT, declined=chance.random() < 0.2)
    if chance.random() < 0.8:
        help_.assigned = AT
        if chance.random() < 0.8:
            help_.accepted = AT + timedelta(hours=chance.expovariate(0.05))
            help_.contacted = AT if chance.random() < 0.8 else None
            help_.delivered = AT if chance.random() < 0.5 else None
            help_.failed = chance.random() < 0.1
    return help_
