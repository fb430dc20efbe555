"""The decision: role × organisation × place × assignment × conflict × dated membership."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from shared import places
from shared.access import PROVIDERS, Caller, TokenReader, make_token
from shared.access_rules import (
    Allowed,
    Matter,
    Reach,
    Refused,
    Scope,
    Verb,
    Why,
    codes_of,
    decide,
    load_matrix,
    matter_of,
    memberships_for,
    names_of,
    owner_of,
    reach_of,
    scope_of,
)
from shared.errors import Unauthenticated
from shared.membership import Membership
from shared.vocabulary import Role
from tests.support.centre import facts

AT = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
TODAY = date(2026, 11, 28)
DAY = timedelta(days=1)
KERANIGANJ, SAVAR, DHAKA, GAZIPUR = "BD30260038", "BD30260072", "BD3026", "BD3033"
UNION = next(p.pcode for p in places.all_places().values() if p.parent == KERANIGANJ)
CTC = Membership("ctc_member", UNION)
CASE = Matter(upazila=KERANIGANJ, district=DHAKA)


def caller(role: Role = Role.COORDINATOR, **fields: Any) -> Caller:
    return Caller("me", role, **fields)


def why(who: Caller, verb: Verb, matter: Matter, at: datetime = AT) -> str | None:
    found = decide(who, verb, matter, at)
    return found.why if isinstance(found, Refused) else None


def test_a_role_that_a_verb_does_not_name_may_not() -> None:
    named = {(role, verb) for verb in Verb for role in load_matrix()[verb]}
    for role, verb in product(Role, Verb):
        assert (why(caller(role, org="p"), verb, CASE) == Why.ROLE) == ((role, verb) not in named)


def test_no_role_but_the_desk_and_a_provider_that_said_yes_learns_who_somebody_is() -> None:
    assert set(load_matrix()["know"]) == {
        *("coordinator", "supervisor", "provider_worker", "provider_system"),
    }


@pytest.mark.parametrize(
    ("served", "matter", "seen"),
    [
        ((), CASE, True),
        ((DHAKA,), CASE, True),
        ((KERANIGANJ,), CASE, True),
        ((UNION,), CASE, True),
        (("BD30",), CASE, True),
        ((SAVAR,), CASE, False),
        ((GAZIPUR,), CASE, False),
        ((GAZIPUR, KERANIGANJ), CASE, True),
        ((SAVAR,), Matter(district=DHAKA), True),  # it may lie there
        ((GAZIPUR,), Matter(district=DHAKA), False),
        ((GAZIPUR,), Matter(), True),  # nobody loses what has no place yet
        (("BD-nowhere",), CASE, False),
        ((GAZIPUR,), Matter(upazila=KERANIGANJ, district=DHAKA, assigned=frozenset({"me"})), True),
    ],
)
def test_a_coordinator_sees_cases_of_the_places_of_the_centre(
    served: tuple[str, ...], matter: Matter, *, seen: bool
) -> None:
    for verb in (Verb.SEE, Verb.WORK, Verb.KNOW, Verb.ANSWER, Verb.HISTORY):
        assert bool(decide(caller(places=served), verb, matter, AT)) == seen
    assert decide(caller(Role.AUDITOR, places=served), Verb.SEE, matter, AT)


@pytest.mark.parametrize("role", [r for r in Role if reach_of(r, Verb.SEE)])
@pytest.mark.parametrize("name", ["me", "{actor}", "org", "ctc_member", f"area:{KERANIGANJ}"])
def test_whoever_a_case_names_in_a_conflict_reaches_nothing_of_it(role: Role, name: str) -> None:
    who = caller(role, org="org", memberships=(CTC,))
    mine = owner_of(who)
    excluded = frozenset({name.format(actor=who.actor)})
    told = Matter(mine, KERANIGANJ, DHAKA, excluded, assigned=frozenset({"me"}))
    assert decide(who, Verb.SEE, Matter(mine, KERANIGANJ, DHAKA), AT)
    for verb in Verb:
        if reach_of(role, verb):
            assert why(who, verb, told) == Why.CONFLICT
    assert why(caller(role), Verb.SEE, told) != Why.CONFLICT or name in ("me", "{actor}")


def test_the_reason_of_a_conflict_names_nobody() -> None:
    assert why(caller(), Verb.SEE, Matter(excluded=frozenset({"me"}))) == "excluded: conflict"


def test_a_provider_reaches_its_own_referrals_unless_it_or_its_kind_is_excluded() -> None:
    for role, verb in product(sorted(PROVIDERS), (Verb.ANSWER, Verb.KNOW)):
        own = caller(role, org="p")
        assert decide(own, verb, Matter(provider="p"), AT)
        assert why(own, verb, Matter(provider="q")) == Why.NOT_YOURS
        assert why(own, verb, Matter()) == Why.NOT_YOURS
        assert why(caller(role), verb, Matter()) == Why.NOT_YOURS
        assert why(own, verb, Matter(provider="p", excluded=frozenset("p"))) == Why.CONFLICT
        police = Matter(
            provider="p", excluded=frozenset({"police"}), provider_kinds=frozenset({"police"})
        )
        assert why(own, verb, police) == Why.CONFLICT


@pytest.mark.parametrize(
    ("begins", "until", "holds"),
    [
        (None, None, True),
        (TODAY, TODAY, True),
        (TODAY - 9 * DAY, TODAY - DAY, False),
        (TODAY + DAY, None, False),
        (None, TODAY + DAY, True),
    ],
)
def test_a_committee_member_has_a_stub_of_the_own_report_while_a_member(
    begins: date | None, until: date | None, *, holds: bool
) -> None:
    held = Membership("ctc_member", UNION, begins, until)
    who = caller(Role.COMMITTEE_MEMBER, org="committee", memberships=(held,))
    mine = Matter("committee_member:me")
    assert decide(who, Verb.SEE, mine, AT) == (
        Allowed(stub=True) if holds else Refused(Why.MEMBERSHIP)
    )
    assert scope_of(who, Verb.SEE, AT).organisation == ("committee_member:me" if holds else "")
    assert ("ctc_member" in names_of(who, AT)) == holds
    if holds:
        for other in (Matter("committee_member:you"), Matter("committee"), Matter()):
            assert why(who, Verb.SEE, other) == Why.NOT_YOURS


def test_another_membership_makes_no_committee_member() -> None:
    chair = caller(Role.COMMITTEE_MEMBER, memberships=(Membership("up_chair", UNION),))
    assert why(chair, Verb.SEE, Matter("committee_member:me")) == Why.MEMBERSHIP
    assert why(caller(Role.COMMITTEE_MEMBER), Verb.SEE, CASE) == Why.MEMBERSHIP
    assert memberships_for(Role.COMMITTEE_MEMBER) == (Membership("ctc_member"),)


def test_a_membership_begins_and_ends_with_a_day_in_dhaka() -> None:
    held = Membership("ctc_member", None, TODAY, TODAY)
    who = caller(Role.COMMITTEE_MEMBER, memberships=(held,))
    mine = Matter("committee_member:me")
    for hour, holds in ((-7, False), (-6, True), (17, True), (18, False)):
        at = datetime(2026, 11, 28, tzinfo=UTC) + timedelta(hours=hour)
        assert bool(decide(who, Verb.SEE, mine, at)) == holds, hour


def test_a_report_belongs_to_a_partner_organisation_and_else_to_the_person() -> None:
    assert owner_of(caller(Role.PARTNER, org="p")) == "p"
    assert owner_of(caller(Role.PARTNER)) == "partner:me"
    for role in (Role.OPERATOR, Role.COMMITTEE_MEMBER, Role.COORDINATOR):
        assert owner_of(caller(role, org="p")) == f"{role}:me"
    colleague = Caller("you", Role.OPERATOR, "helpline")
    assert why(colleague, Verb.SEE, Matter("operator:me")) == Why.NOT_YOURS


def test_what_is_asked_of_the_database_is_the_same_reach() -> None:
    assert scope_of(caller(), Verb.SEE, AT) == Scope("*", ("coordinator:me", "me"))
    limited = scope_of(caller(places=(KERANIGANJ,)), Verb.SEE, AT)
    assert limited.places is not None
    assert {KERANIGANJ, DHAKA} <= set(limited.places)
    assert SAVAR not in limited.places
    assert scope_of(caller(Role.AUDITOR, places=(KERANIGANJ,)), Verb.SEE, AT).places is None
    assert scope_of(caller(Role.AUDITOR), Verb.KNOW, AT).organisation == ""
    assert scope_of(caller(Role.PROVIDER_WORKER, org="p"), Verb.ANSWER, AT).organisation == "p"
    for org in (None, "", "*"):
        nobody = scope_of(caller(Role.PROVIDER_WORKER, org=org), Verb.ANSWER, AT)
        assert nobody.organisation == ""


def test_places_touch_what_lies_in_them_and_what_they_lie_in() -> None:
    assert codes_of(()) is None
    dhaka = codes_of((DHAKA,))
    assert dhaka is not None
    assert {"BD30", DHAKA, KERANIGANJ, SAVAR} <= dhaka
    assert not {GAZIPUR, "BD"} & dhaka


def test_a_case_that_nobody_opened_yet_is_known_by_its_owner_alone() -> None:
    assert matter_of(None, "x") == Matter("x")
    told = matter_of(facts(worker="coordinator:me", excluded=["p"]), "x", provider="p")
    assert told == Matter(
        "x", KERANIGANJ, DHAKA, frozenset({"p"}), frozenset({"coordinator:me"}), "p"
    )


SEED = bytes(range(32))


def test_places_and_memberships_come_with_the_token() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PrivateKey,
    )

    key = Ed25519PrivateKey.from_private_bytes(SEED)
    reader = TokenReader(key.public_key().public_bytes_raw())
    held = (Membership("ctc_member", UNION, TODAY, None), Membership("up_chair"))
    read = reader.read(make_token(SEED, Role.COORDINATOR, places=[DHAKA, SAVAR], memberships=held))
    assert (set(read.places), read.memberships) == ({DHAKA, SAVAR}, held)


@pytest.mark.parametrize(
    "claims",
    [
        {"places": "BD3026"},
        {"places": [7]},
        {"places": {"BD3026": 1}},
        {"member_of": "ctc_member"},
        {"member_of": ["ctc_member"]},
        {"member_of": [{}]},
        {"member_of": [{"kind": 7}]},
        {"member_of": [{"kind": "ctc_member", "place": 7}]},
        {"member_of": [{"kind": "ctc_member", "until": "soon"}]},
        {"member_of": [{"kind": "ctc_member", "from": 20260101}]},
    ],
)
def test_a_token_with_claims_of_another_shape_is_refused(claims: dict[str, Any]) -> None:
    import jwt  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PrivateKey,
    )

    key = Ed25519PrivateKey.from_private_bytes(SEED)
    base = {"aud": "pashe", "sub": "a", "role": "coordinator", "exp": 4_000_000_000}
    token = jwt.encode(base | claims, key, algorithm="EdDSA")
    with pytest.raises(Unauthenticated):
        TokenReader(key.public_key().public_bytes_raw()).read(token)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        (f"ctc_member:{UNION}", Membership("ctc_member", UNION)),
        ("ctc_member:", Membership("ctc_member")),
        (f"up_chair:{UNION}:2026-01-01", Membership("up_chair", UNION, date(2026, 1, 1))),
        ("x::2026-01-01:2026-02-01", Membership("x", None, date(2026, 1, 1), date(2026, 2, 1))),
    ],
)
def test_a_membership_is_read_from_the_command_line(text: str, held: Membership) -> None:
    assert Membership.read(text) == held
    assert Membership.of(held.claim()) == held


@pytest.mark.parametrize("text", ["", "ctc_member", ":BD30", "a:b:yesterday", "a:b:::"])
def test_what_is_no_membership_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Membership.read(text)


def test_every_reach_of_the_matrix_is_used() -> None:
    used = {reach for verb in Verb for reach in load_matrix()[verb].values()}
    assert used == {str(reach) for reach in Reach}
