"""Whether a text is a provider's answer, and to which referral."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.casework.review import Attempt
from services.intake.contacts.answer import NO, YES, Said, choose, parse_answer
from services.intake.conversation import plan_reply_to_worker
from services.referral import domain
from services.referral.consumers import Taken
from services.referral.sms_answers import SmsAnswers
from shared.answer_code import answer_code
from shared.clock import now
from shared.events import Event, ProviderAnswered
from shared.outbox import Stamp
from tests.support import referrals as small

BANGLA = str.maketrans("0123456789", "০১২৩৪৫৬৭৮৯")
YES_WORDS = (
    "YES",
    "yes",
    "Y",
    "হ্যাঁ",
    "হ্যা",
    "হাঁ",
    "জি",
    "জ্বী",
    "ha",
    "Haaan",
    "hea",
    "hya",
    "ok",
    "jee",
)
NO_WORDS = ("NO", "no", "N", "না", "নাহ", "নাই", "na", "Naaa", "nah", "nope")


def attempt(state: str = "assigned", referral_id: UUID | None = None) -> Attempt:
    return Attempt(referral_id or uuid4(), "shelter", 1, state, None, "T1", 1, "near")


def two_of_one_code() -> tuple[UUID, UUID]:
    seen: dict[str, UUID] = {}
    while True:
        key = uuid4()
        if (before := seen.setdefault(answer_code(key), key)) != key:
            return before, key


@pytest.mark.parametrize("word", YES_WORDS)
def test_every_spelling_of_yes(word: str) -> None:
    for text in (
        f"{word} 4821",
        f"{word}4821",
        f"4821 {word}",
        f" {word}: ৪৮২১।\n",
        f"{word}-4821 👍",
    ):
        assert parse_answer(text) == Said(YES, "4821"), text


@pytest.mark.parametrize("word", NO_WORDS)
def test_every_spelling_of_no_with_or_without_a_reason(word: str) -> None:
    assert parse_answer(f"{word} 0048") == Said(NO, "0048")
    assert parse_answer(f"{word} ৪৮২১ ১") == Said(NO, "4821", "no_capacity")
    assert parse_answer(f"{word} 4821, 9") == Said(NO, "4821", "other")


@pytest.mark.parametrize(
    "text",
    [
        *("", "yes", "4821", "yes 482", "yes 48210", "yes 48 21", "yes 4821 1", "no 4821 12"),
        *(
            "no 4821 1 2",
            "yes no 4821",
            "আমার বোনকে নিয়ে গেছে 4821",
            "yes please 4821",
            "yes да 4821",
        ),
        *("না, ৪৮২১ টাকা নিয়েছে", "01712345678", "yes 4821 yes", "1", "no 4821 no", "yes " * 20),
        *("হ্যাঁ ৪৮২১ মেয়ে", "ya4821b", "no 48.21", "yes yes", "4821 4821"),
    ],
)
def test_whatever_says_more_or_else_is_no_answer(text: str) -> None:
    assert parse_answer(text) is None


@given(st.text(max_size=60))
def test_no_text_raises_and_what_is_an_answer_names_a_code(text: str) -> None:
    said = parse_answer(text)
    if said is not None:
        assert said.answer in (YES, NO)
        assert len(said.code) == 4
        assert said.code.isdigit()


@given(
    st.sampled_from([*((w, YES) for w in YES_WORDS), *((w, NO) for w in NO_WORDS)]),
    st.integers(0, 9999),
    st.sampled_from([" ", "", "-", ": ", "\u200c ", "\n"]),
    st.sampled_from([{}, BANGLA]),
)
def test_any_code_in_any_digits(
    word: tuple[str, str], code: int, between: str, digits: dict[int, int]
) -> None:
    text = f"{word[0]}{between}{f'{code:04d}'.translate(digits)}"
    assert parse_answer(text) == Said(word[1], f"{code:04d}")


@given(st.uuids())
def test_a_code_is_four_digits_and_always_the_same(key: UUID) -> None:
    assert answer_code(key) == answer_code(UUID(str(key)))
    assert len(answer_code(key)) == 4
    assert answer_code(key).isdigit()


def test_the_codes_are_spread() -> None:
    assert len({answer_code(UUID(int=n)) for n in range(1000)}) > 900


def test_the_one_referral_of_the_code_is_answered() -> None:
    mine, other = attempt(), attempt()
    said = Said(YES, answer_code(mine.referral_id))
    assert choose(said, [other, mine], {}) == (mine, True)
    assert choose(said, [other], {}) is None
    assert choose(said, [], {}) is None


def test_two_that_wait_with_one_code_are_for_a_person() -> None:
    one, other = two_of_one_code()
    said = Said(NO, answer_code(one))
    both = [attempt(referral_id=one), attempt(referral_id=other)]
    assert choose(said, both, {}) is None
    ended = attempt("declined", other)
    assert choose(said, [both[0], ended], {other: NO}) == (both[0], True)


def test_the_same_again_is_taken_and_another_answer_is_for_a_person() -> None:
    one = attempt()
    code = answer_code(one.referral_id)
    for known in (one, attempt("accepted", one.referral_id)):
        assert choose(Said(YES, code), [known], {one.referral_id: YES}) == (known, False)
        assert choose(Said(NO, code), [known], {one.referral_id: YES}) is None
    assert choose(Said(YES, code), [attempt("accepted", one.referral_id)], {}) is None


def test_a_worker_is_told_that_a_code_does_not_fit_unless_messages_are_stopped() -> None:
    assert plan_reply_to_worker("yes 4821", stopped=False) == "no_such_code"
    assert plan_reply_to_worker("yes 4821", stopped=True) is None
    assert plan_reply_to_worker("amar bon k niye geche", stopped=False) is None


# --- What referral does with an answer -----------------------------------------------------------


class Told:
    """A case whose need is with the nearest provider, and what its answers do."""

    def __init__(self) -> None:
        self.world = small.world(small.NEAR, small.FAR)
        self.case = small.case_of(small.facts())
        self.world.cases[self.case.case_id] = self.case
        small.plan(self.world, self.case)
        (self.referral,) = self.world.of(self.case.case_id)

    def hear(self, answer: str, provider: str = "near", **more: str | None) -> list[str]:
        data = ProviderAnswered(
            referral_id=self.referral.referral_id, provider_id=provider, answer=answer, **more
        )
        key = str(self.case.case_id)
        event = Event(uuid4(), "intake", "provider-answered", key, now(), 2, "x", None, data)
        state = Taken(self.world)
        SmsAnswers(None).decide(state, event, Stamp(small.AT, "consumer"))  # type: ignore[arg-type]
        assert {stamp.actor for _, stamp in state.made} <= {"provider_worker:sms"}
        return [one for done, _ in state.made for one in small.types(done)]

    def state(self) -> str:
        return str(self.world.of(self.case.case_id)[0].state)


def test_a_yes_accepts_once() -> None:
    told = Told()
    assert told.hear("yes") == ["accepted"]
    assert told.hear("yes") == []
    assert told.hear("no") == []
    assert told.state() == "accepted"


@pytest.mark.parametrize("reason", ["no_capacity", None, "other", "a_reason_of_later"])
def test_a_no_goes_to_the_next(reason: str | None) -> None:
    told = Told()
    happened = told.hear("no", reason=reason)
    assert happened[0] == "declined"
    assert "assigned" in happened
    known = "no_capacity" if reason == "no_capacity" else "other"
    declined, following = told.world.of(told.case.case_id)
    assert (declined.reason, following.provider_id) == (known, "far")


def test_of_another_provider_or_an_unknown_answer_nothing_comes() -> None:
    told = Told()
    assert told.hear("yes", provider="far") == []
    assert told.hear("perhaps") == []
    assert told.state() == "assigned"


def test_only_what_waits_for_an_answer_shows_its_code() -> None:
    one = small.referral()
    assert domain.shown(one, small.DESK)["answer_code"] == answer_code(one.referral_id)
    assert domain.shown(one, small.MINE)["answer_code"] == answer_code(one.referral_id)
    assert "answer_code" not in domain.shown(small.referral("accepted"), small.DESK)
