"""The capacity model beside a fresh measurement at two rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.capacity import load_model
from tests.bench import cost
from tests.support.stack import Stack

if TYPE_CHECKING:
    from pathlib import Path

WITHIN = 2.5
"""How many times more or less a busy machine of another kind may take; it swings twofold."""


@pytest.mark.bench
@pytest.mark.long
@pytest.mark.timeout(900)
async def test_the_model_agrees_with_the_bench_at_two_rates(tmp_path: Path) -> None:
    model = load_model()
    with Stack(tmp_path / "pashe", env={"OTEL_TRACES_SAMPLER_ARG": "0.01"}) as stack:
        found = await cost.measure(stack, (10, 40))
    print("\n" + cost.render(found))
    for one in found:
        expected = sum(model.cpu(part, one.rate) for part in one.cpu)
        print(f"{one.rate:g} a second: {one.total:.1f} ms measured, {expected:.1f} by the model")
        assert expected / WITHIN < one.total < expected * WITHIN
        last = model.points[-1]
        assert last.kafka / WITHIN < one.kafka < last.kafka * WITHIN
        assert last.database / WITHIN < one.database < last.database * WITHIN
