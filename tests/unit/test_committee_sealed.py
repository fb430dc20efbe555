"""Items of a batch that were sealed on a phone: only to the centre, and only under their own id."""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from services.intake.channels.committee import ReportItem, read_item
from services.intake.channels.committee.sealed import unsealed
from services.intake.seals import Seals
from shared.errors import InvalidBody, MalformedBody

SEALS = Seals(lambda: [os.urandom(32)])
KEEP = Seals(lambda: [b"k" * 32])
ID = str(uuid4())


def sealed(body: object, item: str = ID, seals: Seals = KEEP) -> dict[str, Any]:
    jwe = seals.keep(msgspec.json.encode(body), {"item": item}).decode()
    return {"id": ID, "sealed": jwe}


def test_a_sealed_report_reads_as_it_would_in_clear() -> None:
    item = read_item(unsealed(sealed({"report": {"narrative": "invented"}}), KEEP))
    assert isinstance(item, ReportItem)
    assert (str(item.id), item.report.narrative) == (ID, "invented")


def test_what_was_not_sealed_stays_as_it_is() -> None:
    values: list[object] = [None, [], {"id": ID, "report": {}}]
    for value in values:
        assert unsealed(value, KEEP) is value


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (sealed({"report": {}}, item=str(uuid4())), "wrong-id"),
        (sealed({"report": {}}, seals=SEALS), "wrong-key"),
        ({"id": ID, "sealed": "no jwe"}, "not-sealed"),
        ({"id": ID, "sealed": 1}, "not-sealed"),
        (sealed({"report": {}}) | {"report": {}}, "not-sealed"),
        (sealed([1]), "dict_type"),
    ],
)
def test_a_seal_that_does_not_hold_is_refused_with_its_rule(value: Any, rule: str) -> None:
    with pytest.raises(InvalidBody) as refused:
        unsealed(value, KEEP)
    assert refused.value.members["errors"] == [{"field": "sealed", "rule": rule}]


def test_what_is_sealed_must_be_json() -> None:
    jwe = KEEP.keep(b"{", {"item": ID}).decode()
    with pytest.raises(MalformedBody):
        unsealed({"id": ID, "sealed": jwe}, KEEP)


def test_one_changed_letter_breaks_the_seal() -> None:
    value = sealed({"report": {}})
    cut = value["sealed"]
    changed = cut[:-3] + ("A" if cut[-3] != "A" else "B") + cut[-2:]
    with pytest.raises(InvalidBody) as refused:
        unsealed({"id": ID, "sealed": changed}, KEEP)
    wrong: Any = refused.value.members["errors"]
    assert wrong[0]["rule"] == "seal-broken"
