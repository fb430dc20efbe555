"""Topics and rights as a script of Kafka's own tools: `python -m deploy.local.topics_shell`.

For a Kafka that only a container beside it reaches. It prints `deploy/compose/topics.sh`; a test
compares.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import TYPE_CHECKING

from deploy.local.acls import grants_of
from deploy.local.topics_file import load_topics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.local.acls import Grant
    from deploy.local.topics_file import Topics

_HEAD = """#!/bin/sh
# Written by `python -m deploy.local.topics_shell` from deploy/topics.toml; not by hand.
set -eu
bin=${KAFKA_BIN:-/opt/kafka/bin}
at="--bootstrap-server ${KAFKA_AT:-kafka:9092} --command-config ${ADMIN:-/pashe/admin.properties}"
copies=${COPIES:-1}
topic() { "$bin/kafka-topics.sh" $at --create --if-not-exists --replication-factor "$copies" "$@"; }
grant() { "$bin/kafka-acls.sh" $at --add "$@" >/dev/null; }
"""


def write_script(topics: Topics) -> str:
    """Return the script: the same topics and grants as the embedded stack has."""
    lines = [_HEAD]
    for name, topic in topics.topics.items():
        words = [f"topic --topic {name} --partitions {topic.partitions}"]
        words += [
            f"--config {key}={value}"
            for key, value in topic.settings(1).items()
            if key != "min.insync.replicas"  # a cluster of three sets two for all
        ]
        lines.append(" \\\n    ".join(words) + "\n")
    lines += sorted(_grants(grants_of(topics)))
    return "".join(lines)


def _grants(grants: Iterable[Grant]) -> Iterable[str]:
    """Join what one user may do in the same way; each line costs a start of a JVM."""
    operations: dict[tuple[str, str, bool, str], set[str]] = defaultdict(set)
    for one in grants:
        operations[one.service, one.resource, one.prefix, one.name].add(one.operation)
    names: dict[tuple[str, str, bool, tuple[str, ...]], set[str]] = defaultdict(set)
    for (service, resource, prefix, name), found in operations.items():
        names[service, resource, prefix, tuple(sorted(found))].add(name)
    for (service, resource, prefix, allowed), of in names.items():
        kind = "prefixed" if prefix else "literal"
        words = [
            f"grant --allow-principal User:{service} --resource-pattern-type {kind}",
            " ".join(f"--operation {operation}" for operation in allowed),
            " ".join(f"--{resource} {name}" for name in sorted(of)),
        ]
        yield " \\\n    ".join(words) + "\n"


if __name__ == "__main__":
    sys.stdout.write(write_script(load_topics()))
