"""Signed events of whole cases, as they come from Kafka, at any time: what figures are made of."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from services.audit.domain import Arrival, Signers
from services.audit.figures.counting import districts_of_the_country
from shared.clock import new_event_id
from shared.events import (
    CASES,
    REFERRALS,
    SUBMISSIONS,
    CaseFacts,
    Draft,
    ReferralFacts,
    ReportSubmitted,
    encode,
    headers_of,
)
from shared.vocabulary import Channel, Concern, Need

if TYPE_CHECKING:
    from shared.signing import Signer
    from tests.bench.history_log import OurLog

PAST = datetime(2026, 7, 9, tzinfo=UTC)
"""In a quarter that is over."""


@dataclass(slots=True)
class Teller:
    """Makes events; one key signs for intake and referral."""

    producer: Signer
    at: datetime = PAST
    offset: int = 0
    sequences: dict[tuple[str, str], int] = field(default_factory=dict)

    def say(self, stream: str, kind: str, subject: str, data: Any, actor: str = "") -> Arrival:
        sequence = self.sequences[stream, subject] = self.sequences.get((stream, subject), 0) + 1
        self.at += timedelta(minutes=1)
        self.offset += 1
        _, value = encode(
            Draft(stream, kind, subject, data, id=new_event_id()),
            source="/referral" if stream == REFERRALS else "/intake",
            sequence=sequence,
            at=self.at,
            actor=actor or "system:opener",
            traceparent=None,
        )
        headers = headers_of(kind, sequence, (), None, self.producer.header(value))
        return Arrival(stream, 0, self.offset, subject.encode(), value, tuple(headers))

    def case(self, case: str, **facts: Any) -> list[Arrival]:
        """Tell that a report came and a case was opened."""
        channel = facts.setdefault("channel", "web")
        test, by = facts.setdefault("test", False), facts.pop("by", "anonymous:web")
        report = uuid4()
        told = ReportSubmitted(
            submission_id=report, channel=channel, case_ids=[UUID(case)], test=test
        )
        return [
            self.say(SUBMISSIONS, "report-submitted", case, told, by),
            self.say(CASES, "case-created", case, CaseFacts(report_id=report, **facts)),
        ]

    def change(self, case: str, kind: str, **facts: Any) -> Arrival:
        """Tell another event of a case."""
        facts.setdefault("channel", "web")
        return self.say(CASES, kind, case, CaseFacts(report_id=uuid4(), **facts))

    def help(self, case: str, need: str, *kinds: str, test: bool = False) -> list[Arrival]:
        """Tell what became of a need of a case."""
        facts = ReferralFacts(
            referral_id=uuid4(), need=need, urgency="T2", state="planned", test=test
        )
        return [self.say(REFERRALS, kind, case, facts) for kind in kinds]


WAY = ("referral-planned", "referral-assigned", "referral-accepted", "first-contact-made")
GIVEN = (*WAY, "service-delivered")


def many_cases(teller: Teller, count: int, seed: int) -> list[Arrival]:
    """Tell of so many cases, in a few districts, about a few needs."""
    chance = random.Random(seed)
    districts = chance.sample(sorted(districts_of_the_country()), 12)
    told: list[Arrival] = []
    for number in range(count):
        case = str(UUID(int=chance.getrandbits(128), version=4))
        told += teller.case(
            case,
            district=chance.choices(districts, [1 / n for n in range(1, 13)])[0],
            age=chance.choice([None, 4, 9, 13, 16, 25]),
            sex=chance.choice(["female", "female", "male", "hijra", "unknown"]),
            channel=str(chance.choice(list(Channel))),
            concerns=[str(chance.choice(list(Concern)[:7]))],
            by=chance.choice(["anonymous:web", "partner:example-partner"]),
        )
        for need in chance.sample([str(need) for need in list(Need)[:7]], chance.choice([1, 1, 2])):
            told += teller.help(case, need, *GIVEN[: chance.choice([1, 2, 3, 4, 5, 5])])
        if number % 9 == 0:
            told += teller.help(case, "legal_aid", "referral-planned", "referral-declined")
    return told


def sign_for_referral(log: OurLog) -> Teller:
    """Let the log believe referral's events of its one key too; call before `begin`."""
    keys = {"intake": log.producer.public, "referral": log.producer.public}
    log.settings = replace(log.settings, signers=Signers(keys))
    return Teller(log.producer)
