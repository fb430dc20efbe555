"""`deploy/topics.toml` as values: how each topic is kept, who writes it and who reads it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final, Literal

import msgspec

from deploy.local.errors import StackError

FILE: Final = Path(__file__).resolve().parents[1] / "topics.toml"
DAY: Final = 24 * 60 * 60 * 1000
"""Milliseconds."""


class Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a topic is kept; `retention_days` is None for a compacted one."""

    owner: str
    readers: tuple[str, ...]
    partitions: int
    cleanup: Literal["delete", "compact"]
    retention_days: int | None = None

    def settings(self, replication: int) -> dict[str, str]:
        """Return the topic's settings in Kafka's words."""
        keep = -1 if self.retention_days is None else self.retention_days * DAY
        quorum = 2 if replication >= 3 else 1  # noqa: PLR2004  (two of three)
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(keep),
            "min.insync.replicas": str(quorum),
        }


class Topics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: topics by name, and families of topics by pattern."""

    topics: dict[str, Topic]
    families: dict[str, Topic] = {}


def load_topics(path: Path = FILE) -> Topics:
    """Read the file.

    Raises:
        StackError: it is not TOML or has a wrong field; the message says where.

    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Topics)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        message = f"{path.name}: {error}"
        raise StackError(message) from error
