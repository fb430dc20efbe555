"""Write what the chart is told of our own files: `python -m deploy.chart_files`; a test compares.

`files/topics.json` is `deploy/topics.toml` in Strimzi's words: topics, and a user with its ACLs for
each service. `files/database.sql` is `deploy/database.sql`; `files/rules` and `files/dashboards`
are those of `deploy/prometheus` and `deploy/grafana`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy.local.acls import grants_of
from deploy.local.database import BOOTSTRAP
from deploy.local.keys import SERVICES
from deploy.local.topics_file import load_topics

if TYPE_CHECKING:
    from deploy.local.topics_file import Topics

DEPLOY: Final = Path(__file__).parent
CHART: Final = DEPLOY / "helm" / "pashe"
COPIED: Final = {"rules": "prometheus/rules/*.yaml", "dashboards": "grafana/dashboards/*.json"}
"""Files that the chart holds as they are, by their folder in it."""

_WORDS: Final = {"describe": "Describe", "read": "Read", "write": "Write"}


def strimzi_of(topics: Topics) -> dict[str, Any]:
    """Return `topics` (`name`, `partitions`, `config`) and `users` (`name`, `acls`)."""
    made = []
    for name, topic in topics.topics.items():
        config = topic.settings(1)
        del config["min.insync.replicas"]  # the chart knows how many brokers there are
        made.append({"name": name, "partitions": topic.partitions, "config": config})
    return {
        "topics": made,
        "users": [{"name": name, "acls": _acls(topics, name)} for name in SERVICES],
    }


def _acls(topics: Topics, service: str) -> list[dict[str, Any]]:
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for grant in sorted(grants_of(topics)):
        if grant.service == service:
            pattern = "prefix" if grant.prefix else "literal"
            found[grant.resource, grant.name, pattern].append(_WORDS[grant.operation])
    return [
        {
            "resource": {"type": kind, "name": name, "patternType": pattern},
            "operations": sorted(operations),
            "host": "*",
        }
        for (kind, name, pattern), operations in sorted(found.items())
    ]


def files() -> dict[Path, str]:
    """Return the text of each file that is written here."""
    topics = json.dumps(strimzi_of(load_topics()), indent=1) + "\n"
    return {
        CHART / "files" / "topics.json": topics,
        CHART / "files" / "database.sql": BOOTSTRAP.read_text("utf-8"),
        **{
            CHART / "files" / folder / path.name: path.read_text("utf-8")
            for folder, pattern in COPIED.items()
            for path in sorted(DEPLOY.glob(pattern))
        },
    }


def left_over() -> list[Path]:
    """Return copies in the chart whose original is gone."""
    found = [path for folder in COPIED for path in (CHART / "files" / folder).glob("*")]
    return sorted(path for path in found if path not in files())


if __name__ == "__main__":
    for path in left_over():
        path.unlink()
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
