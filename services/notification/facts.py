"""What is said, purely: the thin body of a webhook, and the events of `notices`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from services.notification.domain import NoticeState
from shared.events import NOTICES, Draft, NoticeFacts, ProviderEntry
from shared.feed import WebhookMessage
from shared.kafka import PROVIDER_TOPICS

if TYPE_CHECKING:
    from uuid import UUID

    from services.notification.domain import Entry, Head, Why
    from services.notification.person_store import PersonNotice


def entry_data(entry: Entry, public_url: str) -> ProviderEntry:
    """Return what a provider's system is told of an entry, by whichever way."""
    return ProviderEntry(
        referral_id=entry.referral_id,
        state=entry.state,
        cursor=entry.feed_seq,
        version=entry.version,
        href=f"{public_url}/referral/v1/referrals/{entry.referral_id}",
    )


def render_body(entry: Entry, public_url: str) -> bytes:
    """Render the body of a webhook."""
    told = entry_data(entry, public_url)
    return msgspec.json.encode(
        WebhookMessage(type=entry.type, timestamp=entry.happened_at, data=told)
    )


def provider_draft(entry: Entry, public_url: str) -> Draft:
    """Return the event in the provider's own topic; its subject is the provider.

    It has the id of the event it tells of, as the webhook has; its `sequence` counts the topic.
    """
    return Draft(
        f"{PROVIDER_TOPICS}{entry.organisation}",
        entry.type,
        entry.organisation,
        entry_data(entry, public_url),
        id=entry.event_id,
        schema=schema_of(entry.type),
    )


def schema_of(event_type: str) -> str:
    """Return the `dataschema` of what a provider's topic holds about an event."""
    return f"urn:pashe:provider:{event_type}:1"


def notice_draft(
    notifier: str,
    *,
    notice_id: UUID,
    subscription_id: UUID,
    entry: Entry,
    state: NoticeState,
    attempt: int,
    reason: Why | None,
) -> Draft:
    """Return the event that says what became of a notice; its subject is the case."""
    return Draft(
        NOTICES,
        f"notice-{state}",
        str(entry.case_id),
        NoticeFacts(
            notice_id=notice_id,
            notifier=notifier,
            about_event=entry.event_id,
            about_type=entry.type,
            state=str(state),
            referral_id=entry.referral_id,
            subscription_id=subscription_id,
            attempt=attempt,
            reason=str(reason) if reason else None,
            test=entry.test,
        ),
    )


def disabled_draft(
    notifier: str, head: Head, subscription_id: UUID, attempt: int, reason: Why
) -> Draft:
    """Return the event that a subscription ended; its subject is the subscription."""
    return Draft(
        NOTICES,
        "subscription-disabled",
        str(subscription_id),
        NoticeFacts(
            notice_id=head.notice_id,
            notifier=notifier,
            about_event=head.entry.event_id,
            about_type=head.entry.type,
            state=str(NoticeState.FAILED),
            referral_id=head.entry.referral_id,
            subscription_id=subscription_id,
            attempt=attempt,
            reason=str(reason),
            provider_id=head.entry.organisation,
            test=head.entry.test,
        ),
    )


def person_draft(notice: PersonNotice) -> Draft:
    """Return the event that says what became of a notice to a person, as it is now.

    An unknown delivery is a `notice-failed` with the state `unknown`; the subject is the case.
    """
    failed = notice.state in (NoticeState.FAILED, NoticeState.UNKNOWN)
    return Draft(
        NOTICES,
        "notice-failed" if failed else f"notice-{notice.state}",
        str(notice.case_id),
        NoticeFacts(
            notice_id=notice.id,
            notifier=notice.notifier,
            about_event=notice.event_id,
            about_type=notice.type,
            state=str(notice.state),
            referral_id=notice.referral_id,
            recipient=str(notice.recipient),
            attempt=notice.attempt,
            reason=notice.reason,
            test=notice.test,
        ),
    )
