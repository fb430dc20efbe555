"""Row-level security lets through what the decision does, to the deployed role, on one connection.

Every question here goes over a pool of one connection that callers of all kinds take in turn, also
after an error, a rollback and a cancelled request: what one may see is never seen by the next.
"""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text

from deploy.local.keys import SERVICES
from shared.access import Caller
from shared.access_rules import Matter, Verb, decide, memberships_for, reach_of, scope_of
from shared.database import check_role, make_engine, transaction
from shared.errors import SettingsError
from shared.membership import Membership
from shared.vocabulary import Role
from tests.support.platform import fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.support.platform import Database

AT: Final = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
UPAZILAS: Final = ("BD30260038", "BD30260072", "BD20130022", None)
DISTRICTS: Final = {"BD30260038": "BD3026", "BD30260072": "BD3026", "BD20130022": "BD2013"}
PEOPLE: Final = tuple(f"person{n}" for n in range(4))
ORGS: Final = ("ngo-1", "ngo-2", "police-1")

OPEN_TO_REQUESTS: Final = {
    "alembic_version": "which revision the schema is at",
    "outbox_heads": "numbers of streams; a request appends that it read",
    "idempotency": "answers sealed under a key that only their caller has",
    "providers": "the directory of offices, which is no secret",
    "offers": "likewise",
    "offer_needs": "likewise",
    "log_head": "the published log: size, root and signature",
    "nodes": "the published log: hashes",
    "cosigned": "the published log: what witnesses signed of it",
    "daily": "the published log: its state of each day",
    "figure_releases": "published figures: quarters in which nobody can be found",
}
"""Tables that a request may read whole, and why."""


@dataclass(frozen=True, slots=True)
class Row:
    """A case with one referral, as every service of the test stores it."""

    case_id: UUID
    referral_id: UUID
    matter: Matter

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "upazila": self.matter.upazila,
            "district": self.matter.district,
            "excluded": sorted(self.matter.excluded),
            "worker": next(iter(self.matter.assigned), None),
        }


def make_rows(dice: random.Random, count: int) -> list[Row]:
    """Make cases of all kinds: with and without place, conflict, worker and provider."""
    names = [*PEOPLE, "coordinator:person1", *ORGS, "police", "ctc_member", "area:BD30260038"]
    owners = ["", "partner-1", "partner-2", *(f"operator:{p}" for p in PEOPLE)]
    owners += [f"committee_member:{p}" for p in PEOPLE]
    rows = []
    for _ in range(count):
        upazila = dice.choice(UPAZILAS)
        provider = dice.choice(ORGS)
        rows.append(
            Row(
                uuid4(),
                uuid4(),
                Matter(
                    dice.choice(owners),
                    upazila,
                    DISTRICTS[upazila] if upazila else dice.choice(("BD3026", "BD2013", None)),
                    frozenset(dice.sample(names, dice.choice((0, 0, 1, 2)))),
                    frozenset(dice.sample(["coordinator:person2", "supervisor:person3"], 1))
                    if dice.random() < 0.2
                    else frozenset(),
                    provider,
                    frozenset({"police" if provider == "police-1" else "ngo"}),
                ),
            )
        )
    return rows


def make_callers(dice: random.Random, count: int) -> list[Caller]:
    """Make callers of every role, each with places and memberships of all kinds."""
    ended = Membership("ctc_member", "BD30260038", None, date(2026, 1, 1))
    held = [(), (ended,), (Membership("ctc_member", "BD30260038"),), (Membership("police"),)]
    callers = []
    for number in range(count):
        role = list(Role)[number % len(Role)]
        org = dice.choice((*ORGS, "partner-1", "partner-2", None))
        places = dice.choice(((), (), ("BD3026",), ("BD30260072",), ("BD20",), ("BD-nowhere",)))
        memberships = dice.choice([*held, memberships_for(role)])
        callers.append(Caller(dice.choice(PEOPLE), role, org, places, memberships))
    return callers


def tables_of(rows: list[Row]) -> dict[str, list[dict[str, Any]]]:
    """Return what each table of the services holds of the cases."""
    found: dict[str, list[dict[str, Any]]] = {}
    for number, row in enumerate(rows):
        case_id, referral_id, facts = row.case_id, row.referral_id, json.dumps(row.facts)
        owner, provider = row.matter.owner, row.matter.provider
        event = {"event_id": case_id, "type": "x", "referral_id": referral_id}
        stored: dict[str, dict[str, Any]] = {
            "intake.submissions": {
                "submission_id": case_id,
                "channel": "web",
                "message_key": case_id.bytes,
                "received_at": AT,
                "organisation": owner,
                "actor": "x",
                "entitled": True,
                "case_ids": [case_id],
                "report": "{}",
                "open_at": AT,
                "receipt_hash": case_id.bytes,
            },
            "intake.cases": {
                "case_id": case_id,
                "submission_id": case_id,
                "organisation": owner,
                "facts": facts,
            },
            "intake.tasks": {
                "task_id": case_id,
                "case_id": case_id,
                "kind": "triage",
                "about": case_id,
                "level": "coordinator",
                "opened_at": AT,
            },
            "referral.cases": {"case_id": case_id, "sequence": 1, "status": "", "facts": facts},
            "referral.referrals": {
                "referral_id": referral_id,
                "case_id": case_id,
                "need": "x",
                "urgency": "T2",
                "state": "assigned",
                "attempt": 1,
                "version": 1,
                "provider_id": provider,
                "body": "{}",
            },
            "referral.feed_entries": {"provider_id": provider, "seq": number, "body": ""} | event,
            "referral.explanations": {"referral_id": referral_id, "explanation": "{}"},
            "notification.cases": {"case_id": case_id, "sequence": 1, "facts": facts},
            "notification.feed": {
                "organisation": provider,
                "feed_seq": number,
                "happened_at": AT,
                "arrived_at": AT,
                "case_id": case_id,
                "state": "x",
                "version": 1,
                "test": False,
            }
            | event,
        }
        for table, columns in stored.items():
            found.setdefault(table, []).append(columns)
    return found


async def fill(database: Database, rows: list[Row]) -> None:
    """Store the cases in the three services that keep them, as a superuser."""
    conn = await asyncpg.connect(database.admin)
    try:
        for kind, names in (("ngo", ["ngo"]), ("police", ["police"])):
            await conn.execute(
                "INSERT INTO referral.providers (provider_id, kind, kinds, name_en, name_bn)"
                " SELECT p, $1, $2, 'Example', 'উদাহরণ' FROM unnest($3::text[]) AS p",
                kind,
                names,
                [org for org in ORGS if org.startswith(kind)],
            )
        async with conn.transaction():
            for table, columns in tables_of(rows).items():
                names = list(columns[0])
                marks = ", ".join(f"${n}" for n in range(1, len(names) + 1))
                await conn.executemany(
                    f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})",
                    [tuple(row.values()) for row in columns],
                )
    finally:
        await conn.close()


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return make_rows(random.Random(6), 120)


@pytest.fixture(scope="module")
def ground(postgres_admin_dsn: str, rows: list[Row]) -> Iterator[Database]:
    made = fresh_database(postgres_admin_dsn, *SERVICES)
    with asyncio.Runner() as runner:
        database = runner.run(made.__aenter__())
        try:
            runner.run(fill(database, rows))
            yield database
        finally:
            runner.run(made.__aexit__(None, None, None))


@asynccontextmanager
async def one_connection(ground: Database, service: str) -> AsyncIterator[AsyncEngine]:
    """Give the deployed web role's pool, of one connection, so that every caller reuses it."""
    engine = make_engine(ground.urls(service)["DATABASE_WEB_URL"], size=1, name="row security")
    try:
        yield engine
    finally:
        await engine.dispose()


LISTS: Final = (
    ("intake", "SELECT case_id FROM cases", Verb.SEE, "case_id"),
    ("intake", "SELECT case_ids[1] FROM submissions", Verb.SEE, "case_id"),
    ("intake", "SELECT case_id FROM tasks", Verb.WORK, "case_id"),
    ("referral", "SELECT referral_id FROM referrals", Verb.REFERRAL, "referral_id"),
    ("referral", "SELECT referral_id FROM feed_entries", Verb.REFERRAL, "referral_id"),
    ("referral", "SELECT referral_id FROM explanations", Verb.EXPLAIN, "referral_id"),
    ("referral", "SELECT case_id FROM cases", Verb.EXPLAIN, "case_id"),
    ("notification", "SELECT case_id FROM feed", Verb.NOTICE, "case_id"),
)


@pytest.mark.parametrize(("service", "query", "verb", "key"), LISTS)
async def test_a_list_is_what_the_decision_lets_through(
    ground: Database, rows: list[Row], service: str, query: str, verb: Verb, key: str
) -> None:
    dice = random.Random(query)
    seen_by_somebody: set[UUID] = set()
    refused = 0
    async with one_connection(ground, service) as engine:
        for caller in make_callers(dice, 60):
            async with transaction(engine, scope_of(caller, verb, AT)) as conn:
                found = set((await conn.execute(text(query))).scalars())
            mine = [r for r in rows if decide(caller, verb, known_to(service, r, caller), AT)]
            expected = {getattr(row, key) for row in mine}
            assert found == expected, caller
            seen_by_somebody |= found
            refused += len(rows) - len(found)
            async with transaction(engine) as conn:
                assert (await conn.execute(text(query))).first() is None
    assert len(seen_by_somebody) > len(rows) / 2
    assert refused > len(rows)


def known_to(service: str, row: Row, caller: Caller) -> Matter:
    """Return a case as a service knows it: only the directory's keeper knows kinds of providers."""
    m = row.matter
    kinds = m.provider_kinds if service == "referral" else frozenset()
    owner = m.owner if service == "intake" else ""
    return Matter(owner, m.upazila, m.district, m.excluded, m.assigned, m.provider, kinds)


async def test_nothing_of_one_request_is_left_for_the_next(
    ground: Database, rows: list[Row]
) -> None:
    everyone = scope_of(Caller("chief", Role.SUPERVISOR), Verb.SEE, AT)
    partner = Caller("p", Role.PARTNER, "partner-1")
    own = {row.case_id for row in rows if decide(partner, Verb.SEE, row.matter, AT)}
    settings = text(
        "SELECT coalesce(current_setting('pashe.organisation', true), '')"
        " || coalesce(current_setting('pashe.names', true), '')"
        " || coalesce(current_setting('pashe.places', true), '')"
    )

    async def whole() -> None:
        async with transaction(engine, everyone) as conn:
            assert len((await conn.execute(text("SELECT 1 FROM cases"))).all()) == len(rows)

    async def rolled_back() -> None:
        with pytest.raises(ZeroDivisionError):
            async with transaction(engine, everyone):
                raise ZeroDivisionError

    async def refused() -> None:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with transaction(engine, everyone) as conn:
                await conn.execute(text("SELECT * FROM subjects"))

    async def cancelled() -> None:
        began = asyncio.Event()

        async def slow() -> None:
            async with transaction(engine, everyone) as conn:
                began.set()
                await conn.execute(text("SELECT pg_sleep(30)"))

        task = asyncio.create_task(slow())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async with one_connection(ground, "intake") as engine:
        for first in (whole, rolled_back, refused, cancelled) * 3:
            await first()
            async with engine.connect() as conn:
                assert await conn.scalar(settings) == "", first
                assert await conn.scalar(text("SELECT count(*) FROM cases")) == 0, first
            await first()
            async with transaction(engine, scope_of(partner, Verb.SEE, AT)) as conn:
                found = set((await conn.execute(text("SELECT case_id FROM cases"))).scalars())
            assert found == own, first


async def test_callers_that_take_turns_see_each_their_own(
    ground: Database, rows: list[Row]
) -> None:
    callers = [c for c in make_callers(random.Random(1), 30) if reach_of(c.role, Verb.SEE)]

    async def ask(caller: Caller) -> None:
        async with transaction(engine, scope_of(caller, Verb.SEE, AT)) as conn:
            found = set((await conn.execute(text("SELECT case_id FROM cases"))).scalars())
        assert found == {r.case_id for r in rows if decide(caller, Verb.SEE, r.matter, AT)}

    url = ground.urls("intake")["DATABASE_WEB_URL"]
    engine = make_engine(url, size=2, name="row security", wait=60)
    try:
        await asyncio.gather(*(ask(caller) for caller in callers * 2))
    finally:
        await engine.dispose()


async def test_what_a_request_may_read_is_under_forced_policies(ground: Database) -> None:
    conn = await asyncpg.connect(ground.admin)
    try:
        tables = await conn.fetch(
            "SELECT n.nspname AS service, c.relname AS name, c.relrowsecurity AND"
            " c.relforcerowsecurity AS forced, EXISTS (SELECT FROM pg_policy p"
            "  WHERE p.polrelid = c.oid AND (n.nspname || '_web')::regrole = ANY (p.polroles)) AS"
            " governed FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p')"
            " AND has_any_column_privilege(n.nspname || '_web', c.oid, 'SELECT')",
            list(SERVICES),
        )
        intake = await conn.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'intake'::regnamespace"
            " AND relkind = 'r' AND relforcerowsecurity"
        )
        strong = await conn.fetch(
            "SELECT rolname FROM pg_roles WHERE rolname ~ '_(web|flow)$' AND rolname ~ $1"
            " AND (rolsuper OR rolbypassrls OR rolcreaterole)",
            f"^({'|'.join(SERVICES)})_",
        )
    finally:
        await conn.close()
    loose = {r["name"] for r in tables if not (r["forced"] and r["governed"])}
    assert loose == set(OPEN_TO_REQUESTS)
    assert len(tables) > len(loose)
    assert {"subjects", "sealed", "consents", "messages"} <= {r["relname"] for r in intake}
    assert strong == []


@pytest.mark.parametrize("service", SERVICES)
async def test_the_deployed_roles_pass_the_check_of_the_start_and_the_owner_does_not(
    ground: Database, service: str
) -> None:
    urls = ground.urls(service)
    for name, passes in (
        ("DATABASE_URL", True),
        ("DATABASE_WEB_URL", True),
        ("DATABASE_OWNER_URL", False),
    ):
        engine = make_engine(urls[name], size=1, name="check")
        try:
            if passes:
                await check_role(engine, service)
            else:
                with pytest.raises(SettingsError):
                    await check_role(engine, service)
        finally:
            await engine.dispose()


async def test_a_role_that_may_become_a_strong_one_is_refused(ground: Database) -> None:
    conn = await asyncpg.connect(ground.admin)
    name = f"strong_{uuid4().hex[:8]}"
    engine = make_engine(ground.urls("intake")["DATABASE_WEB_URL"], size=1, name="check")
    try:
        await conn.execute(f"CREATE ROLE {name} BYPASSRLS NOLOGIN")
        for strong in (name, "intake_owner"):
            await conn.execute(f"GRANT {strong} TO intake_web")
            try:
                with pytest.raises(SettingsError):
                    await check_role(engine, "intake")
            finally:
                await conn.execute(f"REVOKE {strong} FROM intake_web")
        await check_role(engine, "intake")
    finally:
        await engine.dispose()
        await conn.execute(f"DROP ROLE {name}")
        await conn.close()
