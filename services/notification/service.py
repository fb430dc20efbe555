"""Notification's use cases for callers: subscriptions and the list of notices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from aiokafka.errors import KafkaError

from services.notification import person_store, store
from services.notification.domain import KAFKA, REFERRAL_TYPES, USEFUL, WEBHOOK, Standing
from services.notification.signature import Keys
from services.notification.targets import TargetRefused
from shared.access import PROVIDERS, Caller, organisation_of
from shared.access_rules import Scope
from shared.database import set_reach, transaction
from shared.errors import Conflict, Forbidden, InvalidBody, NotFound, SettingsError, Unavailable
from shared.kafka import PROVIDER_TOPICS, find_unseen
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.notification.outbound import Outbound
    from services.notification.seal import Sealer
    from shared.kafka import KafkaLogin

MAX_SUBSCRIPTIONS: Final = 20
"""Subscriptions of one provider."""

KEEP: Final = timedelta(days=100)
"""How long feed entries and ended notices are kept: as long as the topics (DECISIONS 3)."""

_log = Log("subscriptions")


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Use cases on the web role; row-level security keeps providers apart."""

    flow: AsyncEngine
    web: AsyncEngine
    sealer: Sealer
    outbound: Outbound
    kafka: KafkaLogin
    wake: Callable[[], None]

    async def check_key(self) -> None:
        """Refuse a sealing key that the database has not seen beside one it has.

        Raises:
            SettingsError: secrets in the database are sealed with a key that the key file lacks.

        """
        async with self.flow.begin() as conn:
            if not await store.keep_fingerprint(conn, self.sealer.fingerprint):
                message = (
                    "seal.key is not the key that this database was written with:"
                    " put the old key back; a new one is never made beside old data"
                )
                raise SettingsError(message)

    async def check_target(self, url: str) -> None:
        """Check a URL and the addresses of its name.

        Raises:
            InvalidBody: no webhook goes there; `errors` says which rule, never the URL.

        """
        try:
            await self.outbound.check(url)
        except TargetRefused as refused:
            raise InvalidBody(None, errors=[{"field": "url", "rule": refused.rule}]) from None

    async def check_topic(self, caller: Caller) -> None:
        """Check that the caller's provider has a topic in Kafka.

        Raises:
            Conflict: it has none, or has not let us write it: operations grant it.
            Unavailable: Kafka does not answer.

        """
        try:
            unseen = await find_unseen(self.kafka, [topic_of(organisation(caller))])
        except (KafkaError, OSError):
            raise Unavailable from None
        if unseen:
            message = "this provider has no topic yet: operations grant it"
            raise Conflict(message)

    async def subscribe(
        self,
        conn: AsyncConnection,
        caller: Caller,
        url: str | None,
        types: Sequence[str] | None,
        at: datetime,
    ) -> dict[str, Any]:
        """Add a subscription of the caller's provider: to a URL, or without one to its topic.

        A webhook's secret is shown this once.

        Raises:
            InvalidBody: a type is not one of a referral's.
            Conflict: the provider has `MAX_SUBSCRIPTIONS` already, or one to its topic.

        """
        if types is not None and not set(types) <= REFERRAL_TYPES:
            raise InvalidBody(None, errors=[{"field": "types", "rule": "unknown-type"}])
        owner = organisation(caller)
        if await store.count_subscriptions(conn) >= MAX_SUBSCRIPTIONS:
            message = f"a provider has at most {MAX_SUBSCRIPTIONS} subscriptions"
            raise Conflict(message)
        subscription_id, keys = uuid4(), Keys.fresh() if url else None
        wanted = None if types is None else sorted(set(types))
        added = await store.insert_subscription(
            conn,
            subscription_id=subscription_id,
            organisation=owner,
            url=url,
            types=wanted,
            sealed=self.sealer.close(subscription_id, owner, keys.pack()) if keys else b"",
            public_key=keys.public if keys else None,
            at=at,
            actor=caller.actor,
        )
        if not added:
            message = "this provider has a subscription to its topic already"
            raise Conflict(message)
        _log.info("subscribed", subscription=subscription_id, provider=owner)
        where = {"topic": topic_of(owner)}
        if keys:
            where = {"url": str(url), "secret": keys.secret, "public_key": keys.public}
        return {
            "id": subscription_id,
            "notifier": WEBHOOK if url else KAFKA,
            **where,
            "types": wanted or sorted(REFERRAL_TYPES),
            "state": str(Standing.ACTIVE),
            "created_at": at,
        }

    async def show(self, caller: Caller, subscription_id: UUID) -> dict[str, Any]:
        """Read one subscription with its health.

        Raises:
            NotFound: it is not there, or not for this caller.

        """
        async with transaction(self.web, organisation(caller)) as conn:
            row = await store.find_subscription(conn, subscription_id)
            if row is None:
                raise NotFound
            waiting = await store.count_waiting(conn, subscription_id)
        return {**render_subscription(row, caller), "waiting": waiting}

    async def unsubscribe(self, caller: Caller, subscription_id: UUID, at: datetime) -> None:
        """Delete a subscription; what waits for it is withheld.

        Raises:
            NotFound: it is not there, or not for this caller.

        """
        async with transaction(self.web, organisation(caller)) as conn:
            if await store.find_subscription(conn, subscription_id, lock=True) is None:
                raise NotFound
            await store.delete_subscription(conn, subscription_id, at)
        _log.info("unsubscribed", subscription=subscription_id)
        self.wake()

    async def enable(
        self, conn: AsyncConnection, caller: Caller, subscription_id: UUID, at: datetime
    ) -> dict[str, Any]:
        """Bring back a subscription that is dead or disabled; an active one stays as it is.

        What was missed is not sent by this: that is what a replay is for.

        Raises:
            NotFound: it is not there, or not for this caller.

        """
        row = await store.find_subscription(conn, subscription_id, lock=True)
        if row is None:
            raise NotFound
        if row.standing != Standing.ACTIVE:
            await store.enable_subscription(conn, subscription_id, at)
            _log.info("enabled", subscription=subscription_id)
            row = await store.find_subscription(conn, subscription_id)
            if row is None:
                raise NotFound
        return render_subscription(row, caller)

    async def replay(
        self, conn: AsyncConnection, subscription_id: UUID, after: int, at: datetime
    ) -> dict[str, Any]:
        """Send what the feed holds after a cursor again, oldest first, with the same ids.

        At most `store.REPLAY` at once: ask again after `last` for more. Call `hasten` after the
        commit, also when it was asked for before and the answer is only repeated.

        Raises:
            NotFound: it is not there, or not for this caller.
            Conflict: it is not active: enable it first; or a topic, which is read again instead.

        """
        row = await store.find_subscription(conn, subscription_id)
        if row is None:
            raise NotFound
        if row.notifier == KAFKA:
            message = "read the topic again from an earlier offset"
            raise Conflict(message)
        if row.standing != Standing.ACTIVE:
            message = "enable the subscription first"
            raise Conflict(message, state=row.standing)
        await set_reach(conn, Scope(row.organisation, (row.organisation,)))
        found = await store.replay_feed(conn, WEBHOOK, subscription_id, after, at + USEFUL, at)
        _log.info("replayed", subscription=subscription_id, count=len(found))
        return {"notices": len(found), "after": after, "last": found[-1] if found else None}

    async def hasten(self, caller: Caller, subscription_id: UUID, at: datetime) -> None:
        """Have what a replay brought back sent at once."""
        async with transaction(self.web, organisation(caller)) as conn:
            await store.hasten(conn, subscription_id, at)
        self.wake()

    async def forget_old(self, at: datetime) -> None:
        """Delete feed entries and ended notices older than `KEEP`."""
        async with self.flow.begin() as conn:
            await store.forget(conn, at - KEEP)
            await person_store.forget(conn, at - KEEP)


def organisation(caller: Caller) -> str:
    """Return what the row-level policies compare with; `*` is for staff alone.

    Raises:
        Forbidden: a provider's token names `*` as its provider.

    """
    found = organisation_of(caller)
    if caller.role in PROVIDERS and found in ("", "*"):
        raise Forbidden
    return found


def topic_of(provider: str) -> str:
    """Return the name of a provider's own topic."""
    return f"{PROVIDER_TOPICS}{provider}"


def render_subscription(row: Row[Any], caller: Caller) -> dict[str, Any]:
    """Render a subscription with its health; staff see its URL without the query."""
    own = caller.role in PROVIDERS
    return {
        "id": row.id,
        "provider_id": row.organisation,
        "notifier": row.notifier,
        "url": row.url if own or not row.url else row.url.partition("?")[0],
        "topic": topic_of(row.organisation) if row.notifier == KAFKA else None,
        "types": row.types or sorted(REFERRAL_TYPES),
        "public_key": row.public_key,
        "state": row.standing,
        "created_at": row.created_at,
        "failures": row.failures,
        "last_success_at": row.last_success_at,
        "last_cursor": row.last_cursor,
        "last_failure_at": row.last_failure_at,
        "last_status": row.last_status,
        "last_trouble": row.last_trouble,
        "next_attempt_at": row.due_at if row.standing == Standing.ACTIVE else None,
        "disabled_at": row.ended_at,
        "disabled_why": row.ended_why,
    }
