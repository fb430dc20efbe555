"""A made set of reports whose truth is known: who is whom, and what is one incident.

Everything is invented, from a seed. Names are written in Bangla or in any Latin spelling, ages are
told wrong, phones belong to a mother, a shop or a committee member who reports many; there are
twins, siblings, namesakes next door, and people who come again months later.
"""

from __future__ import annotations

import random
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from shared import places

BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)

_NAMES: Final = tomllib.loads(
    (Path(__file__).parents[1] / "data" / "names.toml").read_text("utf-8")
)
GIRLS, BOYS, LAST = (
    tuple(tuple(row.split()) for row in _NAMES[kind]) for kind in ("girls", "boys", "last")
)
CONCERNS: Final = (
    ("child_trafficking", "missing_child", "unsafe_migration"),
    ("child_sexual_exploitation", "online_sexual_exploitation", "child_sexual_abuse"),
    ("child_labour", "hazardous_child_labour", "forced_labour"),
    ("child_marriage", "physical_violence", "neglect"),
)
WAYS: Final = ("web", "sms", "ussd", "voice", "helpline", "committee", "partner")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody invented."""

    number: int
    first: tuple[str, ...]
    last: tuple[str, ...] | None
    sex: str
    age: int
    home: str
    phone: str | None
    household: int


@dataclass(frozen=True, slots=True)
class Told:
    """One report of one person: its body, and the truth behind it."""

    body: dict[str, Any]
    at: datetime
    person: int
    incident: int
    household: int


def make_set(seed: int, incidents: int = 600, upazilas: int = 30) -> list[Told]:
    """Make reports; the same seed makes the same. About 1.9 reports an incident."""
    return _Maker(random.Random(seed), upazilas).make(incidents)


class _Maker:
    def __init__(self, chance: random.Random, upazilas: int) -> None:
        self.chance = chance
        found = [p.pcode for p in places.all_places().values() if p.level is places.Level.UPAZILA]
        districts = sorted({places.district_of(code) or "" for code in found})
        here = set(chance.sample(districts, max(2, upazilas // 6)))
        inside = sorted(code for code in found if places.district_of(code) in here)
        self.places = inside[:upazilas]
        self.shops = {code: self._number() for code in self.places}
        self.members = {code: self._number() for code in self.places}
        self.people = 0
        self.households = 0

    def make(self, incidents: int) -> list[Told]:
        told: list[Told] = []
        number = 0
        for _ in range(incidents):
            family = self._family()
            hurt = family if self._is(0.7) else family[:1]
            began = BEGAN + timedelta(days=self.chance.random() * 330)
            group = self.chance.choice(CONCERNS)
            told += self._incident(number, hurt, began, group)
            number += 1
            if self._is(0.06):  # the same person again, another time
                again = began + timedelta(days=self.chance.randint(100, 200))
                told += self._incident(number, hurt[:1], again, self.chance.choice(CONCERNS))
                number += 1
        return sorted(told, key=lambda one: one.at)

    def _incident(
        self, number: int, hurt: list[Person], began: datetime, group: tuple[str, ...]
    ) -> list[Told]:
        alleged = " ".join(self.chance.choice(BOYS)[:1]) if self._is(0.35) else None
        concern = self.chance.choice(group)
        told = []
        for person in hurt:
            for _ in range(self.chance.choices((1, 2, 3), (50, 35, 15))[0]):
                at = began + timedelta(days=min(60, self.chance.expovariate(1 / 6)))
                said = concern if self._is(0.7) else self.chance.choice((*group, "unsure"))
                told.append(self._report(number, person, began, at, said, alleged))
        return told

    def _family(self) -> list[Person]:
        """Make one person, and at times a sibling or a twin: of one home, name and phone."""
        self.households += 1
        home, last = self.chance.choice(self.places), self.chance.choice(LAST)
        phone = self._number() if self._is(0.7) else None
        age, sex = self.chance.randint(6, 19), "female" if self._is(0.65) else "male"
        found = [self._person(sex, age, home, phone, last)]
        kind = self.chance.random()
        if kind < 0.06:  # twins
            found.append(self._person(sex, age, home, phone, last))
        elif kind < 0.2:  # siblings
            other = self.chance.choice(("female", "male"))
            found.append(
                self._person(other, max(4, age - self.chance.randint(1, 5)), home, phone, last)
            )
        return found

    def _person(
        self, sex: str, age: int, home: str, phone: str | None, last: tuple[str, ...]
    ) -> Person:
        self.people += 1
        first = self.chance.choice(GIRLS if sex == "female" else BOYS)
        return Person(
            self.people,
            first,
            last if self._is(0.8) else None,
            sex,
            age,
            home,
            phone if self._is(0.85) else None,
            self.households,
        )

    def _report(
        self,
        incident: int,
        person: Person,
        began: datetime,
        at: datetime,
        concern: str,
        alleged: str | None,
    ) -> Told:
        way = self.chance.choice(WAYS)
        told: dict[str, Any] = {"ref": "a", "sex": self._sex(person)}
        if self._is(0.72):
            told["name"] = self._name(person)
        if self._is(0.8):
            low = max(
                0, person.age + self.chance.choices((0, 1, -1, 2, -3, 5), (50, 16, 16, 9, 6, 3))[0]
            )
            high = low + self.chance.choice((0, 0, 0, 1, 2))
            told["age"] = {"min": low, "max": high, "basis": "estimated"}
        if person.phone and self._is(0.45):
            told["phone"] = self._written(person.phone)
        reporter: dict[str, Any] = {"kind": "neighbour"}
        who = self.chance.random()
        if way == "committee":
            reporter["phone"] = self.members[person.home]
        elif who < 0.12:
            reporter["phone"] = self.shops[person.home]
        elif who < 0.35 and person.phone:
            reporter = {"kind": "relative", "phone": self._written(person.phone)}
        elif who < 0.6:
            reporter["phone"] = self._number()
        body: dict[str, Any] = {
            "channel": way,
            "about": "people",
            "persons": [told],
            "reporter": reporter,
            "concerns": [concern],
            "places": self._place(person),
        }
        if alleged and self._is(0.5):
            body["alleged"] = [{"name": self._spelt(alleged)}]
        if self._is(0.35):
            body["happened"] = {
                "from": (began + timedelta(days=self.chance.randint(-1, 1))).isoformat()
            }
        return Told(body, at, person.number, incident, person.household)

    def _place(self, person: Person) -> list[dict[str, Any]]:
        kind = self.chance.random()
        if kind < 0.08:
            return []
        if kind < 0.2:
            return [{"role": "event", "pcode": places.district_of(person.home)}]
        away = kind > 0.94
        return [
            {"role": "event", "pcode": self.chance.choice(self.places) if away else person.home}
        ]

    def _sex(self, person: Person) -> str:
        kind = self.chance.random()
        if kind < 0.15:
            return "unknown"
        if kind < 0.17:
            return "male" if person.sex == "female" else "female"
        return person.sex

    def _name(self, person: Person) -> str:
        script = self.chance.random() < 0.4
        first = self._word(person.first, bangla=script)
        if person.last is None or self._is(0.35):
            return first
        title = "Mst " if person.sex == "female" and not script and self._is(0.2) else ""
        return f"{title}{first} {self._word(person.last, bangla=script)}"

    def _word(self, spellings: tuple[str, ...], *, bangla: bool) -> str:
        if bangla:
            return spellings[0]
        word = self.chance.choice(spellings[1:])
        if self._is(0.06) and len(word) > 3:  # a slip of the finger
            at = self.chance.randrange(1, len(word) - 1)
            word = word[:at] + self.chance.choice("aeirnst") + word[at + 1 :]
        return word if self._is(0.8) else word.lower()

    def _spelt(self, name: str) -> str:
        row = next(row for row in BOYS if row[0] == name)
        return self._word(row, bangla=self._is(0.4))

    def _written(self, number: str) -> str:
        if self._is(0.3):
            return f"+88{number}"
        return number.translate(_BANGLA_DIGITS) if self._is(0.2) else number

    def _number(self) -> str:
        return f"01{self.chance.choice('3456789')}{self.chance.randrange(10**8):08d}"

    def _is(self, likely: float) -> bool:
        return self.chance.random() < likely


_BANGLA_DIGITS: Final = str.maketrans("0123456789", "০১২৩৪৫৬৭৮৯")
