"""A service's FastStream broker."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from faststream.kafka import KafkaBroker
from faststream.security import BaseSecurity, SASLScram512

if TYPE_CHECKING:
    from shared.kafka import KafkaLogin


def make_broker(login: KafkaLogin, client_id: str) -> KafkaBroker:
    """Make the broker of a service's consumers; it starts nothing and makes no topic."""
    return KafkaBroker(
        login.bootstrap.split(","),  # it would take the whole word for one address
        client_id=client_id,
        security=_security(login),
        apply_types=False,
        allow_auto_create_topics=False,
        request_timeout_ms=10_000,
        graceful_timeout=6,
        logger=logging.getLogger("kafka.client"),
    )


def _security(login: KafkaLogin) -> BaseSecurity | None:
    if login.username:
        return SASLScram512(login.username, login.password, login.context(), use_ssl=login.tls)
    return BaseSecurity(login.context(), use_ssl=True) if login.tls else None
