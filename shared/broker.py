"""A service's FastStream broker."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from faststream.kafka import KafkaBroker
from faststream.security import BaseSecurity, SASLScram512

if TYPE_CHECKING:
    from shared.kafka import KafkaLogin


FIND_TOPICS_MS: Final = 5_000
"""Milliseconds after which a topic that was made since is found, by a service that looks for it."""

SELDOM_MS: Final = 300_000


def make_broker(login: KafkaLogin, client_id: str, *, finds: bool = False) -> KafkaBroker:
    """Make the broker of a service's consumers; it starts nothing and makes no topic.

    `finds`: a consumer reads topics that come and go, and is to find new ones soon.
    """
    return KafkaBroker(
        login.bootstrap.split(","),  # it would take the whole word for one address
        client_id=client_id,
        security=_security(login),
        apply_types=False,
        allow_auto_create_topics=False,
        metadata_max_age_ms=FIND_TOPICS_MS if finds else SELDOM_MS,
        request_timeout_ms=10_000,
        graceful_timeout=6,
        logger=logging.getLogger("kafka.client"),
    )


def _security(login: KafkaLogin) -> BaseSecurity | None:
    if login.username:
        return SASLScram512(login.username, login.password, login.context(), use_ssl=login.tls)
    return BaseSecurity(login.context(), use_ssl=True) if login.tls else None
