"""The weights of levels of agreement: a logistic regression, by Newton's steps.

Fields do not agree independently: siblings share a phone, a name and a place at once. Fitted
together, what one field has already said is not counted again by the next.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

STEPS: Final = 30

DOUBT: Final = 3.0
"""How strongly a weight is drawn to zero: what a made set never has is not impossible."""

DIFFERS: Final = "other"
"""The level of what differs: it never speaks for, however the pairs were chosen."""


def weigh(
    pairs: Sequence[tuple[Mapping[str, str], bool]], levels: Mapping[str, Iterable[str]]
) -> dict[str, dict[str, float]]:
    """Return the weight in bits of each level, from pairs and whether each is so.

    What is not known of a pair is no column of it: a weight tells how much more a level says than
    not to know.
    """
    columns = [(name, level) for name, found in levels.items() for level in found]
    place = {column: at for at, column in enumerate(columns)}
    told = np.zeros((len(pairs), len(columns) + 1))
    told[:, -1] = 1  # how rare it is that a pair is so at all
    for row, (agreed, _) in enumerate(pairs):
        for column in agreed.items():
            told[row, place[column]] = 1
    so = np.array([one for _, one in pairs], float)
    doubt = np.diag([DOUBT] * len(columns) + [1e-6])
    fitted = np.zeros(len(columns) + 1)
    for _ in range(STEPS):
        likely = 1 / (1 + np.exp(-told @ fitted))
        slope = told.T @ (likely - so) + doubt @ fitted
        curve = (told.T * (likely * (1 - likely))) @ told + doubt
        fitted -= np.linalg.solve(curve, slope)
    bits = [round(float(one) / math.log(2), 2) for one in fitted[:-1]]
    found = {
        name: {level: bits[place[name, level]] for level in known} for name, known in levels.items()
    }
    return {
        name: {level: min(n, 0.0) if level == DIFFERS else n for level, n in weights.items()}
        for name, weights in found.items()
    }
