"""One stack for the short benches; its one rule is a process of its own, as `isolation` needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bench import isolation, suite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack


@pytest.fixture(scope="session")
def bench_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with suite.stack(tmp_path_factory.mktemp("bench"), isolation.rules_beside()) as running:
        yield running
