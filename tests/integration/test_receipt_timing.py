"""A receipt's answer tells nothing of what happened: the same bytes in the same time (SAFETY 7a).

Twenty different histories, each of which a person has looked at. Samples are interleaved, so that
whatever else the machine does falls on all alike; each is compared with all others by Welch's
t-test on logarithms, less the round's median and without the tails.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import httpx
import pytest

from shared.vocabulary import Role
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.stack import Stack

ROUNDS: Final = 40
TRIES: Final = 4
"""Times that more samples are taken before a difference counts: chance passes, a leak stays."""

CLEAR: Final = 4.5
"""A |t| that chance gives about once in 150,000."""

RISK: Final = {"instrument": "pashe-risk-1", "answers": {"harm_goes_on": "yes"}}
ASSIGN: Final = ("assign", {"worker": "w1", "supervisor": "s1"})
CLOSE: Final = ("close", {"reason": "person_declined"})
HISTORIES: Final[tuple[tuple[tuple[str, dict[str, Any]], ...], ...]] = (
    (),
    (ASSIGN,),
    (("verify", {"finding": "substantiated", "means": "visit"}),),
    (("verify", {"finding": "not_substantiated", "means": "phone"}),),
    (ASSIGN, ("assess", RISK)),
    (ASSIGN, ("assess", RISK), ("safety-plan", {"text": "words"})),
    (("contacts", {"means": "phone", "result": "no_answer"}),),
    tuple(("contacts", {"means": "visit", "result": "reached"}) for _ in range(5)),
    (CLOSE,),
    (("close", {"reason": "could_not_be_found"}),),
    (CLOSE, ("reopen", {"reason": "returned_to_harm"})),
    (CLOSE, ("reopen", {"reason": "new_information"}), CLOSE),
    (("split", {"persons": [{"name": "Example A"}, {"name": "Example B"}]}),),
    (("handover", {"to": "centre-b"}),),
    (
        ("handover", {"to": "centre-b"}),
        ("handover", {"to": "centre-b", "answer": "accepted", "by": "b1"}),
    ),
    (("feedback", {"helped": "harmed", "text": "words"}),),
    (("visits", {"who": "w1", "expected_back": "2999-01-01T00:00:00Z"}),),
    (("triage", {"urgency": "T0", "conflict": True}),),
    (("triage", {"excluded": ["police", "c-named"], "needs": ["legal_aid", "shelter"]}),),
    (ASSIGN, ("assess", RISK), ("triage", {"age": 12}), ("hold", {"reason": "complaint"})),
)


def welch(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Return t and the degrees of freedom of Welch's test (Welch 1947, Satterthwaite 1946)."""
    a, b = (statistics.variance(side) / len(side) for side in (one, other))
    t = (statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(a + b)
    free = (a + b) ** 2 / (a**2 / (len(one) - 1) + b**2 / (len(other) - 1))
    return t, free


def trimmed(values: Sequence[float]) -> list[float]:
    """Return the values without the tenth at each end."""
    cut = len(values) // 10
    return sorted(values)[cut : len(values) - cut]


def test_welch_sees_a_difference_and_no_other() -> None:
    dice = random.Random(7)
    same = [[dice.gauss(0, 1) for _ in range(200)] for _ in range(2)]
    assert abs(welch(*same)[0]) < CLEAR
    assert abs(welch(same[0], [x + 0.8 for x in same[1]])[0]) > CLEAR


async def histories(stack: Stack, http: httpx.Client) -> list[str]:
    """Report twenty times, let people do something else with each, and return the receipts."""
    operator = stack.bearer(Role.OPERATOR, subject="o1")
    desk = stack.bearer(Role.SUPERVISOR, subject="s9")
    made = []
    for _ in HISTORIES:
        body = {"channel": "helpline", "persons": [{"ref": "a"}], "concerns": ["child_labour"]}
        headers = operator | {"idempotency-key": str(uuid4())}
        made.append(http.post("/intake/v1/reports", json=body, headers=headers).json())

    def opened() -> bool:
        paths = [f"/intake/v1/cases/{one['case_ids'][0]}" for one in made]
        return all(http.get(path, headers=desk).json()["facts"] for path in paths)

    await eventually(opened, 60, "open cases")
    for one, steps in zip(made, HISTORIES, strict=True):
        path = f"/intake/v1/cases/{one['case_ids'][0]}"
        for step, body in (("triage", {}), *steps):
            answer = http.post(f"{path}/{step}", json=body, headers=desk)
            assert answer.is_success, (step, answer.text)
    return [str(one["receipt"]) for one in made]


@pytest.mark.timeout(300)
async def test_twenty_histories_answer_alike(
    whole_stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(HISTORIES) == 20
    url = f"{whole_stack.url('intake')}/intake/v1/receipts/status"
    with httpx.Client(base_url=whole_stack.origin, timeout=60) as http:
        receipts = await histories(whole_stack, http)
        times: list[list[float]] = [[] for _ in receipts]
        answers: set[bytes] = set()
        dice, worst = random.Random(1), (0.0, 0.0, 0)
        for _ in range(TRIES):
            for _ in range(ROUNDS):
                order = list(enumerate(receipts))
                dice.shuffle(order)
                taken: dict[int, float] = {}
                for number, receipt in order:
                    began = time.perf_counter()
                    answer = http.post(url, json={"receipt": receipt})
                    taken[number] = math.log(time.perf_counter() - began)
                    answers.add(answer.content)
                middle = statistics.median(taken.values())
                for number, value in taken.items():
                    times[number].append(value - middle)
            worst = max((compared(times, n) for n in range(len(times))), key=lambda w: abs(w[0]))
            if abs(worst[0]) < CLEAR:
                break
    with capsys.disabled():
        t, free, number = worst
        more = 100 * math.expm1(statistics.fmean(trimmed(times[number])))
        print(
            f"\nreceipts: {len(receipts)} histories × {len(times[0])} samples, {len(answers)}"
            f" answer; most differs history {number}: Welch's t = {t:.2f}, {free:.0f} degrees of"
            f" freedom, {more:+.1f} % of time"
        )
    assert len(answers) == 1
    assert abs(worst[0]) < CLEAR


def compared(times: Sequence[Sequence[float]], number: int) -> tuple[float, float, int]:
    """Compare one history with all others together."""
    others = [value for n, side in enumerate(times) if n != number for value in side]
    return *welch(trimmed(times[number]), trimmed(others)), number
