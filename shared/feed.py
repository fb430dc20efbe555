"""What providers' systems are told, by each way: the models that are sent and that AsyncAPI shows.

`ProviderEntry` (in `shared.events`) is what a webhook and the provider's own topic say; the event
stream has the whole referral beside it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from shared.events import ProviderEntry


class WebhookMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a webhook (Standard Webhooks 1.0); `timestamp` is when it happened."""

    type: str
    timestamp: datetime
    data: ProviderEntry


class TopicEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A CloudEvents 1.0 event in a provider's own topic; `subject` is the provider.

    `id` is the same as `webhook-id` and the stream's `event_id`; `sequence` counts the events of
    the topic from 1 without a gap, in twenty digits.
    """

    specversion: Literal["1.0"]
    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"]
    dataschema: str
    sequence: str
    actor: str
    traceparent: str | None = None
    data: ProviderEntry


class StreamEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The `data` of one server-sent event; its `id` is `seq` and its `event` is `type`.

    `sequence` counts the events of the case. `referral` is what `GET /referral/v1/referrals/{id}`
    showed then.
    """

    seq: int
    type: str
    event_id: UUID
    case_id: UUID
    sequence: int
    time: datetime
    referral: dict[str, Any]
