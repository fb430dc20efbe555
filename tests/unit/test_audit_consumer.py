"""The history's consumer stands among a service's others, and is none of their class."""

from __future__ import annotations

import inspect
import re

from services.audit.consumers import AuditConsumer
from shared import runtime


def test_the_history_has_what_the_runtime_asks_of_every_consumer() -> None:
    asked = set(re.findall(r"\bconsumer\.(\w+)", inspect.getsource(runtime)))
    assert {"attach", "join", "commit", "stop", "name"} <= asked
    given = {*vars(AuditConsumer), *re.findall(r"self\.(\w+)\b", inspect.getsource(AuditConsumer))}
    assert asked <= given
